"""What administrators did and tried; and whether one account is sound."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from pydantic import Field
from starlette.responses import Response

from pointledger.api.guard import principal_of
from pointledger.api.openapi.document import responses
from pointledger.api.responses import present
from pointledger.api.schemas.envelope import listed, said
from pointledger.api.schemas.parameters import Entity, Id, Nothing, PageNumber, PageSize
from pointledger.api.schemas.queries import ActListResponse, IntegrityResponse
from pointledger.api.state import gateway_of

router = APIRouter(prefix="/admin", tags=["audit"])

Who = Annotated[Entity | Nothing, Query(description="Only about or by this one.")]
Kind = Annotated[
    Annotated[str, Field(pattern="^[a-z][a-z-]{0,39}$")] | Nothing,
    Query(description="Like adjust or rule-put."),
]
State = Annotated[Literal["applied", "refused"] | Nothing, Query(description="Only those with this outcome.")]


@router.get(
    "/audit",
    operation_id="list_acts",
    responses=responses(ActListResponse),
    summary="What administrators did and tried",
)
async def acts(
    request: Request,
    page: PageNumber = 1,
    page_size: PageSize = 20,
    user_id: Who = None,
    actor: Who = None,
    kind: Kind = None,
    state: State = None,
) -> Response:
    """The latest first: each with who, why, before and after; also what was refused."""
    gateway = gateway_of(request)
    total, found = await gateway.ask(
        gateway.lookups.page_of_acts,
        principal_of(request).tenant_id,
        page=page,
        page_size=page_size,
        user_id=user_id,
        actor=actor,
        kind=kind,
        state=state,
    )
    return listed([present(act) for act in found], total=total, page=page, page_size=page_size)


@router.get(
    "/point/integrity/{account_id}",
    operation_id="check_integrity",
    responses=responses(IntegrityResponse),
    summary="Is an account sound?",
)
async def integrity(request: Request, account_id: Id) -> Response:
    """Checks its chain of before, after and seq, its totals, lots and holds, and its user's wallet."""
    gateway = gateway_of(request)
    found = await gateway.ask(gateway.lookups.integrity, principal_of(request).tenant_id, account_id)
    return said(found.as_json())
