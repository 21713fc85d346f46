"""Applies the tenant's rules to an event: which match, which yield to others, and what limits allow."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from fractions import Fraction
from math import ceil, floor
from typing import Any

from tests.model.accounts import FIGURES, LARGEST_TOTAL
from tests.model.deciding import Data, Decision, Refused
from tests.model.expressions import ExpressionError, compiled
from tests.model.points import Meter, count, count_earnings, earnings_left, grant
from tests.model.programs import Limit, Rule

_BEGINNING = date(1, 1, 1)


@dataclass(slots=True)
class Match:
    """An evaluated rule. `skipped` has the reason why it grants nothing, and the detail."""

    rule: Rule
    version: int
    wanted: int = 0
    skipped: tuple[str, str | None] | None = None
    granted: int = 0
    limited_by: str | None = None
    is_refused: bool = False
    activates_at: datetime | None = None

    @property
    def as_data(self) -> Data:
        about: Data = {"rule": self.rule.name, "rule_version": self.version}
        if self.skipped:
            reason, detail = self.skipped
            return {**about, "skipped": reason, **({"detail": detail} if detail else {})}
        about |= {"wanted": self.wanted, "granted": self.granted}
        if self.limited_by:
            about["limited_by"] = self.limited_by
        if self.granted and self.activates_at:
            about["activates_at"] = self.activates_at
        return about


def apply_rule(d: Decision) -> Data:
    """Evaluate every rule on the account before the command; then the remaining rules grant in order."""
    matches = _evaluated(d)
    _resolve_stacking(matches)
    granting = [match for match in matches if not match.skipped]
    if not granting:
        raise Refused("NO_MATCHING_RULE")
    taken = _share_out(d, granting)
    refused = any(match.is_refused for match in granting)
    points = sum(match.granted for match in granting)
    if refused and not points:
        raise Refused("LIMIT_REACHED")
    d.must_fit(points, "total_earned")
    for meter, (more, _) in taken.items():
        d.refuse_unless(d.world.usage[meter][0] + more <= LARGEST_TOTAL, "FIGURE_TOO_LARGE")
    for match in granting:
        if match.granted:
            _grant(d, match)
    grants = [match.as_data for match in [*granting, *(match for match in matches if match.skipped)]]
    return {"points_earned": points, "grants": grants}


# ------------------------------------------------------------------------------------------ evaluate


def _evaluated(d: Decision) -> list[Match]:
    """Evaluate the enabled rules of the event's type that were in force, in the order of granting."""
    context = _context(d, d.calendar.local(d.effective_at))
    found = []
    for versions in d.world.rules.values():
        number, rule = _in_force(versions, d.effective_at)
        if rule.enabled and rule.event_type == d.fields["event_type"]:
            match = Match(rule, number)
            _evaluate(match, d, context)
            found.append(match)
    return sorted(found, key=lambda match: -match.rule.priority)


def _in_force(versions: list[tuple[datetime | None, Rule]], moment: datetime) -> tuple[int, Rule]:
    number = max(nth for nth, (since, _) in enumerate(versions, 1) if since is None or since <= moment)
    return number, versions[number - 1][1]


def _context(d: Decision, local: datetime) -> Mapping[str, Mapping[str, Any]]:
    figures = {name: d.account.figures[name] for name in FIGURES}
    return {
        "event": d.fields.get("metadata") or {},
        "account": {"is_new": d.command.user_id not in d.world.accounts, **figures},
        "now": {
            "hour": local.hour,
            "minute": local.minute,
            "weekday": local.isoweekday(),
            "date": local.date().isoformat(),
        },
    }


def _evaluate(match: Match, d: Decision, context: Mapping[str, Mapping[str, Any]]) -> None:
    rule = match.rule
    if not rule.window.holds(d.calendar, d.effective_at):
        match.skipped = ("window", None)
        return
    try:
        if rule.when is not None and compiled(rule.when)(context) is not True:
            match.skipped = ("condition", None)
            return
        base = _base(rule.base, context)
    except ExpressionError:
        match.skipped = ("error", None)
        return
    if base is None:
        match.skipped = ("field", rule.base["field"])
        return
    match.wanted = _rounded(base * rule.multiplier, rule.rounding)
    if rule.least is not None:
        match.wanted = max(match.wanted, rule.least)
    if rule.most is not None:
        match.wanted = min(match.wanted, rule.most)
    match.wanted = max(match.wanted, 0)


