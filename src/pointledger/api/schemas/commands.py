"""Schemas of the results of commands, of tasks and of batches."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from pointledger.api.schemas.points import (
    OPTIONAL,
    AccountStatus,
    Count,
    Coupon,
    Head,
    Kind,
    Moment,
    MovedLot,
    PointAccountResponse,
    Points,
    PointTransactionResponse,
    RuleGrant,
    TaskReason,
    Tenant,
    Ulid,
)
from pointledger.api.schemas.wallets import ManualAdjustResult, WalletTransaction, WalletView


class PointOperationData(BaseModel):
    """The result of a command: the account afterwards and the new transactions. `transaction` is the first of
    `transactions`. The descriptions of the other fields name the command kinds that have them."""

    account: PointAccountResponse
    points_earned: Annotated[Points, Field(description="earn, apply-rule, import-opening-balance")] = OPTIONAL
    transaction: PointTransactionResponse = OPTIONAL

    transactions: list[PointTransactionResponse] = OPTIONAL
    grants: Annotated[list[RuleGrant], Field(description="apply-rule: one for each rule")] = OPTIONAL
    more_skipped: Annotated[
        Count, Field(description="apply-rule: the number of skipped rules that `grants` leaves out")
    ] = OPTIONAL
    hold_id: Annotated[Ulid, Field(description="freeze")] = OPTIONAL
    points_captured: Annotated[Points, Field(description="confirm-deduction")] = OPTIONAL
    points_released: Annotated[
        Points, Field(description="confirm-deduction, unfreeze, release-holds-due")
    ] = OPTIONAL
    requested: Annotated[Points, Field(description="expire, clawback")] = OPTIONAL
    settled: Annotated[Points, Field(description="expire: the available part of it")] = OPTIONAL
    ratio: Annotated[str, Field(description="expire: `settled` divided by `requested`", examples=["0.5"])] = (
        OPTIONAL
    )
    status_before: Annotated[AccountStatus, Field(description="set-status")] = OPTIONAL
    points_forfeited: Annotated[Points, Field(description="set-status, erase-user")] = OPTIONAL
    points_exchanged: Annotated[Points, Field(description="exchange: the points it cost")] = OPTIONAL
    points_left: Annotated[
        Points, Field(description="exchange: the part of the amount that was not exchanged")
    ] = OPTIONAL
    coupon: Annotated[Coupon, Field(description="exchange for a coupon")] = OPTIONAL
    wallet: Annotated[WalletView, Field(description="exchange for money")] = OPTIONAL
    wallet_transaction: Annotated[WalletTransaction, Field(description="exchange for money")] = OPTIONAL
    clawed_back: Annotated[Points, Field(description="clawback, cancel-pending")] = OPTIONAL
    debt_added: Annotated[Points, Field(description="clawback")] = OPTIONAL
    points_expired: Annotated[Points, Field(description="expire-due, import-opening-balance")] = OPTIONAL
    lots_expired: Annotated[Count, Field(description="expire-due")] = OPTIONAL
    points_activated: Annotated[Points, Field(description="activate-due")] = OPTIONAL
    lots_activated: Annotated[Count, Field(description="activate-due")] = OPTIONAL
    points_rejected: Annotated[Points, Field(description="import-opening-balance")] = OPTIONAL
    control_sum: Annotated[Points, Field(description="import-opening-balance")] = OPTIONAL
    lots_moved: Annotated[Count, Field(description="extend-expiry, apply-expiry-policy")] = OPTIONAL
    points_moved: Annotated[Points, Field(description="extend-expiry, apply-expiry-policy")] = OPTIONAL
    lots_unchanged: Annotated[Count, Field(description="extend-expiry, apply-expiry-policy")] = OPTIONAL
    lots: Annotated[list[MovedLot], Field(description="extend-expiry, apply-expiry-policy")] = OPTIONAL
    expiry_exempt: Annotated[bool, Field(description="set-expiry-exemption")] = OPTIONAL
    expires_not_before: Annotated[Moment | None, Field(description="set-expiry-exemption; may be null")] = (
        OPTIONAL
    )


class PointOperationResponse(Head):
    """The command was applied."""

    data: PointOperationData


class Task(BaseModel):
    """A command and its outcome. `reason` and `message` explain a refusal; `data` is the result of an applied
    command. Fields that do not apply are null. A Celery message that is no command was never accepted and may
    have no kind."""

    task_id: Ulid
    tenant_id: Tenant
    kind: Kind | None
    state: Literal["pending", "applied", "refused", "dead"]
    reason: TaskReason | None
    message: str | None
    accepted_at: Moment | None
    applied_at: Moment | None
    data: PointOperationData | ManualAdjustResult | None


class BatchTask(BaseModel):
    """A batch and the number of its rows for each outcome. `refused` counts them by reason."""

    batch_id: Ulid
    tenant_id: Tenant
    state: Literal["pending", "done"]
    accepted_at: Moment
    size: Count
    applied: Count
    refused: Annotated[dict[str, Count], Field(examples=[{"INVALID_COMMAND": 1}])]
    dead: Count
    pending: Count
    points_earned: Points


class TaskResponse(Head):
    """A command or a batch, and its outcome."""

    data: Task | BatchTask


class BatchReceipt(BaseModel):
    """An accepted batch, which is a task too, and one task for each row, in order."""

    batch_id: Ulid
    task_ids: list[Ulid]


class BatchAcceptedResponse(Head):
    """The batch was accepted."""

    data: BatchReceipt
