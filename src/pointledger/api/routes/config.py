"""Routes that read and change the tenant's configuration."""

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from pointledger.api.guard import actor_of, principal_of
from pointledger.api.openapi.document import responses
from pointledger.api.schemas.body import read_object
from pointledger.api.schemas.envelope import data_response
from pointledger.api.schemas.program import ConfigResponse, SavedConfigResponse
from pointledger.api.schemas.requests import CONFIG, body_of
from pointledger.api.state import state_of
from pointledger.domain.program.tenant import Tenant, tenant_from
from pointledger.errors import InvalidTenant

router = APIRouter(prefix="/admin/points/config", tags=["program"])


@router.get(
    "",
    operation_id="get_config",
    responses=responses(ConfigResponse),
    summary="Get the tenant's configuration",
)
async def config(request: Request) -> Response:
    """Returns the configuration in force, in the form that PUT takes."""
    api = state_of(request)
    return data_response(
        _as_json(await api.run_in_thread(api.program.config, principal_of(request).tenant_id))
    )


@router.put(
    "",
    operation_id="put_config",
    responses=responses(SavedConfigResponse, body=True),
    openapi_extra=body_of(CONFIG),
    summary="Replace the tenant's configuration",
)
async def put_config(request: Request) -> Response:
    """Replaces all fields: a field that is left out gets its default. Each change is a new version."""
    api = state_of(request)
    given = await read_object(request)
    if "tenant_id" in given:
        raise InvalidTenant("tenant_id: comes from the token, so leave it out")
    tenant = tenant_from(given | {"tenant_id": principal_of(request).tenant_id})
    saved, version = await api.run_in_thread(api.program.put_config, tenant, actor_of(request))
    return data_response(_as_json(saved) | {"version": version})


def _as_json(tenant: Tenant) -> dict[str, Any]:
    fields: dict[str, Any] = tenant.model_dump(mode="json", exclude={"tenant_id"})
    return fields
