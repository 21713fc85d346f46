"""Routes that read a user's wallet. `commands` has those that change it."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from pointledger.api.guard import principal_of
from pointledger.api.openapi.document import responses
from pointledger.api.responses import page_response, present
from pointledger.api.schemas.envelope import data_response
from pointledger.api.schemas.parameters import Cursor, Nothing, PageNumber, PageSize, UserId
from pointledger.api.schemas.wallets import WalletResponse, WalletTransactionListResponse
from pointledger.api.state import state_of

router = APIRouter(prefix="/wallets/{user_id}", tags=["wallets"])

MoneyType = Annotated[
    Literal["deposit", "withdraw", "exchange"] | Nothing, Query(description="Only transactions of this type.")
]


@router.get("", operation_id="get_wallet", responses=responses(WalletResponse), summary="Get a wallet")
async def wallet(request: Request, user_id: UserId) -> Response:
    """Returns a user's money. `balance` includes `frozen_balance`, which is not available."""
    api = state_of(request)
    found = await api.run_in_thread(api.queries.wallet, principal_of(request).tenant_id, user_id)
    return data_response(present(found))


@router.get(
    "/transactions",
    operation_id="list_wallet_transactions",
    responses=responses(WalletTransactionListResponse),
    summary="List a wallet's transactions",
)
async def transactions(
    request: Request,
    user_id: UserId,
    page: PageNumber = 1,
    page_size: PageSize = 20,
    type: MoneyType = None,
    cursor: Cursor = None,
) -> Response:
    """Returns the newest first. A page after the last one is empty."""
    api = state_of(request)
    found = await api.run_in_thread(
        api.queries.page_of_wallet_entries,
        principal_of(request).tenant_id,
        user_id,
        page=page,
        page_size=page_size,
        type=type,
        before=cursor,
    )
    return page_response(found, [_transaction(item) for item in found.items], page=page, page_size=page_size)


def _transaction(entry: dict[str, Any]) -> dict[str, Any]:
    fields = {
        "description": entry["reason"],
        "reference_id": entry["related_id"] or entry["idempotency_key"],
    }
    return present(entry | fields)
