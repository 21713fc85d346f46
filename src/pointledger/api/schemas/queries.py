"""Schemas of further queries: statistics, expiry, risk, dry runs, audit log, verification, health."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from pointledger.api.schemas.points import (
    OPTIONAL,
    Count,
    Head,
    ListResponse,
    Moment,
    PointAccountResponse,
    Points,
    Reason,
    RuleGrant,
    Subtype,
    Tenant,
    TransactionType,
    Ulid,
    User,
)

Month = Annotated[str, Field(pattern="^[0-9]{4}-[0-9]{2}$", examples=["2026-03"])]


class KindFigures(BaseModel):
    """Transactions and points of one type and subtype."""

    type: TransactionType
    subtype: Subtype
    entries: Count
    points: Points


class MonthFigures(KindFigures):
    """Transactions and points of one month of the tenant's calendar, by `occurred_at`."""

    month: Month


class RuleFigures(BaseModel):
    """The points that a rule has granted. `rule` is its name."""

    rule_id: Ulid
    rule: str
    entries: Count
    points: Points


class UserRuleFigures(RuleFigures):
    """The points that a rule has granted a user. `pending` of them are not available yet;
    `recorded_pending` is the recorded number."""

    pending: Points
    recorded_pending: Points
    last_at: Moment


class UserStats(BaseModel):
    """A user's statistics."""

    account: PointAccountResponse
    by_month: Annotated[list[MonthFigures], Field(description="The last twelve months, newest first.")]
    by_rule: Annotated[list[UserRuleFigures], Field(description="Most points first.")]


class UserStatsResponse(Head):
    """A user's statistics."""

    data: UserStats


class AccountSums(BaseModel):
    """The sums of the tenant's accounts."""

    balance: Points = OPTIONAL
    frozen_balance: Points = OPTIONAL
    pending_balance: Points = OPTIONAL
    debt: Points = OPTIONAL
    total_earned: Points = OPTIONAL
    total_spent: Points = OPTIONAL
    expired_points: Points = OPTIONAL
    total_refunded: Points = OPTIONAL
    total_transferred_in: Points = OPTIONAL
    total_transferred_out: Points = OPTIONAL
    total_adjusted_in: Points = OPTIONAL
    total_adjusted_out: Points = OPTIONAL
    total_clawed_back: Points = OPTIONAL


class TenantStats(BaseModel):
    """The tenant's statistics at `as_of`, and as recorded. `accounts` counts by status. `outstanding`
    includes frozen and pending points. `totals` is empty if there is no account. `this_month` and `by_rule`
    count what was recorded this month."""

    tenant_id: Tenant
    as_of: Moment
    paused_since: Moment | None
    accounts: Annotated[dict[str, Count], Field(examples=[{"active": 3}])]
    outstanding: Points
    totals: AccountSums
    recorded_outstanding: Points
    recorded_totals: AccountSums
    month: Month
    this_month: list[KindFigures]
    by_rule: Annotated[list[RuleFigures], Field(description="This month, most points first.")]


class TenantStatsResponse(Head):
    """The tenant's statistics."""

    data: TenantStats


class ExpiringLot(BaseModel):
    """Points that expire together. `amount` is their original number. If a hold has timed out, its lot may
    not be recorded yet; then `id` and `entry_id` are null."""

    id: Ulid | None
    points: Points
    amount: Points
    earned_at: Moment
    expires_at: Moment
    entry_id: Ulid | None
    origin_id: Annotated[Ulid, Field(description="The transaction that first granted the points.")]


class Expiring(BaseModel):
    """The points that expire by `until`, given the account at `asked_at`. `points` and `lots_in_all` count
    all lots; `lots` has the first ten thousand. `recorded_points` counts the recorded lots."""

    user_id: User
    asked_at: Moment
    until: Moment
    expire_enabled: bool
    expiry_exempt: bool
    expires_not_before: Moment | None
    points: Points
    lots_in_all: Count
    recorded_points: Points
    lots: list[ExpiringLot]


class ExpiringResponse(Head):
    """Points that expire soon."""

    data: Expiring


class RiskFactor(BaseModel):
    """A factor of the score: its `value`, the risk of that value (`level`), the most points that it can add
    (`weight`) and the points that it adds."""

    name: Annotated[str, Field(examples=["transfers_last_day"])]
    value: float
    level: Annotated[float, Field(ge=0, le=1)]
    weight: Count
    points: Count


class RiskScore(BaseModel):
    """An account's risk score. No command depends on it."""

    user_id: User
    score: Annotated[int, Field(ge=0, le=100)]
    factors: list[RiskFactor]


class RiskScoreResponse(Head):
    """An account's risk score."""

    data: RiskScore


class RuleTrial(RuleGrant):
    """The points that a rule would grant, and what each of its limits has left before the event."""

    left: Annotated[dict[str, Count], Field(examples=[{"user/day/points": 300}])] = OPTIONAL


class DryRun(BaseModel):
    """The result of a dry run. `applied` is false if the event would be refused. `effective_rates` has the
    points per unit for each field that a granting rule uses. `left_today` is what the tenant's daily limit
    has left, or null without a limit."""

    applied: bool
    reason: Reason | None
    message: str | None
    points: Points
    effective_rates: Annotated[dict[str, str], Field(examples=[{"amount_minor": "0.015"}])]
    left_today: Points | None
    rules: list[RuleTrial]


class DryRunResponse(Head):
    """The result of a dry run."""

    data: DryRun


class AuditRecord(BaseModel):
    """An administrator's action, applied or refused. `before` and `after` are the states of the changed
    object. `request_hash` is the hash of the command's content."""

    id: Ulid
    tenant_id: Tenant
    kind: Annotated[str, Field(examples=["adjust"])]
    actor: Annotated[str, Field(examples=["boss"])]
    reason: str = OPTIONAL
    user_id: User = OPTIONAL
    command_id: Ulid = OPTIONAL
    state: Literal["applied", "refused"]
    refusal: Annotated[str, Field(description="The reason of the refusal.")] = OPTIONAL
    before: dict[str, Any] = OPTIONAL
    after: dict[str, Any] = OPTIONAL
    request_hash: Annotated[str, Field(pattern="^[0-9a-f]{32}$")]
    recorded_at: Moment


class AuditRecordListResponse(ListResponse):
    """A page of audit records, newest first."""

    items: list[AuditRecord]  # type: ignore[assignment]  # narrower


class InvariantFindings(BaseModel):
    """An invariant and the rows that violate it."""

    id: Annotated[str, Field(examples=["I2"])]
    name: str
    rows: list[dict[str, Any]]


class AccountReport(BaseModel):
    """The result of verifying an account. `entries` counts its transactions."""

    account_id: Ulid
    user_id: User
    is_sound: bool
    entries: Count
    invariants: list[InvariantFindings]


class AccountReportResponse(Head):
    """The result of verifying an account."""

    data: AccountReport


class Health(BaseModel):
    """The server is healthy."""

    status: Literal["ok"]


class HealthResponse(Head):
    """The server is healthy."""

    data: Health
