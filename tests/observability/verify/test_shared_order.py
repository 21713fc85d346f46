"""A batch that counts late in a shared limit stands behind one that the limit has held back meanwhile."""

import threading
from typing import Any

import pytest

from pointledger import ApplyRule
from pointledger.domain.commands.records import lane_of
from pointledger.observability.replay.audit import replay
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


def test_the_recorded_order_is_that_in_which_a_shared_counter_was_seen(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.tenant()
    for name, most in (("wide", 100), ("narrow", 60)):
        limit = {"scope": "tenant", "period": "lifetime", "max": most}
        ledger.rule(name=name, event_type=name, base=PER_UNIT, limits=[limit])
    ledger.apply(event("zoe", "wide", 50))
    (late_lane, late), (lane, held_back) = users_of_two_lanes(ledger)
    is_counting, go_on = threading.Event(), threading.Event()
    real = books.count

    def count(connection: Any, book: Any) -> bool:
        if ("shop", late) in book.accounts and not is_counting.is_set():
            is_counting.set()
            assert go_on.wait(SECONDS)
        return real(connection, book)

    monkeypatch.setattr(books, "count", count)
    first = ledger.client.enqueue(event(late, "wide", 10))
    drains = threading.Thread(target=ledger.engine.drain, args=(late_lane,))
    drains.start()
    assert is_counting.wait(SECONDS)
    second = ledger.client.enqueue(event(held_back, "narrow", 20))
    with Ledger(ledger.settings) as other:
        other.engine.drain(lane)
    go_on.set()
    drains.join(SECONDS)

    earned = [data_of(outcome)["points_earned"] for outcome in ledger.client.outcomes([first, second])]
    assert earned == [10, 10]
    assert [found.rows for found in replay(ledger.database).found.values() if found.rows] == []


@pytest.mark.parametrize("unit", ["times", "points"])
def test_a_limit_that_let_a_grant_through_stands_open_at_the_batchs_place_in_the_order(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, unit: str
) -> None:
    """The grant came to nothing, for the account is full; so the batch counts elsewhere only, and late."""
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
    has_decided, go_on = threading.Event(), threading.Event()
    real = books.hold_counters

    def hold_counters(connection: Any, book: Any) -> bool:
        if ("shop", full) in book.accounts and not has_decided.is_set():
            has_decided.set()
            assert go_on.wait(SECONDS)
        return real(connection, book)

    monkeypatch.setattr(books, "hold_counters", hold_counters)
    ledger.client.enqueue_many([event(full, "scarce", 5), event(neighbor, "ample", 1)])
    drains = threading.Thread(target=ledger.engine.drain, args=(lane,))
    drains.start()
    assert has_decided.wait(SECONDS)
    ledger.client.enqueue(event(faster, "scarce", 5))
    with Ledger(ledger.settings) as other:
        other.engine.drain(other_lane)
    go_on.set()
    drains.join(SECONDS)

    assert ledger.balance(faster) == 5
    assert [found.rows for found in replay(ledger.database).found.values() if found.rows] == []
