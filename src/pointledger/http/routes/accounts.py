"""What a user may know of its points."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from pointledger.http.answering import present
from pointledger.http.envelope import listed, said
from pointledger.http.gateway import gateway_of
from pointledger.http.guard import principal_of
from pointledger.http.params import Cursor, PageNumber, PageSize, TypeFilter, UserId
from pointledger.http.shapes import AccountResponse, PointTransactionListResponse, responses

router = APIRouter(prefix="/points/{user_id}", tags=["points"])


@router.get("", responses=responses(AccountResponse), summary="An account")
async def account(request: Request, user_id: UserId) -> Response:
    """Balance and totals. `balance` is what is available: neither frozen nor pending."""
    gateway = gateway_of(request)
    found = await gateway.ask(gateway.lookups.account, principal_of(request).tenant_id, user_id)
    return said(present(found))


@router.get(
    "/transactions", responses=responses(PointTransactionListResponse), summary="A user's transactions"
)
async def transactions(
    request: Request,
    user_id: UserId,
    page: PageNumber = 1,
    page_size: PageSize = 20,
    type: TypeFilter = None,
    cursor: Cursor = None,
) -> Response:
    """Newest first; beyond the end an empty page."""
    gateway = gateway_of(request)
    found = await gateway.ask(
        gateway.lookups.page_of_entries,
        principal_of(request).tenant_id,
        user_id,
        page=page,
        page_size=page_size,
        type=type,
        before=cursor,
    )
    return listed(
        [present(item) for item in found.items],
        total=found.total,
        page=page,
        page_size=page_size,
        next_cursor=None if found.next_before is None else str(found.next_before),
    )