def _base(base: Mapping[str, Any], context: Mapping[str, Mapping[str, Any]]) -> int | None:
    """Return the points before the multiplier, or None if the event lacks the field."""
    if base["kind"] == "fixed":
        return int(base["points"])
    if base["kind"] == "formula":
        found = compiled(base["expr"])(context)
        if type(found) is not int:
            raise ExpressionError("no integer")
        return found
    value = context["event"].get(base["field"])
    if type(value) is not int:
        return None
    if base["kind"] == "per_unit":
        return value // int(base["per"]) * int(base["points"])
    begun = [bracket["points"] for bracket in base["brackets"] if bracket["from"] <= value]
    return int(begun[-1]) if begun else 0


def _rounded(points: Fraction, how: str) -> int:
    if how == "floor":
        return floor(points)
    if how == "ceil":
        return ceil(points)
    if how == "half_even":
        return round(points)
    return floor(points + Fraction(1, 2))


def _resolve_stacking(matches: list[Match]) -> None:
    """Keep one exclusive rule per group, or the best_of rule that grants most."""
    for group in {match.rule.group for match in matches}:
        members = [match for match in matches if match.rule.group == group and not match.skipped]
        alone = [match for match in members if match.rule.stacking == "exclusive"]
        best = [match for match in members if match.rule.stacking == "best_of"]
        if alone:
            winner, losers = alone[0], members
        elif best:
            winner, losers = max(best, key=lambda match: match.wanted), best
        else:
            continue
        for match in losers:
            if match is not winner:
                match.skipped = ("stacking", winner.rule.name)


# --------------------------------------------------------------------------------------------- grant


def meter_of(d: Decision, rule: Rule, limit: Limit) -> Meter:
    """Return the window in which a limit counts: user, meter, period, first day."""
    day = d.calendar.date_of(d.effective_at)
    first = {
        "day": day,
        "week": day - timedelta(days=day.weekday()),
        "month": day.replace(day=1),
        "lifetime": _BEGINNING,
    }[limit.period]
    if limit.scope == "tenant":
        return ("", "budget", limit.period, first)
    return (d.command.user_id if limit.scope == "user" else "", rule.name, limit.period, first)


def _share_out(d: Decision, granting: list[Match]) -> dict[Meter, list[int]]:
    """Set what each rule may grant after those before it, and return the points and times per window."""
    taken: dict[Meter, list[int]] = {}
    earnings, room = earnings_left(d), d.room()
    for match in granting:
        bounds = [(limit.label, _left(d, match.rule, limit, taken)) for limit in match.rule.limits]
        points = match.wanted
        for label, left in bounds:
            if left is not None and left < points:
                points, match.limited_by = left, label
        match.is_refused = bool(match.limited_by) and match.rule.refuses
        for label, left in (("tenant/max_earn_per_day", earnings), ("tenant/max_balance", room)):
            if left is not None and left < points and not match.is_refused:
                points, match.limited_by = left, label
        match.granted = 0 if match.is_refused else points
        if not match.granted:
            continue
        for meter in {meter_of(d, match.rule, limit) for limit in match.rule.limits}:
            used = taken.setdefault(meter, [0, 0])
            used[0] += match.granted
            used[1] += 1
        earnings = None if earnings is None else earnings - match.granted
        room = None if room is None else room - match.granted
    return taken


def _left(d: Decision, rule: Rule, limit: Limit, taken: dict[Meter, list[int]]) -> int | None:
    """Return the points that a limit still allows; None if it counts times and has one left."""
    meter = meter_of(d, rule, limit)
    unit = 0 if limit.unit == "points" else 1
    left = limit.max - d.world.usage[meter][unit] - taken.get(meter, [0, 0])[unit]
    if limit.unit == "times":
        return None if left > 0 else 0
    return max(0, left)


def _grant(d: Decision, match: Match) -> None:
    rule = match.rule
    if rule.pending_days:
        match.activates_at = d.calendar.plus_days(d.effective_at, rule.pending_days)
    expiry = rule.expiry or d.config.expiry
    expires_at = expiry.ends(match.activates_at or d.effective_at, d.calendar)
    entry = grant(d, "rule", match.granted, match.activates_at, expires_at)
    entry.rule = (rule.name, match.version)
    for meter in sorted({meter_of(d, rule, limit) for limit in rule.limits}):
        count(d, entry.amount, meter)
    count_earnings(d, entry)
