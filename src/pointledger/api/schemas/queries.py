"""The shapes of what may be asked besides: figures, expiry, risk, dry runs, acts, integrity, health."""

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
    """Transactions and points of a type and subtype."""

    type: TransactionType
    subtype: Subtype
    entries: Count
    points: Points


class MonthFigures(KindFigures):
    """Those of one month of the tenant's calendar, by when they happened."""

    month: Month


class RuleFigures(BaseModel):
    """What a rule has granted. `rule`: its name."""

    rule_id: Ulid
    rule: str
    entries: Count
    points: Points


class UserRuleFigures(RuleFigures):
    """What a rule has granted a user; `pending`: what of it is not available yet, now and as recorded."""

    pending: Points
    recorded_pending: Points
    last_at: Moment


class UserStats(BaseModel):
    """A user's figures."""

    account: PointAccountResponse
    by_month: Annotated[list[MonthFigures], Field(description="The last twelve months, newest first.")]
    by_rule: Annotated[list[UserRuleFigures], Field(description="Most points first.")]


class UserStatsResponse(Head):
    """A user's figures."""

    data: UserStats


class AccountSums(BaseModel):
    """What the tenant's accounts add up to."""

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
    """The tenant's figures at `as_of`, and beside them as they are recorded. `accounts`: by status;
    `outstanding`: what users have, frozen and pending points included; `totals` is empty while there is no
    account; `this_month` and `by_rule` are what was recorded this month."""

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
    """The tenant's figures."""

    data: TenantStats


class ExpiringLot(BaseModel):
    """Points that expire together. `amount`: how many there were at first. Of points whose hold has timed out
    the lot may not be recorded yet: then `id` and `entry_id` are null."""

    id: Ulid | None
    points: Points
    amount: Points
    earned_at: Moment
    expires_at: Moment
    entry_id: Ulid | None
    origin_id: Annotated[Ulid, Field(description="The transaction that first brought the points.")]


class Expiring(BaseModel):
    """What expires by `until`, as the account is at `asked_at`: `points` and `lots_in_all` count all, `lots`
    are the first ten thousand. `recorded_points` counts the lots as they are recorded."""

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
    """What expires soon."""

    data: Expiring


class RiskFactor(BaseModel):
    """One fact: its `value`, how alarming that is (`level`), the most it adds (`weight`) and what it adds."""

    name: Annotated[str, Field(examples=["transfers_last_day"])]
    value: float
    level: Annotated[float, Field(ge=0, le=1)]
    weight: Count
    points: Count


class RiskScore(BaseModel):
    """How suspicious an account is. It decides nothing."""

    user_id: User
    score: Annotated[int, Field(ge=0, le=100)]
    factors: list[RiskFactor]


class RiskScoreResponse(Head):
    """How suspicious an account is."""

    data: RiskScore


class RuleTrial(RuleGrant):
    """What a rule would grant, and what each of its limits has left before."""

    left: Annotated[dict[str, Count], Field(examples=[{"user/day/points": 300}])] = OPTIONAL


class DryRun(BaseModel):
    """What an event would bring. `applied`: not refused; `effective_rates`: for each field that a granting
    rule counts, the points per unit of it; `left_today`: of the tenant's daily limit, null where none is."""

    applied: bool
    reason: Reason | None
    message: str | None
    points: Points
    effective_rates: Annotated[dict[str, str], Field(examples=[{"amount_minor": "0.015"}])]
    left_today: Points | None
    rules: list[RuleTrial]


class DryRunResponse(Head):
    """What an event would bring."""

    data: DryRun


class Act(BaseModel):
    """What an administrator did or tried. `before` and `after`: what it was about, as it stood; a command's
    `request_hash` is that of its content."""

    id: Ulid
    tenant_id: Tenant
    kind: Annotated[str, Field(examples=["adjust"])]
    actor: Annotated[str, Field(examples=["boss"])]
    reason: str = OPTIONAL
    user_id: User = OPTIONAL
    command_id: Ulid = OPTIONAL
    state: Literal["applied", "refused"]
    refusal: Annotated[str, Field(description="Why it was refused.")] = OPTIONAL
    before: dict[str, Any] = OPTIONAL
    after: dict[str, Any] = OPTIONAL
    request_hash: Annotated[str, Field(pattern="^[0-9a-f]{32}$")]
    recorded_at: Moment


class ActListResponse(ListResponse):
    """A page of acts, the latest first."""

    items: list[Act]  # type: ignore[assignment]  # narrower


class InvariantFindings(BaseModel):
    """Something that must be true, and the rows that belie it: none where all is well."""

    id: Annotated[str, Field(examples=["I2"])]
    name: str
    rows: list[dict[str, Any]]


class Integrity(BaseModel):
    """Whether an account is sound, and everything that was asked of it. `entries`: its transactions."""

    account_id: Ulid
    user_id: User
    is_sound: bool
    entries: Count
    invariants: list[InvariantFindings]


class IntegrityResponse(Head):
    """Whether an account is sound."""

    data: Integrity


class Health(BaseModel):
    """The gateway is well."""

    status: Literal["ok"]


class HealthResponse(Head):
    """The gateway is well."""

    data: Health
