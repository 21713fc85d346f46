"""Events against the JSON Schemas that the documentation gives to their consumers, to the last field."""

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import jsonschema_rs

SCHEMAS = Path(__file__).parents[2] / "docs" / "reference" / "events"


def check_described(event: dict[str, Any]) -> None:
    """Fails where the event has a value, or a field, that its schema does not know."""
    told = _validator(event["type"]).iter_errors(event)
    wrong = [f"{'/'.join(map(str, error.instance_path))}: {error.message}" for error in told]
    assert not wrong, f"{event['type']}: {wrong[:5]}"


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
