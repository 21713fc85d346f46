"""Says in a few words what a rule awards, for lists."""

from collections.abc import Iterable

from pointledger.domain.program.awards import Award, Fixed, Formula, PerUnit, Table
from pointledger.domain.program.rule import Limit


def award_in_words(award: Award) -> str:
    """Say what a rule wants to grant: `1 per 100 amount_minor x 1.5`."""
    match award.base:
        case Fixed(points=points):
            text = f"{points:,}"
        case PerUnit(field=field, per=per, points=points):
            text = f"{points:,} per {per:,} {field}"
        case Table(field=field, brackets=brackets):
            text = f"{min(b.points for b in brackets):,} to {max(b.points for b in brackets):,} by {field}"
        case Formula(expr=expr):
            text = expr
    return text if award.multiplier == 1 else f"{text} x {award.multiplier.normalize():f}"


def limits_in_words(limits: Iterable[Limit]) -> str:
    """Say what bounds a rule: `300 points a day, once in a lifetime`. Empty without limits."""
    return ", ".join(f"{_most(limit)} {_WINDOWS[limit.period]}" for limit in limits)


_WINDOWS = {"day": "a day", "week": "a week", "month": "a month", "lifetime": "in a lifetime"}


def _most(limit: Limit) -> str:
    if limit.max == 1:
        return "once" if limit.unit == "times" else "1 point"
    return f"{limit.max:,} {limit.unit}"
