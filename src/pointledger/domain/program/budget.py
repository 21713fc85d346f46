"""Bounds what the rules of one event may cost, so that no tenant's rules hold up another tenant's commands.

A rule is checked when it is saved, against the largest event that is accepted. So a saved rule is always
within the limits, and its evaluation needs no check. Rules of an older version of pointledger can be
dearer: these are checked against each event, and skipped (`cost`) where it would cost too much.

The verdict depends on the expression and the size of the event, never on the clock.
"""

from typing import Literal, NamedTuple

from pointledger.domain.program.context import EvaluationContext
from pointledger.domain.program.cost import Cost
from pointledger.domain.program.expressions import Wanted, cost_of
from pointledger.domain.values.json_values import METADATA_BYTES

MAX_MICROSECONDS = 10_000  # of one expression: the time in which a worker applies a hundred ordinary commands
MAX_TOGETHER_MICROSECONDS = 50_000  # of one event: a fifth of what a neighbor may wait (250 ms)
MAX_MEMORY_BYTES = 16 * 1024 * 1024  # of one expression: sixteen evaluations at once fit a small worker
MAX_RULES = 100  # enabled, of one event type: each is matched with every such event
MAX_LIMITS = 200  # of all of them together: each is a counter that every event reads and locks

_MILLISECOND = 1_000  # microseconds
_MEGABYTE = 1024 * 1024

OVER_TIME = f"over {MAX_MICROSECONDS // _MILLISECOND} ms"
OVER_MEMORY = f"over {MAX_MEMORY_BYTES // _MEGABYTE} MB"
OVER_TOGETHER = f"over {MAX_TOGETHER_MICROSECONDS // _MILLISECOND} ms together"


class Expression(NamedTuple):
    """An expression of a rule, and the path of its field."""

    path: Literal["when", "award.base.formula.expr"]
    source: str
    wanted: Wanted


class RuleCost(NamedTuple):
    """The estimate for the largest event, and whether each expression is within the limits for every
    event."""

    microseconds: int
    is_bounded: bool


def worst_cost(expressions: list[Expression]) -> RuleCost:
    """Estimate a rule's expressions over the largest event."""
    costs = [cost_of(each.source, each.wanted, METADATA_BYTES) for each in expressions]
    return RuleCost(sum(cost.microseconds for cost in costs), not any(_excess(cost) for cost in costs))


def check_expressions(expressions: list[Expression]) -> None:
    """Raise ValueError for an expression that costs too much over the largest event."""
    for path, source, wanted in expressions:
        cost = cost_of(source, wanted, METADATA_BYTES)
        if not (excess := _excess(cost)):
            continue
        is_memory = excess == OVER_MEMORY
        part = cost.largest if is_memory else cost.slowest
        estimate = (
            f"{cost.memory_bytes / _MEGABYTE:,.0f} MB of memory"
            if is_memory
            else f"{cost.microseconds / _MILLISECOND:,.0f} ms"
        )
        raise ValueError(
            f"{path}: an event of {METADATA_BYTES} bytes could cost {estimate}, and the limit is "
            f"{excess.removeprefix('over ')}; most of it is {part}. {_ADVICE.get(part.what, _OTHER_ADVICE)}"
        )


_ADVICE = {
    "filter or map": "Test with exists(x, ...), or count with filter(...).size()",
    "matches": "Use contains or startsWith, or a constant pattern with small repetitions outside of loops",
    "+": "Write int(event.x) for each number, and do not concatenate in loops",
    "getHours": "Write the time zone as text",
    "a message": "Use lists, maps and texts instead",
}
_OTHER_ADVICE = "Compare with constants instead of whole lists, and avoid loops within loops"


class Together(NamedTuple):
    """What the enabled rules of one event type come to."""

    rules: int
    limits: int
    microseconds: int  # over the largest event


def refused_together(before: Together, after: Together, event_type: str) -> str | None:
    """Return why a change of the enabled rules of an event type is refused, or None.

    Rules that are over a limit already, saved by an older version, can still be changed for the better.
    """
    what = f"the enabled rules of {event_type} would"
    if after.rules > max(MAX_RULES, before.rules):
        found = f"enabled: {what} be {after.rules}, and the limit is {MAX_RULES}"
    elif after.limits > max(MAX_LIMITS, before.limits):
        found = f"limits: {what} have {after.limits} limits, and the most of all together is {MAX_LIMITS}"
    elif after.microseconds > max(MAX_TOGETHER_MICROSECONDS, before.microseconds):
        found = (
            f"when: {what} together cost up to {after.microseconds / _MILLISECOND:,.0f} ms for an event of "
            f"{METADATA_BYTES} bytes, and the limit is {MAX_TOGETHER_MICROSECONDS // _MILLISECOND} ms"
        )
    else:
        return None
    return f"{found}; disable rules that are no longer needed, or merge several into one"


class Budget:
    """What the rules of one event have left to spend. Needed only if their worst cost is over the limits."""

    def __init__(self) -> None:
        self._spent = 0

    def excess(self, expressions: list[Expression], context: EvaluationContext) -> str | None:
        """Return the limit that a rule's expressions would exceed over this event, or None and spend it."""
        costs = [cost_of(each.source, each.wanted, context.event_bytes) for each in expressions]
        for cost in costs:
            if excess := _excess(cost):
                return excess
        spent = self._spent + sum(cost.microseconds for cost in costs)
        if spent > MAX_TOGETHER_MICROSECONDS:
            return OVER_TOGETHER
        self._spent = spent
        return None


def budget_for(costs: list[RuleCost]) -> Budget | None:
    """Return the budget for an event of these rules, or None: no event costs too much."""
    if not all(cost.is_bounded for cost in costs):
        return Budget()
    return Budget() if sum(cost.microseconds for cost in costs) > MAX_TOGETHER_MICROSECONDS else None


def _excess(cost: Cost) -> str | None:
    if cost.memory_bytes > MAX_MEMORY_BYTES:
        return OVER_MEMORY
    return OVER_TIME if cost.microseconds > MAX_MICROSECONDS else None
