"""Schemas of responses about money."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from pointledger.api.schemas.points import (
    OPTIONAL,
    Count,
    Head,
    ListResponse,
    Moment,
    Points,
    Tenant,
    Ulid,
    User,
)
from pointledger.domain.values.money import SCALES

Money = Annotated[str, Field(pattern="^(0|[1-9][0-9]*)(\\.[0-9]+)?$", examples=["100.00"])]
Currency = Annotated[str, Field(json_schema_extra={"enum": sorted(SCALES)}, examples=["CNY"])]


class WalletView(BaseModel):
    """A user's money in one currency. Amounts are strings with all decimals of the currency. `balance`
    includes frozen money. Only queries return `available` and the totals."""

    application_id: str = OPTIONAL
    balance: Money
    created_at: Moment
    currency: Currency
    frozen_balance: Money
    status: Literal["active", "frozen", "closed"]
    tenant_id: Tenant
    updated_at: Moment
    user_id: User
    wallet_id: Ulid

    version: Annotated[Count, Field(description="The number of the wallet's transactions.")]
    available: Money = OPTIONAL
    total_deposited: Money = OPTIONAL
    total_withdrawn: Money = OPTIONAL
    total_exchanged: Money = OPTIONAL


class WalletTransaction(BaseModel):
    """An entry of a wallet, which never changes. Only queries return the fields below `seq`."""

    amount: Money
    balance_after: Money
    balance_before: Money
    created_at: Moment
    currency: Currency
    description: Annotated[str, Field(description="The command's reason.")] = OPTIONAL
    id: Ulid
    reference_id: Annotated[
        str, Field(description="The transaction of the points that paid for it, or else the idempotency key.")
    ] = OPTIONAL
    status: Literal["completed"]
    type: Literal["deposit", "withdraw", "exchange"]
    wallet_id: Ulid

    related_id: Annotated[Ulid, Field(description="The transaction of the points that paid for it.")] = (
        OPTIONAL
    )
    seq: Annotated[int, Field(ge=1, description="Its number in the wallet, without gaps.")]
    user_id: User = OPTIONAL
    delta: Annotated[str, Field(examples=["-5.00"])] = OPTIONAL
    actor: str = OPTIONAL
    reason: str = OPTIONAL
    idempotency_key: str = OPTIONAL
    command_id: Ulid = OPTIONAL
    occurred_at: Moment = OPTIONAL


class WalletResponse(Head):
    """A wallet."""

    data: WalletView


class ManualAdjustResult(BaseModel):
    """The result of an adjustment."""

    transaction: WalletTransaction
    wallet: WalletView


class AdjustBalanceResponse(Head):
    """The adjustment was applied."""

    data: ManualAdjustResult


class WalletTransactionListResponse(ListResponse):
    """A page of transactions, newest first."""

    items: list[WalletTransaction]  # type: ignore[assignment]  # narrower


class CashValue(BaseModel):
    """The cash value of the available balance, rounded down. `is_exact` is true if rounding cut nothing off.
    `balance` can be spent at `as_of`; `recorded_balance` is the recorded balance."""

    user_id: User
    balance: Points
    exchange_rate: Annotated[int, Field(ge=1, description="Points per currency unit.", examples=[100])]
    value: Money
    is_exact: bool
    currency: Currency
    as_of: Moment
    recorded_balance: Points


class CashValueResponse(Head):
    """The cash value of points."""

    data: CashValue
