"""The shapes of answers, for the description at /openapi.json: the envelope, accounts, transactions. Names
and fields are those of the API's pages; what they do not have stands below theirs.

A field that has no value is left out, so in a shape it is optional and not null. The few that are null
instead say so.
"""

from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, Field

from pointledger.api.schemas.status_codes import OF_REASON
from pointledger.domain.commands import KINDS
from pointledger.domain.events.celery_messages import TaskReject
from pointledger.domain.events.outgoing import EVENT_TYPES
from pointledger.domain.program.expiry_policy import Mode, Round
from pointledger.domain.values.money import SCALES

OPTIONAL: Any = None  # the default of a field that may be left out; it is never null

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

# Those that are shown in more than one place, by the name that the description gives them.
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
    """What every answer has. `code` is the status."""

    code: Annotated[int, Field(examples=[200])]
    message: Annotated[str, Field(examples=["success"])]
    timestamp: Moment


class SimpleResponse(Head):
    """An error. A refusal of the ledger's has its `reason`, which is stable; the message is for people."""

    reason: Reason = OPTIONAL


class PointAccountResponse(BaseModel):
    """An account: points of one user within a tenant. `balance` is available: neither frozen nor pending.

    Look-ups tell of the account as it is at `as_of`: what a spend would find. What its transactions record
    stands beside, and differs while something has come due that no sweep has recorded yet. The answer to a
    command has neither: it tells what the command left."""

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
    version: Annotated[Count, Field(description="How many transactions the account has.")]

    pending_balance: Points
    debt: Points
    total_refunded: Points
    total_transferred_in: Points
    total_transferred_out: Points
    total_adjusted_in: Points
    total_adjusted_out: Points
    total_clawed_back: Points
    expiry_exempt: Annotated[bool, Field(description="Time takes nothing from the account.")] = OPTIONAL
    expires_not_before: Annotated[Moment, Field(description="What is due waits until then.")] = OPTIONAL
    as_of: Moment = OPTIONAL
    recorded_balance: Points = OPTIONAL
    recorded_frozen_balance: Points = OPTIONAL
    recorded_pending_balance: Points = OPTIONAL
    recorded_debt: Points = OPTIONAL
    recorded_expired_points: Points = OPTIONAL


class PointTransactionResponse(BaseModel):
    """An entry of the ledger: it never changes. `delta...` and what stands below them is told by look-ups
    only, not by the answer to a command."""

    account_id: Ulid
    amount: Annotated[Points, Field(description="Always above 0; `delta` has the direction.")]
    balance_after: Points
    balance_before: Points
    created_at: Moment
    description: str = OPTIONAL
    expires_at: Moment = OPTIONAL
    id: Ulid
    idempotency_key: str = OPTIONAL
    reason: str = OPTIONAL
    related_id: Annotated[Ulid, Field(description="The transaction or hold that this one is about.")] = (
        OPTIONAL
    )
    source: str = OPTIONAL
    status: Literal["completed"]
    type: TransactionType
    updated_at: Moment
    user_id: User

    seq: Annotated[int, Field(ge=1, description="Its number in its account, without gaps.")]
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
    """What a rule wanted to grant for an event and what was granted; or why it was `skipped`."""

    rule_id: Ulid
    rule: Annotated[str, Field(description="The rule's name.")]
    rule_version: Count
    wanted: Points = OPTIONAL
    granted: Points = OPTIONAL
    held_by: Annotated[
        str, Field(description="The limit that held back the rest.", examples=["user/day/points"])
    ] = OPTIONAL
    activates_at: Annotated[Moment, Field(description="Until then the points are pending.")] = OPTIONAL
    skipped: Literal["disabled", "window", "condition", "field", "error", "stacking"] = OPTIONAL
    because: Annotated[str, Field(description="The field, the error or the rule that was why.")] = OPTIONAL


class Coupon(BaseModel):
    """What points were exchanged for. `code` is the transaction's id."""

    code: Ulid
    points: Points


class MovedLot(BaseModel):
    """A lot whose expiry was moved. Null: never."""

    lot_id: Ulid
    expires_at_before: Moment | None
    expires_at: Moment | None


class PendingTask(BaseModel):
    """A command that is accepted and waits."""

    task_id: Ulid
    state: Literal["pending"]


class PendingResponse(Head):
    """Accepted; the header Location says where its outcome will be."""

    data: PendingTask


class AccountResponse(Head):
    """An account."""

    data: PointAccountResponse


class TransactionResponse(Head):
    """A transaction."""

    data: PointTransactionResponse


class PageInfo(BaseModel):
    """Where a page stands. `next_cursor` goes into `cursor` for the next one, whatever is written meanwhile;
    null at the end, and where there are no cursors."""

    has_next: bool
    has_prev: bool
    page: Annotated[int, Field(ge=1)]
    page_size: Annotated[int, Field(ge=1)]
    total: Count
    total_pages: Count

    next_cursor: str | None


class ListResponse(Head):
    """A page of a list. `total`: how many there are in all."""

    items: list[dict[str, Any]]
    total: Count
    pagination: PageInfo


class PointTransactionListResponse(ListResponse):
    """A page of transactions, newest first."""

    items: list[PointTransactionResponse]  # type: ignore[assignment]  # narrower


class PointAccountListResponse(ListResponse):
    """A page of accounts, by user id."""

    items: list[PointAccountResponse]  # type: ignore[assignment]  # narrower
