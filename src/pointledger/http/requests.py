"""The bodies that routes take, for the description at /openapi.json: made from the models that check them, so
that every bound is the ledger's own."""

import json
from collections.abc import Collection, Iterable
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model
from pydantic.fields import FieldInfo
from pydantic.json_schema import models_json_schema

from pointledger.batch_earn import MOST_ROWS
from pointledger.domain.awards import Fixed, Formula, Multiplier, PerUnit, Table
from pointledger.domain.commands import ApplyRule, Command, Earn
from pointledger.domain.expiry import Days
from pointledger.domain.fields import MAX_AMOUNT
from pointledger.domain.rules import RuleBody
from pointledger.domain.tenants import Tenant

REF = "#/components/schemas/{model}"
_NULL = {"type": "null"}

_models: dict[str, type[BaseModel]] = {}


def model_of(
    name: str, doc: str, fields: dict[str, tuple[Any, Any]], extra: Any = None, *, open_: bool = False
) -> type[BaseModel]:
    """A model with these fields; `extra`: keywords of its JSON schema that pydantic does not know."""
    config = ConfigDict(extra="allow" if open_ else "forbid", json_schema_extra=extra)
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


def components(taken: Collection[str]) -> dict[str, Any]:
    """The schemas of all bodies, by name. Where an answer shows a part of a body, the body's is named
    `...Input`: it has more forms. `taken`: the answers' names."""
    inputs = [(model, "validation") for model in _models.values()]
    _, found = models_json_schema(inputs, ref_template=REF)  # type: ignore[arg-type]
    told = json.dumps(found["$defs"])
    names = {name: f"{name}Input" if name in taken else name for name in found["$defs"]}
    for name, other in names.items():
        told = told.replace(f'"{REF.format(model=name)}"', f'"{REF.format(model=other)}"')
    return {names[name]: schema for name, schema in json.loads(told).items()}


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


def _never_with(*names: str) -> dict[str, Any]:
    return {"not": {"required": list(names)}}


def _unit_needs(limit: str) -> dict[str, Any]:
    unit = f"{limit}_unit"
    return {
        "if": {"required": [unit], "properties": {unit: {"type": "string"}}},
        "then": {"required": [limit], "properties": {limit: {"type": "integer"}}},
    }


def _rule_schema(schema: dict[str, Any]) -> None:
    """The nested form and the flat names may be mixed, but not for one part."""
    schema["required"].remove("award")
    schema["oneOf"] = [{"required": [name]} for name in ("award", "points", "base")]
    schema["allOf"] = [
        _never_with("award", "multiplier"),
        _never_with("expiry", "expiry_days"),
        _never_with("pending", "pending_days"),
        {
            "if": {"required": ["limits"]},
            "then": {"properties": {"daily_limit": _NULL, "total_limit": _NULL}},
        },
        _unit_needs("daily_limit"),
        _unit_needs("total_limit"),
        {  # an expiry on a date of one year goes with the end of the rule
            "if": {
                "required": ["expiry"],
                "properties": {
                    "expiry": {
                        "type": "object",
                        "required": ["date"],
                        "properties": {"date": {"type": "string", "pattern": "^[0-9]{4}-"}},
                    }
                },
            },
            "then": {
                "required": ["valid"],
                "properties": {
                    "valid": {
                        "type": "object",
                        "required": ["until"],
                        "properties": {"until": {"type": "string"}},
                    }
                },
            },
        },
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
_Row = BATCH_ROW | Any  # type: ignore[operator]
BATCH = model_of(
    "BatchEarnRequest",
    "Earns. A row that is none is refused by itself, with an outcome of its own (INVALID_COMMAND).",
    {"items": (list[_Row], Field(min_length=1, max_length=MOST_ROWS))},  # type: ignore[valid-type]
)
