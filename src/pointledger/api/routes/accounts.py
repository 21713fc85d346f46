"""Routes that read a user's points."""

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import Field
from starlette.responses import Response

from pointledger.api.guard import principal_of
from pointledger.api.openapi.document import responses
from pointledger.api.responses import explanation_data, page_response, present
from pointledger.api.schemas.envelope import data_response
from pointledger.api.schemas.explanations import ExplanationResponse
from pointledger.api.schemas.parameters import PLAIN, Cursor, Id, PageNumber, PageSize, TypeFilter, UserId
from pointledger.api.schemas.points import AccountResponse, PointTransactionListResponse, TransactionResponse
from pointledger.api.schemas.queries import ExpiringResponse, RiskScoreResponse, UserStatsResponse
from pointledger.api.schemas.wallets import CashValueResponse
from pointledger.api.state import state_of
from pointledger.client.queries.ledger import DAYS, MOST_DAYS
from pointledger.errors import EntryMissing

router = APIRouter(prefix="/points/{user_id}", tags=["points"])


@router.get("", operation_id="get_account", responses=responses(AccountResponse), summary="Get an account")
async def account(request: Request, user_id: UserId) -> Response:
    """Returns the balance and totals. `balance` excludes frozen, pending and expired points."""
    api = state_of(request)
    found = await api.run_in_thread(api.queries.account, principal_of(request).tenant_id, user_id)
    return data_response(present(found))


@router.get(
    "/transactions",
    operation_id="list_transactions",
    responses=responses(PointTransactionListResponse),
    summary="List a user's transactions",
)
async def transactions(
    request: Request,
    user_id: UserId,
    page: PageNumber = 1,
    page_size: PageSize = 20,
    type: TypeFilter = None,
    cursor: Cursor = None,
) -> Response:
    """Returns the newest first. A page after the last one is empty."""
    api = state_of(request)
    found = await api.run_in_thread(
        api.queries.page_of_entries,
        principal_of(request).tenant_id,
        user_id,
        page=page,
        page_size=page_size,
        type=type,
        before=cursor,
    )
    return page_response(found, [present(item) for item in found.items], page=page, page_size=page_size)


@router.get(
    "/transactions/{tx_id}",
    operation_id="get_transaction",
    responses=responses(TransactionResponse),
    summary="Get a transaction",
)
async def transaction(request: Request, user_id: UserId, tx_id: Id) -> Response:
    """Returns one transaction of this user."""
    api = state_of(request)
    found = await api.run_in_thread(api.queries.entry, principal_of(request).tenant_id, tx_id)
    if found["user_id"] != user_id:
        raise EntryMissing
    return data_response(present(found))


@router.get(
    "/transactions/{tx_id}/explanation",
    operation_id="explain_transaction",
    responses=responses(ExplanationResponse),
    summary="Explain a transaction",
)
async def explanation(request: Request, user_id: UserId, tx_id: Id) -> Response:
    """Returns how a transaction of this user came about: its command, its rule, and the lots that it moved.

    Rules, and the commands of other users, are not for users. So this is for administrators and services.
    """
    api = state_of(request)
    found = await api.run_in_thread(api.queries.explain_entry, principal_of(request).tenant_id, tx_id)
    if found.entry["user_id"] != user_id:
        raise EntryMissing
    return data_response(explanation_data(found))


@router.get(
    "/value",
    operation_id="get_value",
    responses=responses(CashValueResponse, 409),
    summary="Get the cash value of a user's points",
)
async def value(request: Request, user_id: UserId) -> Response:
    """Converts the available balance at the tenant's exchange rate. Only for `cash_equivalent` points."""
    api = state_of(request)
    found = await api.run_in_thread(api.queries.value, principal_of(request).tenant_id, user_id)
    return data_response(asdict(found))


@router.get(
    "/stats",
    operation_id="get_stats",
    responses=responses(UserStatsResponse),
    summary="Get a user's statistics",
)
async def stats(request: Request, user_id: UserId) -> Response:
    """Returns transactions and points by month and by rule."""
    api = state_of(request)
    found = await api.run_in_thread(api.queries.user_statistics, principal_of(request).tenant_id, user_id)
    return data_response(found | {"account": present(found["account"])})


Days = Annotated[int, Field(ge=1, le=MOST_DAYS), PLAIN, Query(description="Calendar days from now.")]


@router.get(
    "/expiring",
    operation_id="list_expiring",
    responses=responses(ExpiringResponse),
    summary="List points that expire soon",
)
async def expiring(request: Request, user_id: UserId, days: Days = DAYS) -> Response:
    """Returns the lots that expire within `days` of the tenant's calendar, without frozen points."""
    api = state_of(request)
    found = await api.run_in_thread(api.queries.expiring, principal_of(request).tenant_id, user_id, days)
    return data_response(found.as_json())


@router.get(
    "/risk-score",
    operation_id="get_risk_score",
    responses=responses(RiskScoreResponse),
    summary="Get an account's risk score",
)
async def risk_score(request: Request, user_id: UserId) -> Response:
    """Returns a score from 0 to 100, the sum of its factors.

    The score is for information only: no command depends on it.
    """
    api = state_of(request)
    found = await api.run_in_thread(api.queries.risk, principal_of(request).tenant_id, user_id)
    factors = [factor.as_json() for factor in found]
    score = sum(factor.points for factor in found)
    return data_response({"user_id": user_id, "score": score, "factors": factors})
