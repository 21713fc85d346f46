"""Schemas of responses: the envelope, accounts and transactions.

A field without a value is left out, so it is optional and not null. The few fields that can be null say so.
"""

from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, Field

from pointledger.api.schemas.status_codes import OF_REASON
from pointledger.domain.commands import KINDS
from pointledger.domain.events.celery_rejections import TaskReject
from pointledger.domain.events.outgoing import EVENT_TYPES
from pointledger.domain.program.expiry_policy import Mode, Round
from pointledger.domain.values.money import SCALES

OPTIONAL: Any = None  # the default of a field that may be left out but is never null

Points = Annotated[int, Field(ge=0, examples=[1500])]
Delta = Annotated[int, Field(examples=[-50])]
Count = Annotated[int, Field(ge=0, examples=[3])]
Ulid = Annotated[str, Field(pattern="^[0-7][0-9A-HJKMNP-TV-Z]{25}$", examples=["01M7YS5T0G1V9RJ7Y6C6V2Q3XA"])]
Moment = Annotated[
    str, Field(json_schema_extra={"format": "date-time"}, examples=["2026-03-01T10:00:00.123456Z"])
]
User = Annotated[str, Field(examples=["anna"])]
Tenant = Annotated[str, Field(examples=["shop"])]
Reason = Annotated[
    str, Field(json_schema_extra={"enum": sorted(OF_REASON)}, examples=["INSUFFICIENT_BALANCE"])
]
TaskReason = Annotated[
    str,
    Field(json_schema_extra={"enum": sorted({*OF_REASON, *TaskReject})}, examples=["INSUFFICIENT_BALANCE"]),
]
Kind = Annotated[str, Field(json_schema_extra={"enum": sorted(KINDS)}, examples=["earn"])]
AccountStatus = Literal["active", "suspended", "closed", "erased"]
PointsType = Literal["cash_equivalent", "expirable", "tier_points"]
TransactionType = Literal["earn", "spend", "expire", "freeze", "unfreeze", "refund", "adjust"]
Subtype = Literal[
    "rule", "manual", "import", "transfer_in", "purchase", "transfer_out", "exchange", "capture",
    "scheduled", "linked", "goodwill", "clawback", "activation", "admin", "forfeit", "hold", "release",
    "timeout",
]  # fmt: skip

# Enumerations that several schemas share, by their name in the OpenAPI document.
ENUMERATIONS: dict[str, list[str]] = {
    "AccountStatus": list(get_args(AccountStatus)),
    "CommandKind": sorted(KINDS),
    "Currency": sorted(SCALES),
    "EventType": list(EVENT_TYPES),
    "ExpiryMode": list(get_args(Mode)),
    "ExpiryRound": list(get_args(Round)),
    "PointsType": list(get_args(PointsType)),
    "Reason": sorted(OF_REASON),
    "TransactionSubtype": list(get_args(Subtype)),
    "TransactionType": list(get_args(TransactionType)),
}


class Head(BaseModel):
    """The fields of every response. `code` is the HTTP status."""

    code: Annotated[int, Field(examples=[200])]
    message: Annotated[str, Field(examples=["success"])]
    timestamp: Moment


class SimpleResponse(Head):
    """An error. A refusal has a stable `reason`. The message is for people and may change."""

    reason: Reason = OPTIONAL


class PointAccountResponse(BaseModel):
    """An account: the points of one user within a tenant. `balance` is available, without frozen or pending
    points.

    Queries return the account as a spend at `as_of` would find it. The `recorded_...` fields contain the
    sums of its transactions. They differ while points have come due that no periodic job has recorded yet.
    The response to a command has neither: it contains the account as the command left it."""

    balance: Points
    created_at: Moment
    exchange_rate: Annotated[int, Field(ge=1, description="Points per currency unit.", examples=[100])]
    expired_points: Points
    frozen_balance: Points
    id: Ulid
    points_type: PointsType
    status: AccountStatus
    tenant_id: Tenant
    total_earned: Points
    total_spent: Points
    updated_at: Moment
    user_id: User
    version: Annotated[Count, Field(description="The number of the account's transactions.")]

    pending_balance: Points
    debt: Points
    total_refunded: Points
    total_transferred_in: Points
    total_transferred_out: Points
    total_adjusted_in: Points
    total_adjusted_out: Points
    total_clawed_back: Points
    expiry_exempt: Annotated[bool, Field(description="The account's points do not expire.")] = OPTIONAL
    expires_not_before: Annotated[Moment, Field(description="Points do not expire before this time.")] = (
        OPTIONAL
    )
    as_of: Moment = OPTIONAL
    recorded_balance: Points = OPTIONAL
    recorded_frozen_balance: Points = OPTIONAL
    recorded_pending_balance: Points = OPTIONAL
    recorded_debt: Points = OPTIONAL
    recorded_expired_points: Points = OPTIONAL


