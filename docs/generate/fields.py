"""The fields of a pydantic model, in words: what its JSON Schema says, for people."""

import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from pydantic import BaseModel

from docs.generate.markdown import code, item, link, number
from pointledger.domain.events.outgoing import EVENT_TYPES
from pointledger.domain.values.fields import ENTITY_PATTERN, ID_PATTERN, KEY_PATTERN, ULID_PATTERN
from pointledger.domain.values.money import CURRENCY_SCHEMA, NUMBER_SCHEMA

Schema = Mapping[str, Any]

_OF_PATTERN = {
    ID_PATTERN: "id",
    f"^{ULID_PATTERN.replace('a-hjkmnp-tv-z', '')}$": "ULID",
    ENTITY_PATTERN: "name",
    KEY_PATTERN: "key",
    NUMBER_SCHEMA["pattern"]: "amount of money as text",
}
_OF_FORMAT = {
    "date-time": "moment",
    "iana-time-zone": "IANA time zone",
    "cel-bool": "condition",
    "cel-int": "formula",
    "password": "secret text",
    "path": "path of a file",
    "ipv4network": "IP network",
    "ipv6network": "IP network",
}


class Field(NamedTuple):
    """A field as a reader of the reference meets it. `default` is Markdown, or None where there is none."""

    name: str
    type: str
    is_required: bool
    default: str | None
    description: str


def fields_of(model: type[BaseModel], ref: Callable[[str], str]) -> list[Field]:
    """The model's fields, in their order, by their names in JSON. `ref` shows another model's name."""
    return fields_in(model.model_json_schema(), ref)


def fields_in(schema: Schema, ref: Callable[[str], str] = code) -> list[Field]:
    """The properties of a JSON Schema of an object."""
    required = schema.get("required", ())
    return [
        Field(name, words(part, ref), name in required, _default(part), part.get("description", ""))
        for name, part in schema.get("properties", {}).items()
    ]


def bullet(field: Field) -> str:
    """A field as an item of a list: name, type and whether it may be left out, then its meaning."""
    state = "required" if field.is_required else "optional"
    if field.default is not None:
        state = f"default {field.default}"
    meaning = f": {field.description}" if field.description else ""
    return item(f"**{code(field.name)}** *({field.type}, {state})*{meaning}")


def words(schema: Schema, ref: Callable[[str], str] = code) -> str:
    """What a JSON Schema allows, in words."""
    if "$ref" in schema:
        return ref(schema["$ref"].rpartition("/")[2])
    for several in ("anyOf", "oneOf"):
        if several in schema:
            parts = [words(part, ref) for part in schema[several] if part.get("type") != "null"]
            return " or ".join(dict.fromkeys(parts))
    if "const" in schema:
        return _value(schema["const"])
    if "enum" in schema:
        return _choice(schema)
    return _of_type(schema, ref)


def _choice(schema: Schema) -> str:
    if schema.get("enum") == CURRENCY_SCHEMA.get("enum"):
        return "ISO 4217 currency code"
    if schema.get("enum") == list(EVENT_TYPES):
        return link("event type", "events.md")
    return f"one of {', '.join(_value(value) for value in schema['enum'])}"


def _value(value: object) -> str:
    """A JSON value, a text without its quotes: so people write it in sentences."""
    return code(value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False))


def _of_type(schema: Schema, ref: Callable[[str], str]) -> str:
    match schema.get("type"):
        case "string":
            return _text(schema)
        case "integer" | "number":
            kind = "integer" if schema["type"] == "integer" else "number"
            return kind + _span(schema, "minimum", "maximum")
        case "boolean":
            return "`true` or `false`"
        case "array":
            return f"list of {words(schema.get('items', {}), ref)}{_size(schema, 'Items', 'items')}"
        case "object":
            values = schema.get("additionalProperties")
            return f"object of {words(values, ref)}" if isinstance(values, dict) and values else "JSON object"
        case _:
            return "any JSON value"


def _text(schema: Schema) -> str:
    known = _OF_FORMAT.get(schema.get("format", "")) or _OF_PATTERN.get(schema.get("pattern", ""))
    if known:
        return known
    return "text" + _size(schema, "Length", "characters")


def _span(schema: Schema, least: str, most: str) -> str:
    low = schema.get(least, schema.get(f"exclusive{least.capitalize()}"))
    high = schema.get(most)
    above = "above" if f"exclusive{least.capitalize()}" in schema else "at least"
    if low is not None and high is not None:
        return f" from {number(low)} to {number(high)}"
    if low is not None:
        return f", {above} {number(low)}"
    return f", at most {number(high)}" if high is not None else ""


def _size(schema: Schema, what: str, unit: str) -> str:
    low, high = schema.get(f"min{what}"), schema.get(f"max{what}")
    if high is None:
        return f", at least {number(low)} {unit if low > 1 else unit[:-1]}" if low else ""
    return f", {number(low)} to {number(high)} {unit}" if low else f", at most {number(high)} {unit}"


def _default(schema: Schema) -> str | None:
    value = schema.get("default")
    return None if value is None else _value(value)
