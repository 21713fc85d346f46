"""A tenant's configuration, and the calendar that it defines."""

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
from pointledger.domain.program.calendar import Calendar, FormerZone, ZoneName, calendar_of, changed
from pointledger.domain.program.expiry_policy import Expiry, Mode, Round, YearlyDate, policy_schema, unsound
from pointledger.domain.values.fields import MAX_AMOUNT, Days, EntityId, Moment, Months
from pointledger.domain.values.models import as_tuple
from pointledger.domain.values.money import CURRENCY_SCHEMA, SCALES, currency_code
from pointledger.domain.values.validation import explain
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
    """One organisation's programme. What is left out takes its default; each change is a new version."""

    model_config = ConfigDict(
        frozen=True,
        strict=True,
        extra="forbid",
        hide_input_in_errors=True,
        json_schema_extra=policy_schema(_EXPIRY_FIELDS, may_be_left_out=True),
    )

    tenant_id: EntityId
    timezone: ZoneName = "UTC"
    former_zones: Annotated[tuple[FormerZone, ...], BeforeValidator(as_tuple)] = ()  # `following` sees to it
    points_type: Literal["cash_equivalent", "expirable", "tier_points"] = "expirable"
    exchange_rate: Points = 100  # points per currency unit
    # Of wallets that are made from now on.
    currency: Annotated[str, AfterValidator(currency_code), WithJsonSchema(CURRENCY_SCHEMA)] = "CNY"
    expiry_mode: Mode = "never"
    default_expiry_days: Days | None = None
    default_expiry_months: Months | None = None
    expiry_round: Round = "none"
    expiry_date: YearlyDate | None = None
    max_balance: Points | None = None
    min_spend_points: Points = 1
    max_earn_per_day: Points | None = None
    max_spend_per_day: Points | None = None
    earn_enabled: bool = True
    spend_enabled: bool = True
    expire_enabled: bool = True
    # When expiry is switched on, an exemption lifted or a policy applied, so much time is given before.
    expiry_notice_days: Annotated[int, Field(ge=1, le=36_500)] = 30
    expires_not_before: Moment | None = None  # what is due waits until then; `following` sees to it
    expire_accounts_per_run: Points | None = None  # of a sweep; the others wait for the next
    exchange_enabled: bool = True
    transfer_enabled: bool = False
    # What a refund brings back after its expiry lives so much longer; 0: it expires at once.
    refund_grace_days: Annotated[int, Field(ge=0, le=36_500)] = 30
    # Of points whose lot expired while they were held, once released; 0: they expire at once.
    hold_grace_days: Annotated[int, Field(ge=0, le=36_500)] = 7
    backdating_days: Annotated[int, Field(ge=0, le=36_500)] | None = None  # null: any past is believed
    dead_policy: Literal["skip", "hold"] = "skip"  # what a dead command does to its user's followers
    # What is told to others. None: events that nobody fetches would pile up for ever.
    events: Literal["all"] | Annotated[tuple[EventType, ...], BeforeValidator(as_tuple)] = ()

    @model_validator(mode="before")
    @classmethod
    def _a_span_means_rolling(cls, fields: Any) -> Any:
        """`default_expiry_days` alone says enough."""
        spans = ("default_expiry_days", "default_expiry_months")
        if isinstance(fields, dict) and any(fields.get(span) is not None for span in spans):
            return {"expiry_mode": "rolling", **fields}
        return fields

    @model_validator(mode="after")
    def _expiry_is_told(self) -> "Tenant":
        if told := unsound(self, _EXPIRY_FIELDS):
            raise ValueError(told)
        return self

    @cached_property
    def expiry(self) -> Expiry:
        """The policy for points whose rule or command has none of its own."""
        mode, days, months, rounded, yearly = (getattr(self, name) for name in _EXPIRY_FIELDS)
        return Expiry(mode=mode, days=days, months=months, round=rounded, date=yearly)

    @cached_property
    def wanted_events(self) -> frozenset[str]:
        """The types of events that are told to others."""
        return frozenset(EVENT_TYPES if self.events == "all" else self.events)

    @property
    def scale(self) -> int:
        """The decimals of its currency."""
        return SCALES[self.currency]

    def following(self, before: "Tenant | None", now: datetime) -> "Tenant":
        """This version as it may come after another. Another zone counts from its next midnight; what is said
        of former ones is not heard. Where expiry is switched on, nothing expires before the notice is over;
        and a notice that was given once is not taken back."""
        former = changed(before.timezone, before.former_zones, self.timezone, now) if before else ()
        follower = self.model_copy(update={"former_zones": former})
        if before is None or not self.expire_enabled:
            return follower
        told = [self.expires_not_before, before.expires_not_before]
        if not before.expire_enabled:
            told.append(follower.notice_ends(now))
        latest = max((moment for moment in told if moment), default=None)
        return follower if latest is None else follower.model_copy(update={"expires_not_before": latest})

    def notice_ends(self, now: datetime, days: int | None = None) -> datetime:
        """The local midnight that ends a notice of so many days, the tenant's own number if not given."""
        days = self.expiry_notice_days if days is None else days
        return self.day_starts_at(self.local_date(now) + timedelta(days=days))

    def lets_expire(self, moment: datetime) -> bool:
        """Whether what is due then may expire, as far as the tenant is concerned."""
        not_before = self.expires_not_before
        return self.expire_enabled and (not_before is None or not_before <= moment)

    @cached_property
    def calendar(self) -> Calendar:
        """Its dates and clocks, also while it was in another zone."""
        return calendar_of(self.timezone, self.former_zones)

    def local(self, moment: datetime) -> datetime:
        """The tenant's date and what its clocks show then, without a zone."""
        return self.calendar.local(moment)

    def local_date(self, moment: datetime) -> date:
        """The tenant's calendar day of a moment."""
        return self.calendar.local(moment).date()

    def day_starts_at(self, day: date) -> datetime:
        """The first instant of a local day, also where the clocks skip midnight. A day that does not occur
        starts with the next."""
        return self.instant(datetime.combine(day, time.min))

    def day_before(self, day: date) -> date:
        """The local day that ends when this one begins."""
        return self.local_date(self.day_starts_at(day) - timedelta.resolution)

    def occurs(self, day: date) -> bool:
        """Whether there is such a day in the tenant's calendar: a change of its zone may leap over one."""
        return self.local_date(self.day_starts_at(day)) == day

    def days_later(self, moment: datetime, days: int) -> datetime:
        """The same local time so many calendar days on."""
        return self.instant(self.local(moment) + timedelta(days=days))

    def expires_at(self, earned_at: datetime, policy: Expiry | None = None) -> datetime | None:
        """When points earned then cease to count, by a policy or by the tenant's own; None: never."""
        policy = policy or self.expiry
        if policy.mode == "never":
            return None
        ends = policy.ends(self.local(earned_at))
        return None if ends is None else self.instant(ends)

    def default_expiry(self, earned_at: datetime) -> datetime | None:
        """When points earned now cease to count, by the tenant's policy; None: never."""
        return self.expires_at(earned_at)

    def effective_at(self, occurred_at: datetime | None, accepted_at: datetime) -> datetime:
        """The instant that decides: when it happened, where that is past and the tenant believes it."""
        if occurred_at is None or occurred_at > accepted_at:
            return accepted_at
        if self.backdating_days is None:
            return occurred_at
        reach = accepted_at - timedelta(days=self.backdating_days)
        return occurred_at if occurred_at >= reach else accepted_at

    def instant(self, local: datetime) -> datetime:
        """Local time to UTC, in the zone that counts then (`Calendar.instant`)."""
        return self.calendar.instant(local)


def tenant_from(fields: dict[str, Any]) -> Tenant:
    """A tenant from JSON fields. Raises InvalidTenant naming each field and rule."""
    try:
        return Tenant.model_validate(fields)
    except ValidationError as error:
        raise InvalidTenant(explain(error)) from None