class PointTransactionResponse(BaseModel):
    """An entry of the ledger, which never changes. Only queries return `delta...` and the fields below them;
    the response to a command does not."""

    account_id: Ulid
    amount: Annotated[Points, Field(description="Always above 0. The sign of `delta` shows the direction.")]
    balance_after: Points
    balance_before: Points
    created_at: Moment
    description: str = OPTIONAL
    expires_at: Moment = OPTIONAL
    id: Ulid
    idempotency_key: str = OPTIONAL
    reason: str = OPTIONAL
    related_id: Annotated[Ulid, Field(description="The transaction or hold that this one refers to.")] = (
        OPTIONAL
    )
    source: str = OPTIONAL
    status: Literal["completed"]
    type: TransactionType
    updated_at: Moment
    user_id: User

    seq: Annotated[int, Field(ge=1, description="Its number in the account, without gaps.")]
    subtype: Subtype
    frozen_before: Points = OPTIONAL
    frozen_after: Points = OPTIONAL
    delta_debt: Delta = OPTIONAL
    delta: Delta = OPTIONAL
    delta_frozen: Delta = OPTIONAL
    delta_pending: Delta = OPTIONAL
    command_id: Ulid = OPTIONAL
    rule_id: Ulid = OPTIONAL
    rule_version: Count = OPTIONAL
    occurred_at: Moment = OPTIONAL


class RuleGrant(BaseModel):
    """The points that a rule would grant for an event and those that it granted, or why it was `skipped`."""

    rule_id: Ulid
    rule: Annotated[str, Field(description="The rule's name.")]
    rule_version: Count
    wanted: Points = OPTIONAL
    granted: Points = OPTIONAL
    limited_by: Annotated[
        str, Field(description="The limit that capped the grant.", examples=["user/day/points"])
    ] = OPTIONAL
    activates_at: Annotated[Moment, Field(description="The points are pending until this time.")] = OPTIONAL
    skipped: Literal["disabled", "window", "cost", "condition", "field", "error", "stacking"] = OPTIONAL
    detail: Annotated[
        str, Field(description="The field, error, rule or limit of cost that caused the skip.")
    ] = OPTIONAL


class Coupon(BaseModel):
    """A coupon that points were exchanged for. `code` is the transaction's id."""

    code: Ulid
    points: Points


class MovedLot(BaseModel):
    """A lot whose expiry was moved. Null means that it never expires."""

    lot_id: Ulid
    expires_at_before: Moment | None
    expires_at: Moment | None


class PendingTask(BaseModel):
    """A pending command."""

    task_id: Ulid
    state: Literal["pending"]


class PendingResponse(Head):
    """The command was accepted. The `Location` header names its task."""

    data: PendingTask


class AccountResponse(Head):
    """An account."""

    data: PointAccountResponse


class TransactionResponse(Head):
    """A transaction."""

    data: PointTransactionResponse


class PageInfo(BaseModel):
    """The position of a page. Send `next_cursor` as `cursor` to get the next page; new items do not shift it.
    Null at the end, and for lists without cursors."""

    has_next: bool
    has_prev: bool
    page: Annotated[int, Field(ge=1)]
    page_size: Annotated[int, Field(ge=1)]
    total: Count
    total_pages: Count

    next_cursor: str | None


class ListResponse(Head):
    """A page of a list. `total` counts the items of all pages."""

    items: list[dict[str, Any]]
    total: Count
    pagination: PageInfo


class PointTransactionListResponse(ListResponse):
    """A page of transactions, newest first."""

    items: list[PointTransactionResponse]  # type: ignore[assignment]  # narrower


class PointAccountListResponse(ListResponse):
    """A page of accounts, ordered by user id."""

    items: list[PointAccountResponse]  # type: ignore[assignment]  # narrower
