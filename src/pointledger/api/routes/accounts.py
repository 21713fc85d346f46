"""What a user may know of its points."""

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import Field
from starlette.responses import Response

from pointledger.api.guard import principal_of
from pointledger.api.openapi.document import responses
from pointledger.api.responses import paged, present
from pointledger.api.schemas.envelope import said
from pointledger.api.schemas.parameters import PLAIN, Cursor, Id, PageNumber, PageSize, TypeFilter, UserId
from pointledger.api.schemas.points import AccountResponse, PointTransactionListResponse, TransactionResponse
from pointledger.api.schemas.queries import ExpiringResponse, RiskScoreResponse, UserStatsResponse
from pointledger.api.schemas.wallets import CashValueResponse
from pointledger.api.state import gateway_of
from pointledger.client.queries.ledger import DAYS, MOST_DAYS
from pointledger.errors import EntryMissing

router = APIRouter(prefix="/points/{user_id}", tags=["points"])


@router.get("", operation_id="get_account", responses=responses(AccountResponse), summary="An account")
async def account(request: Request, user_id: UserId) -> Response:
    """Balance and totals. `balance` is what can be spent now: neither frozen nor pending nor expired."""
    gateway = gateway_of(request)
    found = await gateway.ask(gateway.lookups.account, principal_of(request).tenant_id, user_id)
    return said(present(found))


@router.get(
    "/transactions",
    operation_id="list_transactions",
    responses=responses(PointTransactionListResponse),
    summary="A user's transactions",
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
    return paged(found, [present(item) for item in found.items], page=page, page_size=page_size)


@router.get(
    "/transactions/{tx_id}",
    operation_id="get_transaction",
    responses=responses(TransactionResponse),
    summary="A transaction",
)
async def transaction(request: Request, user_id: UserId, tx_id: Id) -> Response:
    """One transaction of this user."""
    gateway = gateway_of(request)
    found = await gateway.ask(gateway.lookups.entry, principal_of(request).tenant_id, tx_id)
    if found["user_id"] != user_id:
        raise EntryMissing
    return said(present(found))


@router.get(
    "/value",
    operation_id="get_value",
    responses=responses(CashValueResponse, 409),
    summary="What the points are worth",
)
async def value(request: Request, user_id: UserId) -> Response:
    """The available balance in money, at the tenant's rate; for points of the type cash_equivalent only."""
    gateway = gateway_of(request)
    found = await gateway.ask(gateway.lookups.value, principal_of(request).tenant_id, user_id)
    return said(asdict(found))


@router.get(
    "/stats",
    operation_id="get_stats",
    responses=responses(UserStatsResponse),
    summary="A user's figures",
)
async def stats(request: Request, user_id: UserId) -> Response:
    """By month, and by rule."""
    gateway = gateway_of(request)
    found = await gateway.ask(gateway.lookups.user_statistics, principal_of(request).tenant_id, user_id)
    return said(found | {"account": present(found["account"])})


Days = Annotated[int, Field(ge=1, le=MOST_DAYS), PLAIN, Query(description="How far to look ahead.")]


@router.get(
    "/expiring",
    operation_id="list_expiring",
    responses=responses(ExpiringResponse),
    summary="What expires soon",
)
async def expiring(request: Request, user_id: UserId, days: Days = DAYS) -> Response:
    """The lots that expire within so many days of the tenant's calendar; frozen points are not in them."""
    gateway = gateway_of(request)
    found = await gateway.ask(gateway.lookups.expiring, principal_of(request).tenant_id, user_id, days)
    return said(found.as_json())


@router.get(
    "/risk-score",
    operation_id="get_risk_score",
    responses=responses(RiskScoreResponse),
    summary="How suspicious an account is",
)
async def risk_score(request: Request, user_id: UserId) -> Response:
    """From 0 to 100: the sum of what each factor adds. `level` says how alarming its value is, `weight` how
    much it can add. It decides nothing."""
    gateway = gateway_of(request)
    found = await gateway.ask(gateway.lookups.risk, principal_of(request).tenant_id, user_id)
    shown = [factor.as_json() for factor in found]
    score = sum(factor.points for factor in found)
    return said({"user_id": user_id, "score": score, "factors": shown})
