"""Creates random configurations and rules with every field and every kind of base, limit and expiry."""

import random
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/Sao_Paulo",  # daylight saving skips a midnight
    "America/Havana",  # midnights that occur twice
    "Asia/Shanghai",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",  # daylight saving of half an hour
    "Pacific/Kiritimati",
    "Pacific/Pago_Pago",
    "Pacific/Apia",  # skipped 30 December 2011
)
EVENT_TYPES = ("paid", "visit", "review")
_OFTEN, _RARELY = 0.75, 0.12

Values = dict[str, Any]


class RandomPrograms:
    """Creates programs whose dates are near the start of a history."""

    def __init__(self, chance: random.Random, start: datetime) -> None:
        self._chance, self._start = chance, start

    def _one(self, *of: Any) -> Any:
        return self._chance.choice(of)

    def _maybe(self, probability: float, make: Callable[[], Any]) -> Any:
        return make() if self._chance.random() < probability else None

    def _is_on(self, probability: float) -> bool:
        return self._chance.random() < probability

    # ------------------------------------------------------------------------------------------- tenant

    def config(self) -> Values:
        """Return a configuration with a random choice of the optional fields."""
        config: Values = {
            "timezone": self._one(*ZONES),
            "points_type": self._one(*["expirable", "cash_equivalent"] * 4, "tier_points"),
            "transfer_enabled": self._is_on(0.93),
            **self._expiry_of_tenant(),
        }
        choices: dict[str, tuple[float, Callable[[], Any]]] = {
            "exchange_rate": (0.5, lambda: self._one(1, 3, 7, 1000, 12345)),
            "currency": (0.5, lambda: self._one("EUR", "JPY", "KWD")),
            "max_balance": (0.3, lambda: self._one(40, 100, 1000)),
            "min_spend_points": (0.3, lambda: self._one(2, 5)),
            "max_earn_per_day": (0.3, lambda: self._one(20, 60, 300)),
            "max_spend_per_day": (0.3, lambda: self._one(20, 60, 300)),
            "earn_enabled": (0.03, lambda: False),
            "spend_enabled": (0.03, lambda: False),
            "expire_enabled": (0.1, lambda: False),
            "exchange_enabled": (0.06, lambda: False),
            "expiry_notice_days": (0.3, lambda: self._one(1, 7)),
            "expires_not_before": (_RARELY, lambda: self._start + timedelta(days=self._one(1, 10, 60))),
            "expire_accounts_per_run": (_RARELY, lambda: 3),
            "refund_grace_days": (0.6, lambda: self._one(0, 0, 1, 2, 10)),
            "hold_grace_days": (0.6, lambda: self._one(0, 0, 1, 2, 10)),
            "backdating_days": (0.06, lambda: self._one(0, 3, 36500)),
            "dead_policy": (0.3, lambda: "block"),
            "events": (0.3, lambda: self._one("all", ["points.earned", "hold.opened"])),
        }
        for name, (probability, make) in choices.items():
            if self._is_on(probability):
                config[name] = make()
        return config

    def _expiry_of_tenant(self) -> Values:
        mode = self._one("never", "rolling", "rolling", "fixed_date")
        if mode == "fixed_date":
            return {"expiry_mode": mode, "expiry_date": self._day_of_year()}
        if mode == "never":
            return {}
        how = self._rolling()
        names = {"days": "default_expiry_days", "months": "default_expiry_months", "round": "expiry_round"}
        return {"expiry_mode": mode, **{names[name]: value for name, value in how.items()}}

    def _rolling(self) -> Values:
        how: Values = self._one({"days": self._one(1, 2, 7, 30)}, {"months": self._one(1, 2, 12)})
        if self._is_on(0.3):
            how["round"] = self._one("end_of_month", "end_of_quarter", "end_of_year")
        return how

    def _day_of_year(self) -> str:
        near = self._start + timedelta(days=self._chance.randrange(0, 20))
        return self._one("12-31", "02-29", "03-31", f"{near:%m-%d}")  # type: ignore[no-any-return]

    def changed(self, config: Values) -> Values:
        """Return the configuration with up to two fields changed, and the same expiry settings."""
        other = self.config()
        names = [name for name in {**config, **other} if "expir" not in name or name == "expire_enabled"]
        changed = dict(config)
        for name in self._chance.sample(sorted(names), min(2, len(names))):
            changed.pop(name, None)
            if name in other:
                changed[name] = other[name]
        return changed

    # -------------------------------------------------------------------------------------------- rules

    def rule(self, name: str) -> Values:
        """Return a rule in the nested or the flat form."""
        body: Values = {
            "name": name,
            "event_type": self._one(*EVENT_TYPES[:2]),
            "priority": self._one(0, 0, 5, 10),
            "enabled": self._is_on(0.93),
        }
        if self._is_on(0.3):
            return body | self._flat()
        body["award"] = self._award()
        parts: dict[str, tuple[float, Callable[[], Any]]] = {
            "valid": (0.3, self._window),
            "when": (0.35, self._condition),
            "stacking": (0.4, self._stacking),
            "limits": (0.6, self._limits),
            "on_exceed": (0.5, lambda: self._one("refuse", "clamp")),
            "pending": (0.2, lambda: {"mode": "period", "days": self._one(1, 2, 14)}),
            "expiry": (0.5, self._expiry),
        }
        for part, (probability, make) in parts.items():
            if self._is_on(probability):
                body[part] = make()
        return body

    def _flat(self) -> Values:
        flat: Values = self._one({"points": self._one(1, 7, 10)}, {"base": self._base()})
        flat["multiplier"] = self._multiplier()
        for name, values in (("daily_limit", (10, 30)), ("total_limit", (25, 100))):
            if self._is_on(0.4):
                flat[name] = self._one(*values)
            if name in flat and self._is_on(0.3):
                flat[f"{name}_unit"], flat[name] = "times", self._one(1, 2)
        if self._is_on(0.3):
            flat["expiry_days"] = self._one(1, 7, 30)
        if self._is_on(0.2):
            flat["pending_days"] = self._one(1, 3)
        return flat

    def _multiplier(self) -> str:
        return self._one("1", "1", "1.5", "0.5", "1.15", "2", "0.333")  # type: ignore[no-any-return]

    def _award(self) -> Values:
        award: Values = {"base": self._base()}
        if self._is_on(0.5):
            award["multiplier"] = self._multiplier()
        if self._is_on(0.5):
            award["rounding"] = self._one("floor", "ceil", "half_up", "half_even")
        if self._is_on(0.2):
            award["min"] = self._one(0, 1, 5)
        if self._is_on(0.2):
            award["max"] = self._one(5, 20)
        return award

    def _base(self) -> Values:
        return self._one(  # type: ignore[no-any-return]
            {"kind": "fixed", "points": self._one(1, 7, 10, 25)},
            {"kind": "per_unit", "field": "n", "per": self._one(1, 7, 100), "points": self._one(1, 3)},
            {
                "kind": "table",
                "field": "n",
                "brackets": [{"from": 10, "points": 3}, {"from": 100, "points": 11}],
            },
            {
                "kind": "formula",
                "expr": self._one("event.n / 3", "event.n * 2 - 50", "now.hour + 1", "event.n % 7"),
            },
        )

    def _window(self) -> Values:
        valid: Values = {}
        local = self._start.replace(tzinfo=None)
        if self._is_on(0.4):
            valid["from"] = (local + timedelta(days=self._one(-5, 1, 3))).isoformat()
        if self._is_on(0.4):
            valid["until"] = (local + timedelta(days=self._one(5, 20, 300))).isoformat()
        if self._is_on(0.4):
            valid["weekdays"] = sorted(self._chance.sample(range(1, 8), 4))
        if self._is_on(0.4) or not valid:
            valid["hours"] = self._one(["08:00-20:00"], ["22:00-06:00"], ["00:00-12:00", "18:30-23:00"])
        return valid

    def _condition(self) -> str:
        simple = (
            "event.n >= 50",
            "event.n < 50 || event.vip == true",
            "has(event.channel) && event.channel == 'app'",
            "!has(event.channel)",
            "event.channel != 'web'",
            "now.weekday >= 6 || now.hour < 12",
            "now.date >= '2016-06-01' && now.minute < 45",
            "account.is_new || account.total_earned < 100",
            "account.balance + account.frozen_balance + account.pending_balance >= 20",
            "account.debt == 0 && account.total_spent + account.total_refunded >= 0",
            "account.expired_points + account.total_clawed_back < 30",
            "int(event.code) % 2 == 1",
            "event.n / (event.n - 50) > 0",
        )
        if self._is_on(_OFTEN):
            return self._one(*simple)  # type: ignore[no-any-return]
        sign = self._one("&&", "||")
        return f"({self._one(*simple)}) {sign} !({self._one(*simple)})"

    def _stacking(self) -> Values:
        stacking: Values = {"mode": self._one("stack", "best_of", "best_of", "exclusive")}
        if self._is_on(0.5):
            stacking["group"] = self._one("one", "two")
        return stacking

    def _limits(self) -> list[Values]:
        made = {}
        for _ in range(self._one(1, 1, 2, 3)):
            limit: Values = {"scope": self._one("user", "user", "rule", "tenant")}
            limit["period"] = self._one("day", "day", "week", "month", "lifetime")
            limit["unit"] = self._one("points", "points", "times")
            limit["max"] = self._one(1, 2, 4) if limit["unit"] == "times" else self._one(5, 15, 40, 100)
            made[limit["scope"], limit["period"], limit["unit"]] = limit
        return list(made.values())

    def _expiry(self) -> Values:
        mode = self._one("rolling", "rolling", "fixed_date", "never")
        if mode == "rolling":
            return {"mode": mode, **self._rolling()}
        return {"mode": mode, "date": self._day_of_year()} if mode == "fixed_date" else {"mode": mode}
