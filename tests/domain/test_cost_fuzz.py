"""Random expressions that try to be expensive take no longer than their estimates say."""

import time
from contextlib import suppress
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings

from pointledger.domain.program.budget import MAX_MEMORY_BYTES, MAX_MICROSECONDS
from pointledger.domain.program.expressions import MAX_CHARACTERS, ExpressionFailed, cost_of, evaluate
from pointledger.domain.program.rule import rule_from
from pointledger.domain.values.json_values import METADATA_BYTES
from pointledger.errors import InvalidRule
from tests.domain.expensive import EVENTS, conditions

_SLACK = 5
_FLOOR_MICROSECONDS = 2_000  # below it, the noise of a busy machine exceeds the price
_TRIES = 8  # the fastest counts, because other processes only slow it down
_FACTS = {"now.hour": 9, "now.minute": 5, "now.weekday": 1, "now.date": "2026-03-02"}


def _takes(when: str, event: dict[str, Any], at_most: float) -> float:
    """Return how many microseconds of CPU an evaluation takes; of several, the fastest."""
    facts = {**_FACTS, "event": event}
    fastest = float("inf")
    for _ in range(_TRIES):
        began = time.process_time_ns()
        with suppress(ExpressionFailed):  # it costs what it costs
            evaluate(when, "BOOL", lambda names: {name: facts[name] for name in names})
        fastest = min(fastest, (time.process_time_ns() - began) / 1_000)
        if fastest <= at_most:
            break
    return fastest


def _check(when: str) -> None:
    if len(when) > MAX_CHARACTERS:
        return
    try:
        rule_from({"name": "r", "event_type": "e", "points": 1, "when": when})
    except InvalidRule:
        return  # it does not compile, or costs too much
    for event in EVENTS.values():
        cost = cost_of(when, "BOOL", len(orjson.dumps(event)))
        assert cost.microseconds <= MAX_MICROSECONDS and cost.memory_bytes <= MAX_MEMORY_BYTES
        bound = max(cost.microseconds * _SLACK, _FLOOR_MICROSECONDS)
        assert _takes(when, event, bound) <= bound, when


_ALL_CHECKS = list(HealthCheck)
_NEAR_THE_LIMIT = (
    "event.l.all(x, " + " && ".join(["x != 2"] * 12) + ")",
    "event.l.all(x, " + " || ".join(f"x.a{number} == 1" for number in range(6)) + " || true)",
    "event.l.all(x, !(x in [" + ", ".join(f"'a{number}'" for number in range(20)) + "]))",
    "event.l.all(x, string(timestamp('2024-01-01T00:00:00Z')) != '')",
    "event.o.all(x, x.l.all(y, x.l == [1, 1] || true))",
    "(" + " + ".join(["event.l"] * 8) + ").size() > 0",
    " && ".join(["event.o == event.o"] * 20),
    " && ".join(["size(event.t) > 0"] * 80),
    " || ".join(f"event.t.contains('{'a' * 60}{number}b')" for number in range(20)),
    "event.t.contains('" + "a" * 1_800 + "b')",
    "event.t.matches('(a?){30}b')",
)


@pytest.mark.parametrize("when", _NEAR_THE_LIMIT)
def test_what_is_known_to_be_expensive_takes_no_longer_than_five_times_its_estimate(when: str) -> None:
    rule_from({"name": "r", "event_type": "e", "points": 1, "when": when})
    _check(when)


@settings(max_examples=60, deadline=None, suppress_health_check=_ALL_CHECKS)
@given(conditions(4))
def test_no_accepted_expression_takes_over_five_times_its_estimate(when: str) -> None:
    _check(when)


@pytest.mark.long
@settings(max_examples=400, deadline=None, suppress_health_check=_ALL_CHECKS)
@given(conditions(5))
def test_very_many_accepted_expressions_take_no_longer_than_estimated(when: str) -> None:
    _check(when)


def test_the_events_are_as_large_as_an_event_can_be() -> None:
    sizes = {name: len(orjson.dumps(event)) for name, event in EVENTS.items()}

    assert max(sizes.values()) <= METADATA_BYTES
    assert sum(size > METADATA_BYTES * 0.9 for size in sizes.values()) >= len(sizes) - 3
