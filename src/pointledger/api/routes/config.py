"""The tenant's configuration."""

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from pointledger.api.guard import by_of, principal_of
from pointledger.api.openapi.document import responses
from pointledger.api.schemas.body import read_object
from pointledger.api.schemas.envelope import said
from pointledger.api.schemas.program import ConfigResponse, SavedConfigResponse
from pointledger.api.schemas.requests import CONFIG, body_of
from pointledger.api.state import gateway_of
from pointledger.domain.program.tenant import Tenant, tenant_from
from pointledger.errors import InvalidTenant

router = APIRouter(prefix="/admin/points/config", tags=["programme"])


@router.get(
    "",
    operation_id="get_config",
    responses=responses(ConfigResponse),
    summary="The tenant's configuration",
)
async def config(request: Request) -> Response:
    """In force now; in the form that PUT takes."""
    gateway = gateway_of(request)
    return said(_shown(await gateway.ask(gateway.programme.config, principal_of(request).tenant_id)))


@router.put(
    "",
    operation_id="put_config",
    responses=responses(SavedConfigResponse, body=True),
    openapi_extra=body_of(CONFIG),
    summary="Change the tenant's configuration",
)
async def put_config(request: Request) -> Response:
    """All of it: what is left out takes its default. Each change is a new version."""
    gateway = gateway_of(request)
    given = await read_object(request)
    if "tenant_id" in given:
        raise InvalidTenant("tenant_id: it is in the token")
    tenant = tenant_from(given | {"tenant_id": principal_of(request).tenant_id})
    saved, version = await gateway.ask(gateway.programme.put_config, tenant, by_of(request))
    return said(_shown(saved) | {"version": version})


def _shown(tenant: Tenant) -> dict[str, Any]:
    shown: dict[str, Any] = tenant.model_dump(mode="json", exclude={"tenant_id"})
    return shown
