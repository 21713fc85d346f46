"""Money: what a user may know of its wallet. What changes it is among the commands."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from pointledger.api.guard import principal_of
from pointledger.api.openapi.document import responses
from pointledger.api.responses import paged, present
from pointledger.api.schemas.envelope import said
from pointledger.api.schemas.parameters import Cursor, Nothing, PageNumber, PageSize, UserId
from pointledger.api.schemas.wallets import WalletResponse, WalletTransactionListResponse
from pointledger.api.state import gateway_of

router = APIRouter(prefix="/wallets/{user_id}", tags=["wallets"])

MoneyType = Annotated[
    Literal["deposit", "withdraw", "exchange"] | Nothing, Query(description="Only transactions of this type.")
]


@router.get("", operation_id="get_wallet", responses=responses(WalletResponse), summary="A wallet")
async def wallet(request: Request, user_id: UserId) -> Response:
    """A user's money. `balance` is all of it, `frozen_balance` what of it is not available."""
    gateway = gateway_of(request)
    found = await gateway.ask(gateway.lookups.wallet, principal_of(request).tenant_id, user_id)
    return said(present(found))


@router.get(
    "/transactions",
    operation_id="list_wallet_transactions",
    responses=responses(WalletTransactionListResponse),
    summary="A wallet's transactions",
)
async def transactions(
    request: Request,
    user_id: UserId,
    page: PageNumber = 1,
    page_size: PageSize = 20,
    type: MoneyType = None,
    cursor: Cursor = None,
) -> Response:
    """Newest first; beyond the end an empty page."""
    gateway = gateway_of(request)
    found = await gateway.ask(
        gateway.lookups.page_of_wallet_entries,
        principal_of(request).tenant_id,
        user_id,
        page=page,
        page_size=page_size,
        type=type,
        before=cursor,
    )
    return paged(found, [_transaction(item) for item in found.items], page=page, page_size=page_size)


def _transaction(entry: dict[str, Any]) -> dict[str, Any]:
    beside = {
        "description": entry["reason"],
        "reference_id": entry["related_id"] or entry["idempotency_key"],
    }
    return present(entry | beside)
