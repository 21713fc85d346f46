"""The programmes that the machine runs: a tenant's configuration, and rules both as JSON for the ledger and
as plain Python for the model."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from hypothesis import strategies as st

EVENT_TYPE = "visit"
TIMEZONE = "Europe/Berlin"  # its clocks change on the machine's second day
NOTICE_DAYS = 2  # before what is due expires, once expiry is switched on

PROGRAMMES = st.fixed_dictionaries(
    {
        "max_balance": st.sampled_from([None, None, 150]),
        "max_earn_per_day": st.sampled_from([None, 100]),
        "max_spend_per_day": st.sampled_from([None, 80]),
        "min_spend_points": st.sampled_from([1, 3]),
        "default_expiry_days": st.sampled_from([None, 5]),
        "refund_grace_days": st.sampled_from([2, 0]),
        "hold_grace_days": st.sampled_from([2, 0]),
        "expire_enabled": st.sampled_from([True, True, True, False]),
        "expiry_notice_days": st.just(NOTICE_DAYS),
    }
)

# What is switched while the machine runs: off sometimes, on nearly always.
SWITCHES = st.sampled_from(
    ["expire_enabled", "expire_enabled", "spend_enabled", "earn_enabled", "transfer_enabled"]
)
STANDS = st.sampled_from([True, True, False])


@dataclass(frozen=True, eq=False)
class ModelRule:
    """A rule as the model knows it. `wants`: points for (metadata, balance), None where it does not match;
    `limits`: (period, unit, most)."""

    fields: dict[str, Any]  # what the ledger is given
    wants: Callable[[dict[str, Any], int], int | None]
    limits: tuple[tuple[str, str, int], ...] = ()
    refuses: bool = False
    days: int | None = None  # its own expiry; none: the tenant's
    group: str | None = None  # the best of a group grants, alone

    @property
    def name(self) -> str:
        return str(self.fields["name"])


def _rule(name: str, priority: int, award: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"name": name, "event_type": EVENT_TYPE, "priority": priority, "award": award, **more}


def _limits(*limits: tuple[str, str, int]) -> dict[str, Any]:
    return {"limits": [{"period": period, "unit": unit, "max": most} for period, unit, most in limits]}


def _fixed(points: int) -> dict[str, Any]:
    return {"base": {"kind": "fixed", "points": points}}


_PER_TEN = {"base": {"kind": "per_unit", "field": "amount", "per": 10, "points": 1}, "multiplier": "1.5"}
_DAILY, _WEEKLY, _TWICE = ("day", "points", 12), ("week", "points", 21), ("lifetime", "times", 2)

# Highest priority first. Those that grant for one event differ in their expiry: no two lots are twins.
RULES = (
    ModelRule(
        _rule("per ten", 9, _PER_TEN, expiry={"days": 3}, **_limits(_DAILY)),
        wants=lambda event, balance: event["amount"] // 10 * 3 // 2,
        limits=(_DAILY,),
        days=3,
    ),
    ModelRule(
        _rule("welcome", 8, _fixed(7), when="event.amount >= 20", expiry={"days": 11}, on_exceed="refuse")
        | _limits(_TWICE),
        wants=lambda event, balance: 7 if event["amount"] >= 20 else None,
        limits=(_TWICE,),
        refuses=True,
        days=11,
    ),
    ModelRule(
        _rule("app", 7, _fixed(5), when="has(event.channel) && event.channel == 'app'")
        | {"stacking": {"mode": "best_of", "group": "extra"}}
        | _limits(_WEEKLY, ("day", "times", 2)),
        wants=lambda event, balance: 5 if event.get("channel") == "app" else None,
        limits=(_WEEKLY, ("day", "times", 2)),
        group="extra",
    ),
    ModelRule(
        _rule("poor", 6, {"base": {"kind": "formula", "expr": "int(event.amount) / 7"}})
        | {"when": "account.balance < 40", "stacking": {"mode": "best_of", "group": "extra"}},
        wants=lambda event, balance: event["amount"] // 7 if balance < 40 else None,
        group="extra",
    ),
)


@dataclass
class Programme:
    """A tenant's configuration as it stands."""

    fields: dict[str, Any] = field(default_factory=dict)
    not_before: datetime | None = None  # the end of the notice that expiry, switched on, begins with

    def configure(self, fields: dict[str, Any]) -> dict[str, Any]:
        """The next configuration, with what every machine has."""
        self.fields = {"timezone": TIMEZONE, "transfer_enabled": True} | fields
        return self.fields

    def is_on(self, name: str) -> bool:
        return bool(self.fields.get(name, True))

    def lets_expire(self, moment: datetime) -> bool:
        return self.is_on("expire_enabled") and (self.not_before is None or self.not_before <= moment)

    def most(self, name: str) -> int:
        """A maximum; one that is not set is out of reach."""
        return self.fields.get(name) or 10**12
