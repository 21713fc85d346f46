"""What an administrator may know of all accounts of the tenant."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from pydantic import Field
from starlette.responses import Response

from pointledger.api.guard import principal_of
from pointledger.api.openapi.document import responses
from pointledger.api.responses import paged, present
from pointledger.api.schemas.envelope import said
from pointledger.api.schemas.parameters import PLAIN, EntityParam, Nothing, PageSize, TypeFilter
from pointledger.api.schemas.points import PointAccountListResponse, PointTransactionListResponse
from pointledger.api.schemas.queries import TenantStatsResponse
from pointledger.api.state import gateway_of

router = APIRouter(prefix="/admin", tags=["administration"])

MOST_PAGES = 1_000  # rows that a page steps over cost, and nobody turns so many pages

PageNumber = Annotated[int, Field(ge=1, le=MOST_PAGES), PLAIN, Query(description="From 1.")]
Status = Annotated[
    Literal["active", "suspended", "closed"] | Nothing, Query(description="Only accounts of this status.")
]


@router.get(
    "/points",
    operation_id="list_accounts",
    responses=responses(PointAccountListResponse),
    summary="The tenant's accounts",
)
async def accounts(
    request: Request, page: PageNumber = 1, page_size: PageSize = 20, status: Status = None
) -> Response:
    """By user id, each as it is now."""
    gateway = gateway_of(request)
    tenant_id = principal_of(request).tenant_id
    found = await gateway.ask(
        gateway.lookups.page_of_accounts, tenant_id, page=page, page_size=page_size, status=status
    )
    return paged(found, [present(item) for item in found.items], page=page, page_size=page_size)


@router.get(
    "/points/transactions",
    operation_id="list_all_transactions",
    responses=responses(PointTransactionListResponse),
    summary="The tenant's transactions",
)
async def transactions(
    request: Request,
    page: PageNumber = 1,
    page_size: PageSize = 20,
    type: TypeFilter = None,
    user_id: EntityParam = None,
) -> Response:
    """Everybody's or one user's, newest first."""
    gateway = gateway_of(request)
    tenant_id, lookups = principal_of(request).tenant_id, gateway.lookups
    if user_id is None:
        found = await gateway.ask(
            lookups.page_of_all_entries, tenant_id, page=page, page_size=page_size, type=type
        )
    else:
        found = await gateway.ask(
            lookups.page_of_entries,
            tenant_id,
            user_id,
            page=page,
            page_size=page_size,
            type=type,
            before=None,
        )
    items = [present(item) for item in found.items]
    return paged(found, items, page=page, page_size=page_size)


@router.get(
    "/points/stats",
    operation_id="get_tenant_stats",
    responses=responses(TenantStatsResponse),
    summary="The tenant's figures",
)
async def stats(request: Request) -> Response:
    """Accounts, what is outstanding, and what the current month has brought."""
    gateway = gateway_of(request)
    return said(await gateway.ask(gateway.lookups.tenant_statistics, principal_of(request).tenant_id))
