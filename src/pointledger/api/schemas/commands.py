"""The shapes of what commands did, and of tasks and batches."""

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
    """What a command did: the account as it left it, and the transactions that it wrote. `transaction` is
    the first of `transactions`. The other fields are those of the kinds that are named."""

    account: PointAccountResponse
    points_earned: Annotated[Points, Field(description="earn, apply-rule, import-opening-balance")] = OPTIONAL
    transaction: PointTransactionResponse = OPTIONAL

    transactions: list[PointTransactionResponse] = OPTIONAL
    grants: Annotated[list[RuleGrant], Field(description="apply-rule: rule by rule")] = OPTIONAL
    more_skipped: Annotated[Count, Field(description="apply-rule: rules that `grants` leaves out")] = OPTIONAL
    hold_id: Annotated[Ulid, Field(description="freeze")] = OPTIONAL
    points_captured: Annotated[Points, Field(description="confirm-deduction")] = OPTIONAL
    points_released: Annotated[
        Points, Field(description="confirm-deduction, unfreeze, release-holds-due")
    ] = OPTIONAL
    requested: Annotated[Points, Field(description="expire, clawback")] = OPTIONAL
    settled: Annotated[Points, Field(description="expire: what was available of it")] = OPTIONAL
    ratio: Annotated[str, Field(description="expire: settled by requested", examples=["0.5"])] = OPTIONAL
    status_before: Annotated[AccountStatus, Field(description="set-status")] = OPTIONAL
    points_forfeited: Annotated[Points, Field(description="set-status, erase-user")] = OPTIONAL
    points_exchanged: Annotated[Points, Field(description="exchange: what it cost")] = OPTIONAL
    points_left: Annotated[Points, Field(description="exchange: what of the amount stayed")] = OPTIONAL
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
    """A command was applied."""

    data: PointOperationData


class Task(BaseModel):
    """A command and what came of it. `reason` and `message` say why it was refused, `data` what it did when
    it is applied; what does not apply is null. A message that came by name and is no command was never
    accepted, and may have no kind."""

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
    """A batch and how many of its rows came to what; `refused`: by reason."""

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
    """A command or a batch, and what came of it."""

    data: Task | BatchTask


class BatchReceipt(BaseModel):
    """What was accepted: the batch, which is a task too, and a task for each row, in their order."""

    batch_id: Ulid
    task_ids: list[Ulid]


class BatchAcceptedResponse(Head):
    """A batch was accepted."""

    data: BatchReceipt
