"""Schemas of request bodies, built from the models that validate them, so that bounds never differ."""

import json
from collections.abc import Collection, Iterable
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model
from pydantic.fields import FieldInfo
from pydantic.json_schema import models_json_schema

from pointledger.client.batches import MOST_ROWS
from pointledger.domain.commands import ApplyRule, Command, Earn
from pointledger.domain.program.awards import Fixed, Formula, Multiplier, PerUnit, Table
from pointledger.domain.program.rule import RuleBody
from pointledger.domain.program.tenant import Tenant
from pointledger.domain.values.fields import MAX_AMOUNT, Days
from pointledger.domain.values.json_values import METADATA_DEPTH

REF = "#/components/schemas/{model}"
_NULL: dict[str, Any] = {"type": "null"}
_NOTHING: dict[str, Any] = {"not": {}}  # the same as `false`, which some client generators cannot read

_models: dict[str, type[BaseModel]] = {}


def model_of(name: str, doc: str, fields: dict[str, tuple[Any, Any]], extra: Any = None) -> type[BaseModel]:
    """Create a model with these fields. `extra` adds keywords to its JSON schema."""
    config = ConfigDict(extra="forbid", json_schema_extra=extra)
    model: type[BaseModel] = create_model(name, __config__=config, __doc__=doc, **fields)  # type: ignore[call-overload]
    return model


def taken_from(model: type[BaseModel], names: Iterable[str]) -> dict[str, tuple[Any, FieldInfo]]:
    """Copy these fields of a model, with their types, bounds and defaults."""
    return {name: (model.model_fields[name].annotation, model.model_fields[name]) for name in names}


def body_of(model: type[BaseModel], *parameters: dict[str, Any]) -> dict[str, Any]:
    """Describe a route's body and headers for FastAPI, which does not parse them itself."""
    _models[model.__name__] = model
    schema = {"$ref": REF.format(model=model.__name__)}
    content = {"application/json": {"schema": schema}}
    return {"requestBody": {"content": content, "required": True}, "parameters": list(parameters)}


_NO_NUL = {"type": "string", "pattern": r"^[^\x00]*$"}
_WITH_METADATA = ("ApplyRuleRequest", "EventTrialRequest")


def _containers(depth: int) -> list[dict[str, Any]]:
    nested = {"$ref": f"#/components/x-json/at-depth-{depth + 1}"}
    array = {"type": "array", "items": nested}
    return [{"type": "object", "propertyNames": _NO_NUL, "additionalProperties": nested}, array]


def json_at_depths() -> dict[str, Any]:
    """Describe what `metadata` may contain at each depth.

    These are not among the schemas, because client generators cannot make useful types of them.
    """
    scalars = [
        _NULL,
        {"type": "boolean"},
        {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1},
        {"type": "number", "not": {"type": "integer"}},
        _NO_NUL,
    ]
    return {
        f"at-depth-{depth}": {"anyOf": scalars + (_containers(depth) if depth <= METADATA_DEPTH else [])}
        for depth in range(2, METADATA_DEPTH + 2)
    }


def components(taken: Collection[str]) -> dict[str, Any]:
    """Return the schemas of all bodies by name.

    A body's schema is named `...Input` if a response's schema has its name, because bodies allow more forms.
    `taken` are the names of the responses' schemas.
    """
    inputs = [(model, "validation") for model in _models.values()]
    _, found = models_json_schema(inputs, ref_template=REF)  # type: ignore[arg-type]
    text = json.dumps(found["$defs"])
    names = {name: f"{name}Input" if name in taken else name for name in found["$defs"]}
    for name, other in names.items():
        text = text.replace(f'"{REF.format(model=name)}"', f'"{REF.format(model=other)}"')
    found = {names[name]: schema for name, schema in json.loads(text).items()}
    for schema in found.values():
        _describe_defaults(schema)
    for model in _WITH_METADATA:
        found[model]["properties"]["metadata"] |= {"if": {}, "then": _containers(1)[0]}
    return found


def _describe_defaults(schema: dict[str, Any]) -> None:
    """Move defaults to the descriptions, because a `default` makes openapi-typescript require the field."""
    for field in schema.get("properties", {}).values():
        default = field.pop("default", None)
        if default is not None:
            text = f"Default: `{json.dumps(default)}`."
            field["description"] = " ".join(filter(None, (field.get("description"), text)))


def request_of(command: type[Command], fields: tuple[str, ...]) -> type[BaseModel]:
    """Create the model of a command's body."""
    extra = command.model_config.get("json_schema_extra")
    taken = taken_from(command, (*fields, "occurred_at"))
    annotation, moment = taken["occurred_at"]
    text = "When it happened; by default now. Only services may set it; others get 403."
    taken["occurred_at"] = annotation, _described(moment, text)
    return model_of(f"{command.__name__}Request", f"The body of {command.kind}.", taken, extra)


