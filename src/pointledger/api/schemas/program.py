"""Schemas of a tenant's configuration and rules, built from the domain's models."""

from typing import Annotated

from pydantic import Field

from pointledger.api.schemas.points import Head, ListResponse, Moment, Ulid
from pointledger.api.schemas.requests import model_of, taken_from
from pointledger.domain.program.rule import RuleBody
from pointledger.domain.program.tenant import Tenant

_CONFIG = taken_from(Tenant, (name for name in Tenant.model_fields if name != "tenant_id"))
_VERSION = Annotated[int, Field(ge=1, description="Each change is a new version.")]

TenantConfig = model_of("TenantConfig", "The tenant's configuration, in the form that PUT takes.", _CONFIG)
SavedTenantConfig = model_of(
    "SavedTenantConfig",
    "The saved configuration.",
    _CONFIG | {"version": (_VERSION, ...)},
)


class ConfigResponse(Head):
    """The tenant's configuration."""

    data: TenantConfig  # type: ignore[valid-type]


class SavedConfigResponse(Head):
    """The saved configuration."""

    data: SavedTenantConfig  # type: ignore[valid-type]


class Rule(RuleBody):
    """A rule in its nested form. `in_force_from` is null for the first version, which has no start."""

    id: Ulid
    version: _VERSION
    in_force_from: Moment | None


class RuleResponse(Head):
    """A rule."""

    data: Rule


class RuleListResponse(ListResponse):
    """Rules in evaluation order."""

    items: list[Rule]  # type: ignore[assignment]  # narrower
