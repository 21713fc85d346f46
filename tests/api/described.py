"""Our answers against our description, to the last field: whatever a test of the gateway asks."""

import json
import re
from functools import lru_cache
from typing import Any

import httpx
import jsonschema_rs

from pointledger.api.app import create_app
from pointledger.settings import Settings

DESCRIPTION: dict[str, Any] = create_app(Settings()).openapi()

_NO_BODY = {"HEAD"}


def check_described(response: httpx.Response) -> None:
    """Fails where the answer has a status, a header or a field that the description does not know; addresses
    that are none, and bodies that were cut off on the way, are left."""
    operation = _operation(response.request.method, response.request.url.raw_path.partition(b"?")[0].decode())
    if operation is None:
        return
    status = str(response.status_code)
    assert status in operation["responses"], f"{response.request.url}: {status} is not described"
    described = _resolved(operation["responses"][status])
    for name, header in described.get("headers", {}).items():
        if name in response.headers:
            value: Any = response.headers[name]
            value = int(value) if header["schema"].get("type") == "integer" else value
            assert jsonschema_rs.is_valid(header["schema"], value), f"{name}: {value}"
        else:
            assert not header["required"], f"{response.request.url}: {status} without {name}"
    content = described.get("content", {}).get("application/json")
    if content and response.request.method not in _NO_BODY:
        response.read()
        told = _validator(json.dumps(content["schema"])).iter_errors(response.json())
        wrong = [f"{'/'.join(map(str, error.instance_path))}: {error.message}" for error in told]
        assert not wrong, f"{response.request.method} {response.request.url}: {wrong[:5]}"


def _operation(method: str, path: str) -> dict[str, Any] | None:
    """Of what is asked: the address without a parameter comes before one with."""
    method = "get" if method == "HEAD" else method.lower()
    for template, methods in sorted(DESCRIPTION["paths"].items(), key=lambda item: item[0].count("{")):
        pattern = re.sub(r"\\{[a-z_]+\\}", "[^/]+", re.escape(template))
        if re.fullmatch(pattern, path):
            found: dict[str, Any] | None = methods.get(method)
            return found
    return None


def _resolved(response: dict[str, Any]) -> dict[str, Any]:
    name = response.get("$ref", "").rpartition("/")[2]
    found: dict[str, Any] = DESCRIPTION["components"]["responses"][name] if name else response
    return found


@lru_cache(maxsize=200)
def _validator(schema: str) -> Any:
    whole = {**json.loads(schema), "components": _closed()}
    return jsonschema_rs.Draft202012Validator(whole, validate_formats=True)


@lru_cache(maxsize=1)
def _closed() -> dict[str, Any]:
    """The shapes, with no room for fields that they do not name."""
    schemas = json.loads(json.dumps(DESCRIPTION["components"]["schemas"]))
    for schema in schemas.values():
        if "properties" in schema:
            schema.setdefault("additionalProperties", False)
    return {"schemas": schemas}