def _described(field: FieldInfo, description: str) -> FieldInfo:
    return FieldInfo.merge_field_infos(field, description=description)


# ---------------------------------------------------------------------------------- the program

CONFIG = model_of(
    "TenantConfigRequest",
    "The tenant's configuration. A field that is left out gets its default.",
    taken_from(Tenant, (name for name in Tenant.model_fields if name != "tenant_id")),
    Tenant.model_config["json_schema_extra"],
)

EVENT = model_of(
    "EventTrialRequest",
    "An event for a dry run.",
    taken_from(ApplyRule, ("user_id", "event_type", "metadata")),
)

_Unit = Literal["points", "times"]
_BOUNDS: dict[str, Any] = {"ge": 0, "le": MAX_AMOUNT}
_FLAT: dict[str, tuple[Any, Any]] = {
    "points": (int, Field(default=None, **_BOUNDS, description="Points per event. Replaces `award`.")),
    "base": (
        Fixed | PerUnit | Table | Formula,
        Field(default=None, discriminator="kind", description="Replaces `award.base`."),
    ),
    "multiplier": (Multiplier, Field(default=None, description="Replaces `award.multiplier`.")),
    "daily_limit": (int | None, Field(default=None, **_BOUNDS, description="A user's limit per day.")),
    "daily_limit_unit": (
        _Unit | None,
        Field(default=None, description="The unit of `daily_limit`; by default points."),
    ),
    "total_limit": (int | None, Field(default=None, **_BOUNDS, description="A user's lifetime limit.")),
    "total_limit_unit": (
        _Unit | None,
        Field(default=None, description="The unit of `total_limit`; by default points."),
    ),
    "expiry_days": (Days | None, Field(default=None, description="Replaces `expiry`.")),
    "pending_days": (Days | None, Field(default=None, description="Replaces `pending`.")),
}


def _never_both(one: str, other: str) -> dict[str, Any]:
    return {"anyOf": [{"properties": {one: _NOTHING}}, {"properties": {other: _NOTHING}}]}


def _unit_needs(limit: str) -> dict[str, Any]:
    given = {"required": [limit], "properties": {limit: {"type": "integer"}}}
    return {"anyOf": [{"properties": {f"{limit}_unit": _NULL}}, given]}


def _has(part: str, field: str) -> dict[str, Any]:
    """Require the part and its field, with a string."""
    schema = {"type": "object", "required": [field], "properties": {field: {"type": "string"}}}
    return {"required": [part], "properties": {part: schema}}


def _award_by(name: str, *others: str) -> dict[str, Any]:
    return {"required": [name], "properties": dict.fromkeys(others, _NOTHING)}


def _rule_schema(schema: dict[str, Any]) -> None:
    """Allow nested and flat names together, but not both for one part."""
    yearly = {"properties": {"expiry": {"properties": {"date": {"maxLength": len("12-31")}}}}}
    no_flat_limit = {"properties": {"daily_limit": _NULL, "total_limit": _NULL}}
    schema["required"].remove("award")
    schema["allOf"] = [
        {
            "anyOf": [
                _award_by("award", "points", "base", "multiplier"),
                _award_by("points", "award", "base"),
                _award_by("base", "award", "points"),
            ]
        },
        {"anyOf": [{"properties": {"limits": _NOTHING}}, no_flat_limit]},
        _unit_needs("daily_limit"),
        _unit_needs("total_limit"),
        _never_both("expiry", "expiry_days"),
        _never_both("pending", "pending_days"),
        {"anyOf": [yearly, _has("valid", "until")]},  # a date in a given year requires an end of the rule
    ]


RULE = model_of(
    "RuleRequest",
    "A rule, in nested form or with flat names. Some conditions are not in this schema, and a rule that "
    "breaks one gets 400: an expression must compile; a table's brackets must ascend; `min` is at most "
    "`max`; `valid.from` is before `valid.until`; and an expiry on a fixed date is not before "
    "the last points are available.",
    taken_from(RuleBody, RuleBody.model_fields) | _FLAT,
    _rule_schema,
)

_ROW_FIELDS = ("user_id", "amount", "expires_at", "reason", "source", "description", "occurred_at")
BATCH_ROW = model_of("BatchRow", "One earn.", taken_from(Earn, _ROW_FIELDS))
_Row = BATCH_ROW | Any
BATCH = model_of(
    "BatchEarnRequest",
    "A batch of earns. An invalid row is refused (INVALID_COMMAND) without affecting the others.",
    {"items": (list[_Row], Field(min_length=1, max_length=MOST_ROWS))},  # type: ignore[valid-type]
)
