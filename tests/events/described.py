"""Events against the JSON Schemas that the documentation gives to their consumers, to the last field."""

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import jsonschema_rs

ASYNCAPI = Path(__file__).parents[2] / "docs" / "reference" / "asyncapi.json"
SCHEMAS = Path(__file__).parents[2] / "docs" / "reference" / "events"


def check_described(event: dict[str, Any]) -> None:
    """Fails where the event has a value, or a field, that its schema does not know."""
    told = _validator(event["type"]).iter_errors(event)
    wrong = [f"{'/'.join(map(str, error.instance_path))}: {error.message}" for error in told]
    assert not wrong, f"{event['type']}: {wrong[:5]}"


def check_in_asyncapi(message: str, content: Any) -> None:
    """Fail where the content of a message differs from what the AsyncAPI document says of it."""
    found = list(asyncapi_validator(message).iter_errors(content))
    wrong = [f"{'/'.join(map(str, error.instance_path))}: {error.message}" for error in found]
    assert not wrong, f"{message}: {wrong[:5]}"


@lru_cache
def asyncapi_validator(message: str) -> jsonschema_rs.Draft7Validator:
    """Return the validator of a message's content, in the dialect of AsyncAPI's schemas."""
    payload = asyncapi()["components"]["messages"][message]["payload"]
    return jsonschema_rs.Draft7Validator(payload, validate_formats=True)


@lru_cache
def asyncapi() -> dict[str, Any]:
    """Return the document."""
    found: dict[str, Any] = json.loads(ASYNCAPI.read_text())
    return found


@lru_cache
def _validator(event_type: str) -> Any:
    schema = json.loads((SCHEMAS / f"{event_type}.json").read_text())
    return jsonschema_rs.Draft202012Validator(_closed(schema), validate_formats=True)


def _closed(schema: Any) -> Any:
    """With no room for fields that it does not name."""
    if isinstance(schema, list):
        return [_closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {name: _closed(part) for name, part in schema.items()}
    return closed | {"additionalProperties": False} if schema.get("type") == "object" else closed
