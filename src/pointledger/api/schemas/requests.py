"""The bodies that routes take, for the description at /openapi.json: made from the models that check them, so
that every bound is the ledger's own."""

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
_NOTHING: dict[str, Any] = {"not": {}}  # `false`, which not every generator of clients reads

_models: dict[str, type[BaseModel]] = {}


def model_of(name: str, doc: str, fields: dict[str, tuple[Any, Any]], extra: Any = None) -> type[BaseModel]:
    """A model with these fields; `extra`: keywords of its JSON schema that pydantic does not know."""
    config = ConfigDict(extra="forbid", json_schema_extra=extra)
    made: type[BaseModel] = create_model(name, __config__=config, __doc__=doc, **fields)  # type: ignore[call-overload]
    return made


def taken_from(model: type[BaseModel], names: Iterable[str]) -> dict[str, tuple[Any, FieldInfo]]:
    """These fields, with their types, bounds and defaults."""
    return {name: (model.model_fields[name].annotation, model.model_fields[name]) for name in names}


def body_of(model: type[BaseModel], *parameters: dict[str, Any]) -> dict[str, Any]:
    """A route's body and headers, for its description: they are read by hand, strictly."""
    _models[model.__name__] = model
    schema = {"$ref": REF.format(model=model.__name__)}
    content = {"application/json": {"schema": schema}}
    return {"requestBody": {"content": content, "required": True}, "parameters": list(parameters)}


_NO_NUL = {"type": "string", "pattern": r"^[^\x00]*$"}
_WITH_METADATA = ("ApplyRuleRequest", "EventTrialRequest")


def _containers(depth: int) -> list[dict[str, Any]]:
    within = {"$ref": f"#/components/x-json/at-depth-{depth + 1}"}
    listed = {"type": "array", "items": within}
    return [{"type": "object", "propertyNames": _NO_NUL, "additionalProperties": within}, listed]


def json_at_depths() -> dict[str, Any]:
    """What `metadata` may hold, level by level. Not among the schemas: generators of clients make nothing
    useful of it, and need not."""
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
    """The schemas of all bodies, by name. Where an answer shows a part of a body, the body's is named
    `...Input`: it has more forms. `taken`: the answers' names."""
    inputs = [(model, "validation") for model in _models.values()]
    _, found = models_json_schema(inputs, ref_template=REF)  # type: ignore[arg-type]
    told = json.dumps(found["$defs"])
    names = {name: f"{name}Input" if name in taken else name for name in found["$defs"]}
    for name, other in names.items():
        told = told.replace(f'"{REF.format(model=name)}"', f'"{REF.format(model=other)}"')
    found = {names[name]: schema for name, schema in json.loads(told).items()}
    for schema in found.values():
        _tell_defaults_in_words(schema)
    for model in _WITH_METADATA:
        found[model]["properties"]["metadata"] |= {"if": {}, "then": _containers(1)[0]}
    return found


def _tell_defaults_in_words(schema: dict[str, Any]) -> None:
    """As a keyword, a default makes openapi-typescript demand the field."""
    for field in schema.get("properties", {}).values():
        default = field.pop("default", None)
        if default is not None:
            told = f"Left out: `{json.dumps(default)}`."
            field["description"] = " ".join(filter(None, (field.get("description"), told)))


def request_of(command: type[Command], fields: tuple[str, ...]) -> type[BaseModel]:
    """The body of a command's route."""
    extra = command.model_config.get("json_schema_extra")
    taken = taken_from(command, (*fields, "occurred_at"))
    annotation, moment = taken["occurred_at"]
    told = "When it happened, if not now. Services may say so; for anybody else it is 403."
    taken["occurred_at"] = annotation, _described(moment, told)
    return model_of(f"{command.__name__}Request", f"What {command.kind} takes.", taken, extra)


def _described(field: FieldInfo, description: str) -> FieldInfo:
    return FieldInfo.merge_field_infos(field, description=description)


# ---------------------------------------------------------------------------------- the programme

CONFIG = model_of(
    "TenantConfigRequest",
    "The tenant's configuration; what is left out takes its default.",
    taken_from(Tenant, (name for name in Tenant.model_fields if name != "tenant_id")),
    Tenant.model_config["json_schema_extra"],
)

EVENT = model_of(
    "EventTrialRequest",
    "An event to try.",
    taken_from(ApplyRule, ("user_id", "event_type", "metadata")),
)

_Unit = Literal["points", "times"]
_BOUNDS: dict[str, Any] = {"ge": 0, "le": MAX_AMOUNT}
_FLAT: dict[str, tuple[Any, Any]] = {
    "points": (int, Field(None, **_BOUNDS, description="So many per event; instead of `award`.")),
    "base": (
        Fixed | PerUnit | Table | Formula,
        Field(None, discriminator="kind", description="Instead of `award.base`."),
    ),
    "multiplier": (Multiplier, Field(None, description="Instead of `award.multiplier`.")),
    "daily_limit": (int | None, Field(None, **_BOUNDS, description="A user's limit per day.")),
    "daily_limit_unit": (_Unit | None, Field(None, description="Goes with `daily_limit`; else points.")),
    "total_limit": (int | None, Field(None, **_BOUNDS, description="A user's limit for ever.")),
    "total_limit_unit": (_Unit | None, Field(None, description="Goes with `total_limit`; else points.")),
    "expiry_days": (Days | None, Field(None, description="Instead of `expiry`.")),
    "pending_days": (Days | None, Field(None, description="Instead of `pending`.")),
}


def _never_both(one: str, other: str) -> dict[str, Any]:
    return {"anyOf": [{"properties": {one: _NOTHING}}, {"properties": {other: _NOTHING}}]}


def _unit_needs(limit: str) -> dict[str, Any]:
    given = {"required": [limit], "properties": {limit: {"type": "integer"}}}
    return {"anyOf": [{"properties": {f"{limit}_unit": _NULL}}, given]}


def _has(part: str, field: str) -> dict[str, Any]:
    """The part is there, and so is its field, with text."""
    described = {"type": "object", "required": [field], "properties": {field: {"type": "string"}}}
    return {"required": [part], "properties": {part: described}}


def _award_by(name: str, *others: str) -> dict[str, Any]:
    return {"required": [name], "properties": dict.fromkeys(others, _NOTHING)}


def _rule_schema(schema: dict[str, Any]) -> None:
    """The nested form and the flat names may be mixed, but not for one part."""
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
        {"anyOf": [yearly, _has("valid", "until")]},  # a date of one year goes with the end of the rule
    ]


RULE = model_of(
    "RuleRequest",
    "A rule: nested, or with the flat names. An expression must compile, a table's brackets must ascend, "
    "`min` is at most `max`, `valid.from` lies before `valid.until`, and an expiry on a date of one year not "
    "before the last points are available: no JSON schema can tell this, and what breaks it is 400 as well.",
    taken_from(RuleBody, RuleBody.model_fields) | _FLAT,
    _rule_schema,
)

_ROW_FIELDS = ("user_id", "amount", "expires_at", "reason", "source", "description", "occurred_at")
BATCH_ROW = model_of("BatchRow", "An earn.", taken_from(Earn, _ROW_FIELDS))
_Row = BATCH_ROW | Any
BATCH = model_of(
    "BatchEarnRequest",
    "Earns. A row that is none is refused by itself, with an outcome of its own (INVALID_COMMAND).",
    {"items": (list[_Row], Field(min_length=1, max_length=MOST_ROWS))},  # type: ignore[valid-type]
)
