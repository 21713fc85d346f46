"""Checks every response of the API against the OpenAPI document."""

import json
import re
from functools import lru_cache
from typing import Any

import httpx
import jsonschema_rs

from pointledger.api.app import create_app
from pointledger.settings import Settings

DOCUMENT: dict[str, Any] = create_app(Settings()).openapi()

_NO_BODY = {"HEAD"}


def check_response(response: httpx.Response) -> None:
    """Fail if a response has an undocumented status, header or field. Ignore unknown paths."""
    operation = _operation(response.request.method, response.request.url.raw_path.partition(b"?")[0].decode())
    if operation is None:
        return
    status = str(response.status_code)
    assert status in operation["responses"], f"{response.request.url}: {status} is not documented"
    documented = _resolved(operation["responses"][status])
    for name, header in documented.get("headers", {}).items():
        if name in response.headers:
            value: Any = response.headers[name]
            value = int(value) if header["schema"].get("type") == "integer" else value
            assert jsonschema_rs.is_valid(header["schema"], value), f"{name}: {value}"
        else:
            assert not header["required"], f"{response.request.url}: {status} without {name}"
    content = documented.get("content", {}).get("application/json")
    if content and response.request.method not in _NO_BODY:
        response.read()
        errors = _validator(json.dumps(content["schema"])).iter_errors(response.json())
        violations = [f"{'/'.join(map(str, error.instance_path))}: {error.message}" for error in errors]
        assert not violations, f"{response.request.method} {response.request.url}: {violations[:5]}"


def _operation(method: str, path: str) -> dict[str, Any] | None:
    """Find the operation of a request. Paths without parameters come first."""
    method = "get" if method == "HEAD" else method.lower()
    for template, methods in sorted(DOCUMENT["paths"].items(), key=lambda item: item[0].count("{")):
        pattern = re.sub(r"\\{[a-z_]+\\}", "[^/]+", re.escape(template))
        if re.fullmatch(pattern, path):
            found: dict[str, Any] | None = methods.get(method)
            return found
    return None


def _resolved(response: dict[str, Any]) -> dict[str, Any]:
    name = response.get("$ref", "").rpartition("/")[2]
    found: dict[str, Any] = DOCUMENT["components"]["responses"][name] if name else response
    return found


@lru_cache(maxsize=200)
def _validator(schema: str) -> Any:
    complete = {**json.loads(schema), "components": _closed_components()}
    return jsonschema_rs.Draft202012Validator(complete, validate_formats=True)


@lru_cache(maxsize=1)
def _closed_components() -> dict[str, Any]:
    """Return the schemas with `additionalProperties: false`."""
    schemas = json.loads(json.dumps(DOCUMENT["components"]["schemas"]))
    for schema in schemas.values():
        if "properties" in schema:
            schema.setdefault("additionalProperties", False)
    return {"schemas": schemas}
