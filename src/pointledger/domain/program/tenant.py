"""Defines a tenant's configuration and its calendar."""

from datetime import date, datetime, time, timedelta
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    WithJsonSchema,
    model_validator,
)

from pointledger.domain.events.outgoing import EVENT_TYPES, EventType
from pointledger.domain.program.calendar import (
    Calendar,
    FormerZone,
    ZoneName,
    calendar_of,
    former_zones_after,
)
from pointledger.domain.program.expiry_policy import (
    Expiry,
    Mode,
    Round,
    YearlyDate,
    policy_error,
    policy_schema,
)
from pointledger.domain.values.fields import MAX_AMOUNT, Days, EntityId, Moment, Months
from pointledger.domain.values.models import as_tuple
from pointledger.domain.values.money import CURRENCY_SCHEMA, SCALES, currency_code
from pointledger.domain.values.validation import describe, faults_of
from pointledger.errors import InvalidTenant

Points = Annotated[int, Field(ge=1, le=MAX_AMOUNT)]

_EXPIRY_FIELDS = (
    "expiry_mode",
    "default_expiry_days",
    "default_expiry_months",
    "expiry_round",
    "expiry_date",
)


class Tenant(BaseModel):
    """One organization's loyalty program. Each change is a new version."""

    model_config = ConfigDict(
        frozen=True,
        strict=True,
        extra="forbid",
        hide_input_in_errors=True,
        json_schema_extra=policy_schema(_EXPIRY_FIELDS, may_be_left_out=True),
    )

    tenant_id: EntityId = Field(description="The tenant's id.")
    timezone: ZoneName = Field(
        default="UTC",
        description="The zone of the tenant's days, limits and expiry, like `Europe/Berlin`. A new zone "
        "counts from its next midnight.",
    )
    former_zones: Annotated[tuple[FormerZone, ...], BeforeValidator(as_tuple)] = Field(
        default=(), description="Earlier zones, and until when each counts. The ledger writes them."
    )
    points_type: Literal["cash_equivalent", "expirable", "tier_points"] = Field(
        default="expirable",
        description="What the points are: only `cash_equivalent` points can be exchanged for money, and "
        "`tier_points` cannot be transferred. An account keeps the type that it was opened with.",
    )
    exchange_rate: Points = Field(default=100, description="Points per currency unit.")
    currency: Annotated[str, AfterValidator(currency_code), WithJsonSchema(CURRENCY_SCHEMA)] = Field(
        default="CNY", description="The currency of wallets that are made from now on."
    )
    expiry_mode: Mode = Field(
        default="never",
        description="When points expire, unless a rule or a command says otherwise. With a number of days or "
        "months alone it is `rolling`.",
    )
    default_expiry_days: Days | None = Field(
        default=None, description="With `rolling`: calendar days after the points are available."
    )
    default_expiry_months: Months | None = Field(
        default=None,
        description="With `rolling`: calendar months instead of days. 31 January and one month is the last "
        "day of February.",
    )
    expiry_round: Round = Field(
        default="none",
        description="With `rolling`: the points live until the end of the month, quarter or year.",
    )
    expiry_date: YearlyDate | None = Field(
        default=None,
        description="With `fixed_date`: the points live through the next such day, today included. `02-29` "
        "is the last day of February in other years.",
    )
    max_balance: Points | None = Field(
        default=None,
        description="The most that an account holds. Grants of rules are clamped to it. `earn` and "
        "`transfer` beyond it are refused. No maximum, if not given.",
    )
    min_spend_points: Points = Field(default=1, description="The least that a `spend` takes.")
    max_earn_per_day: Points | None = Field(
        default=None, description="The most that a user earns on a local day. No maximum, if not given."
    )
    max_spend_per_day: Points | None = Field(
        default=None, description="The most that a user spends on a local day. No maximum, if not given."
    )
    earn_enabled: bool = Field(default=True, description="Whether `earn` and `apply-rule` are allowed.")
    spend_enabled: bool = Field(
        default=True, description="Whether `spend`, `freeze` and `confirm-deduction` are allowed."
    )
    expire_enabled: bool = Field(
        default=True,
        description="Whether points expire. While it is off, lots keep their expiry and can be spent. When "
        "it is switched on again, nothing expires before `expires_not_before`.",
    )
    expiry_notice_days: Annotated[int, Field(ge=1, le=36_500)] = Field(
        default=30,
        description="Days of notice before points expire that were spared so far, because expiry was "
        "switched on, an exemption was lifted or a policy was applied.",
    )
    expires_not_before: Moment | None = Field(
        default=None,
        description="What is due waits until then. The ledger sets it when `expire_enabled` becomes true, "
        "and no change brings it forward. Of several bounds the latest holds.",
    )
    expire_accounts_per_run: Points | None = Field(
        default=None,
        description="Accounts whose points one nightly run expires, the soonest expiry first. The others "
        "wait for the next run. All accounts, if not given.",
    )
    exchange_enabled: bool = Field(default=True, description="Whether `exchange` is allowed.")
    transfer_enabled: bool = Field(default=False, description="Whether `transfer` is allowed.")
    refund_grace_days: Annotated[int, Field(ge=0, le=36_500)] = Field(
        default=30,
        description="Days that points live on if their expiry passed before their refund. 0: they expire at "
        "once.",
    )
    hold_grace_days: Annotated[int, Field(ge=0, le=36_500)] = Field(
        default=7,
        description="Days that points live on if their lot expired while they were held, counted from their "
        "release. 0: they expire at once.",
    )
    backdating_days: Annotated[int, Field(ge=0, le=36_500)] | None = Field(
        default=None, description="How many days back `occurred_at` is believed. Any past, if not given."
    )
    dead_policy: Literal["skip", "block"] = Field(
        default="skip",
        description="What a dead command does to later commands of its user: `skip` lets them pass, `block` "
        "keeps them pending until it is retried.",
    )
    # None by default: events without a consumer would pile up.
    events: Literal["all"] | Annotated[tuple[EventType, ...], BeforeValidator(as_tuple)] = Field(
        default=(), description='Events that the ledger sends to other services: `"all"`, or a list of types.'
    )

    @model_validator(mode="before")
    @classmethod
    def _default_to_rolling(cls, fields: Any) -> Any:
        """Set the mode to `rolling` if a span is given without a mode."""
        spans = ("default_expiry_days", "default_expiry_months")
        if isinstance(fields, dict) and any(fields.get(span) is not None for span in spans):
            return {"expiry_mode": "rolling", **fields}
        return fields

    @model_validator(mode="after")
    def _check_expiry(self) -> "Tenant":
        if error := policy_error(self, _EXPIRY_FIELDS):
            raise ValueError(error)
        return self

    @cached_property
    def expiry(self) -> Expiry:
        """The policy for points whose rule or command has no policy."""
        mode, days, months, rounded, yearly = (getattr(self, name) for name in _EXPIRY_FIELDS)
        return Expiry(mode=mode, days=days, months=months, round=rounded, date=yearly)

    @cached_property
    def wanted_events(self) -> frozenset[str]:
        """The types of events to send."""
        return frozenset(EVENT_TYPES if self.events == "all" else self.events)

    @property
    def scale(self) -> int:
        """The number of decimals of its currency."""
        return SCALES[self.currency]

    def following(self, before: "Tenant | None", now: datetime) -> "Tenant":
        """Return this version with the fields that depend on the previous version.

        A new time zone applies from its next midnight, and `former_zones` of the input are ignored. When
        expiry is switched on, points expire only after the notice period. A notice period that has started is
        never shortened.
        """
        former: tuple[FormerZone, ...] = ()
        if before:
            former = former_zones_after(before.timezone, before.former_zones, self.timezone, now)
        new = self.model_copy(update={"former_zones": former})
        if before is None or not self.expire_enabled:
            return new
        starts = [self.expires_not_before, before.expires_not_before]
        if not before.expire_enabled:
            starts.append(new.notice_ends(now))
        latest = max((moment for moment in starts if moment), default=None)
        return new if latest is None else new.model_copy(update={"expires_not_before": latest})

    def notice_ends(self, now: datetime, days: int | None = None) -> datetime:
        """Return the local midnight that ends a notice period, by default the tenant's."""
        days = self.expiry_notice_days if days is None else days
        return self.day_starts_at(self.local_date(now) + timedelta(days=days))

    def lets_expire(self, moment: datetime) -> bool:
        """Return whether the tenant's configuration lets due points expire at a moment."""
        not_before = self.expires_not_before
        return self.expire_enabled and (not_before is None or not_before <= moment)

    @cached_property
    def calendar(self) -> Calendar:
        """The tenant's local dates and times, including its former zones."""
        return calendar_of(self.timezone, self.former_zones)

    def local(self, moment: datetime) -> datetime:
        """Convert a moment to the tenant's local date and time, without a zone."""
        return self.calendar.local(moment)

    def local_date(self, moment: datetime) -> date:
        """Return the tenant's local date at a moment."""
        return self.calendar.local(moment).date()

    def day_starts_at(self, day: date) -> datetime:
        """Return the first instant of a local day, also if the clocks skip midnight.

        A day that does not occur starts with the next day.
        """
        return self.instant(datetime.combine(day, time.min))

    def day_before(self, day: date) -> date:
        """Return the local day before this one."""
        return self.local_date(self.day_starts_at(day) - timedelta.resolution)

    def occurs(self, day: date) -> bool:
        """Return whether the day exists in the tenant's calendar. A change of time zone can skip one."""
        return self.local_date(self.day_starts_at(day)) == day

    def days_later(self, moment: datetime, days: int) -> datetime:
        """Return the same local time `days` calendar days later."""
        return self.instant(self.local(moment) + timedelta(days=days))

    def expires_at(self, earned_at: datetime, policy: Expiry | None = None) -> datetime | None:
        """Return the expiry of points earned then, by a policy or the tenant's own; None means never."""
        policy = policy or self.expiry
        if policy.mode == "never":
            return None
        known_policy, known_moment, known = self.latest_expiry
        if known_policy is policy and known_moment == earned_at:
            return known
        ends = policy.ends(self.local(earned_at))
        found = None if ends is None else self.instant(ends)
        # One assignment, because threads share a tenant.
        self.__dict__["latest_expiry"] = policy, earned_at, found
        return found

    @cached_property
    def latest_expiry(self) -> tuple[Expiry | None, datetime | None, datetime | None]:
        """What `expires_at` has found last: commands that are accepted together earn at one moment."""
        return None, None, None

    def default_expiry(self, earned_at: datetime) -> datetime | None:
        """Return the expiry of points earned then, by the tenant's policy; None means never."""
        return self.expires_at(earned_at)

    def effective_at(self, occurred_at: datetime | None, accepted_at: datetime) -> datetime:
        """Return `occurred_at` if it lies in the past within `backdating_days`, else `accepted_at`."""
        if occurred_at is None or occurred_at > accepted_at:
            return accepted_at
        if self.backdating_days is None:
            return occurred_at
        reach = accepted_at - timedelta(days=self.backdating_days)
        return occurred_at if occurred_at >= reach else accepted_at

    def instant(self, local: datetime) -> datetime:
        """Convert local time to UTC, in the zone that applies then (`Calendar.instant`)."""
        return self.calendar.instant(local)


def tenant_from(fields: dict[str, Any]) -> Tenant:
    """Build a tenant from JSON fields. Raises InvalidTenant, which names each field and rule."""
    try:
        return Tenant.model_validate(fields)
    except ValidationError as error:
        invalid = InvalidTenant(describe(error))
        invalid.faults = faults_of(error)
        raise invalid from None
