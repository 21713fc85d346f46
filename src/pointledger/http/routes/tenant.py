"""What an administrator may know of all accounts of the tenant."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from pointledger.http.answering import paged, present
from pointledger.http.envelope import Problem, said
from pointledger.http.gateway import gateway_of
from pointledger.http.guard import principal_of
from pointledger.http.params import EntityParam, PageNumber, PageSize, TypeFilter
from pointledger.http.shapes import (
    ObjectResponse,
    PointAccountListResponse,
    PointTransactionListResponse,
    responses,
)

router = APIRouter(prefix="/admin", tags=["administration"])

DEEPEST = 100_000  # rows that a page may step over: each costs, and nobody turns so many pages

Status = Annotated[
    Literal["active", "suspended", "closed"] | None, Query(description="Only accounts of this status.")
]


@router.get("/points", responses=responses(PointAccountListResponse), summary="The tenant's accounts")
async def accounts(
    request: Request, page: PageNumber = 1, page_size: PageSize = 20, status: Status = None
) -> Response:
    """By user id."""
    gateway = gateway_of(request)
    _check_depth(page, page_size)
    tenant_id = principal_of(request).tenant_id
    found = await gateway.ask(
        gateway.lookups.page_of_accounts, tenant_id, page=page, page_size=page_size, status=status
    )
    return paged(found, found.items, page=page, page_size=page_size)


@router.get(
    "/points/transactions",
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
    _check_depth(page, page_size)
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


@router.get("/points/stats", responses=responses(ObjectResponse), summary="The tenant's figures")
async def stats(request: Request) -> Response:
    """Accounts, what is outstanding, and what the current month has brought."""
    gateway = gateway_of(request)
    return said(await gateway.ask(gateway.lookups.tenant_statistics, principal_of(request).tenant_id))


def _check_depth(page: int, page_size: int) -> None:
    if (page - 1) * page_size > DEEPEST:
        raise Problem(400, f"page: at most {DEEPEST} rows deep")
