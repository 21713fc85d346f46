"""A batch that counts late against a shared limit is ordered after one that the limit capped meanwhile."""

import threading
from typing import Any

import pytest

from pointledger import ApplyRule
from pointledger.domain.commands.records import lane_of
from pointledger.observability.replay.replay import replay
from pointledger.storage.ledger import book as books
from tests.ledger import Ledger, data_of

SECONDS = 30  # bound of any wait
PER_UNIT = {"kind": "per_unit", "field": "n", "per": 1, "points": 1}


def event(user: str, name: str, n: int) -> ApplyRule:
    return ApplyRule(tenant_id="shop", user_id=user, event_type=name, metadata={"n": n})


def users_of_two_lanes(ledger: Ledger) -> list[tuple[int, str]]:
    lanes: dict[int, str] = {}
    for user in (f"user-{number}" for number in range(100)):
        lanes.setdefault(lane_of("shop", user, ledger.settings.lanes), user)
    return list(lanes.items())[:2]


def test_the_recorded_order_is_the_order_of_reads_of_a_shared_counter(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.tenant()
    for name, most in (("wide", 100), ("narrow", 60)):
        limit = {"scope": "tenant", "period": "lifetime", "max": most}
        ledger.rule(name=name, event_type=name, base=PER_UNIT, limits=[limit])
    ledger.apply(event("zoe", "wide", 50))
    (late_lane, late), (lane, capped) = users_of_two_lanes(ledger)
    is_counting, resume = threading.Event(), threading.Event()
    real = books.count

    def count(connection: Any, book: Any) -> bool:
        if ("shop", late) in book.accounts and not is_counting.is_set():
            is_counting.set()
            assert resume.wait(SECONDS)
        return real(connection, book)

    monkeypatch.setattr(books, "count", count)
    first = ledger.client.enqueue(event(late, "wide", 10))
    drains = threading.Thread(target=ledger.engine.drain, args=(late_lane,))
    drains.start()
    assert is_counting.wait(SECONDS)
    second = ledger.client.enqueue(event(capped, "narrow", 20))
    with Ledger(ledger.settings) as other:
        other.engine.drain(lane)
    resume.set()
    drains.join(SECONDS)

    earned = [data_of(outcome)["points_earned"] for outcome in ledger.client.outcomes([first, second])]
    assert earned == [10, 10]
    assert [found.rows for found in replay(ledger.database).found.values() if found.rows] == []


@pytest.mark.parametrize("unit", ["times", "points"])
def test_a_limit_that_allowed_a_grant_is_open_at_the_batchs_place_in_the_order(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, unit: str
) -> None:
    """The account is full, so it gets no points. The batch counts only against another limit, and late."""
    ledger.tenant(max_balance=10)
    budget = {"scope": "tenant", "period": "lifetime", "unit": unit, "max": 1 if unit == "times" else 5}
    ledger.rule(name="scarce", event_type="scarce", base=PER_UNIT, limits=[budget], on_exceed="refuse")
    total = {"scope": "rule", "period": "lifetime", "max": 1000}
    ledger.rule(name="ample", event_type="ample", base=PER_UNIT, limits=[total])
    (lane, full), (other_lane, faster) = users_of_two_lanes(ledger)
    neighbor = next(
        name
        for name in map("neighbor-{}".format, range(1000))
        if lane_of("shop", name, ledger.settings.lanes) == lane
    )
    ledger.apply(event(full, "ample", 10))
    has_decided, resume = threading.Event(), threading.Event()
    real = books.confirm_counters

    def confirm_counters(connection: Any, book: Any) -> bool:
        if ("shop", full) in book.accounts and not has_decided.is_set():
            has_decided.set()
            assert resume.wait(SECONDS)
        return real(connection, book)

    monkeypatch.setattr(books, "confirm_counters", confirm_counters)
    ledger.client.enqueue_many([event(full, "scarce", 5), event(neighbor, "ample", 1)])
    drains = threading.Thread(target=ledger.engine.drain, args=(lane,))
    drains.start()
    assert has_decided.wait(SECONDS)
    ledger.client.enqueue(event(faster, "scarce", 5))
    with Ledger(ledger.settings) as other:
        other.engine.drain(other_lane)
    resume.set()
    drains.join(SECONDS)

    assert ledger.balance(faster) == 5
    assert [found.rows for found in replay(ledger.database).found.values() if found.rows] == []
