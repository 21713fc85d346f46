"""The sums of each day are those of its entries, however the job is run, and no late commit is missed."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from pointledger import Adjust, ApplyRule, Clawback, Earn, Freeze, Spend
from pointledger.jobs.day_totals import DayTotals
from pointledger.observability.verify import verify
from tests.jobs.runs import LONG_AGO
from tests.ledger import Ledger
from tests.waiting import wait_until

SHOP: dict[str, Any] = {"tenant_id": "shop", "user_id": "anna"}


def sum_up(ledger: Ledger, at_once: int = 1_000) -> None:
    """Sum up everything: the first call asks which transactions are open, the second finds none."""
    totals = DayTotals(ledger.database, lag_seconds=0, at_once=at_once)
    totals.sum_up()
    while totals.sum_up():
        pass


def violated(ledger: Ledger) -> dict[str, int]:
    return {
        found.invariant.id: found.violations for found in verify(ledger.database).findings if found.violations
    }


def live(ledger: Ledger) -> None:
    """Apply one of each thing that a day can have."""
    ledger.rule(name="basket", event_type="basket.paid", points=10)
    ledger.apply(ApplyRule(**SHOP, event_type="basket.paid"))
    granted = ledger.entries("anna")[0]["id"]
    ledger.apply(
        ApplyRule(**SHOP, event_type="basket.paid", occurred_at=LONG_AGO),
        Earn(**SHOP, amount=50),
        Spend(**SHOP, amount=7),
        Freeze(**SHOP, amount=5),
        Adjust(**SHOP, amount=3, reason="a gift"),
        Adjust(**SHOP, amount=-2, reason="a mistake"),
        Clawback(**SHOP, related_id=granted, reason="returned"),
    )


SUMMED = """
SELECT type, subtype, is_taken, sum(entries), sum(points) FROM day_totals GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"""


def test_a_days_totals_are_the_sums_of_its_entries(ledger: Ledger) -> None:
    live(ledger)
    sum_up(ledger)
    assert [tuple(row) for row in ledger.rows(SUMMED)] == [
        ("adjust", "admin", False, 1, 3),
        ("adjust", "admin", True, 1, 2),
        ("adjust", "clawback", True, 1, 10),
        ("earn", "manual", False, 1, 50),
        ("earn", "rule", False, 2, 20),
        ("freeze", "hold", False, 1, 5),
        ("spend", "purchase", True, 1, 7),
    ]
    (mark,) = ledger.rows("SELECT entries, balance, frozen_balance, pending_balance, debt FROM day_marks")
    account = ledger.account("anna")
    assert tuple(map(int, mark)) == (account["version"], account["balance"], 5, 0, 0)
    assert violated(ledger) == {}


@pytest.mark.parametrize("at_once", [1, 2, 1_000])
def test_the_size_of_the_pieces_and_repeated_runs_do_not_matter(ledger: Ledger, at_once: int) -> None:
    for _ in range(2):
        live(ledger)
        sum_up(ledger, at_once)
        sum_up(ledger, at_once)
    assert [row[3] for row in ledger.rows(SUMMED)] == [2, 2, 2, 2, 4, 2, 2]
    assert violated(ledger) == {}


@contextmanager
def stalled_batch(ledger: Ledger, command: Earn) -> Iterator[Callable[[], None]]:
    """Apply a command in a batch that waits at its end; the yielded function lets it commit."""
    task_id = ledger.client.enqueue(command)
    with ledger.owner.connect() as blocker:
        blocker.exec_driver_sql("BEGIN")
        blocker.exec_driver_sql("LOCK TABLE outcomes IN EXCLUSIVE MODE")
        drain = threading.Thread(target=ledger.drain)
        drain.start()
        wait_until(ledger.has_lock_waiter, "the batch waits to write its outcome")

        def go_on() -> None:
            blocker.exec_driver_sql("ROLLBACK")
            drain.join()
            assert ledger.client.outcome(task_id).state == "applied"

        yield go_on
        drain.join()


def test_a_batch_that_commits_late_is_not_missed(ledger: Ledger) -> None:
    with stalled_batch(ledger, Earn(**SHOP, amount=5)) as go_on:
        totals = DayTotals(ledger.database, lag_seconds=0)
        for _ in range(3):
            totals.sum_up()
        assert ledger.counts("day_totals", "entries") == [0, 0]
        go_on()
    ledger.apply(Earn(tenant_id="shop", user_id="ben", amount=6))
    sum_up(ledger)
    assert [tuple(row) for row in ledger.rows(SUMMED)] == [("earn", "manual", False, 2, 11)]
    assert violated(ledger) == {}


def test_entries_wait_for_the_lag(ledger: Ledger) -> None:
    """An hour, so that a slow machine does not outlast it."""
    ledger.apply(Earn(**SHOP, amount=5))
    slow, eager = DayTotals(ledger.database, lag_seconds=3600), DayTotals(ledger.database, lag_seconds=0)
    for _ in range(3):
        slow.sum_up()
    assert ledger.counts("day_totals") == [0]
    eager.sum_up()
    assert ledger.counts("day_totals") == [1]


def test_a_day_begins_at_the_tenants_midnight(ledger: Ledger) -> None:
    ledger.apply(
        Earn(**SHOP, amount=5), Earn(**SHOP, amount=6, occurred_at=datetime(2017, 1, 1, 4, 59, tzinfo=UTC))
    )
    sum_up(ledger)
    (today,) = ledger.rows("SELECT (clock_timestamp() AT TIME ZONE 'America/New_York')::date AS day")
    found = ledger.rows("SELECT recorded_on, occurred_on, day_starts_at FROM day_totals ORDER BY occurred_on")
    assert {row.recorded_on for row in found} == {today.day}
    assert [row.occurred_on for row in found] == [date(2016, 12, 31), today.day]
    assert all(row.day_starts_at.astimezone(UTC).hour in (4, 5) for row in found)


def test_a_tenants_sums_can_be_made_anew(ledger: Ledger) -> None:
    live(ledger)
    sum_up(ledger)
    before = ledger.rows(SUMMED)
    with ledger.database.begin() as connection:
        connection.exec_driver_sql("UPDATE day_totals SET points = points + 1 WHERE type = 'spend'")
        connection.exec_driver_sql("DELETE FROM day_totals WHERE type = 'freeze'")
    assert set(violated(ledger)) == {"I25a", "I25b"}
    DayTotals(ledger.database).make_anew("shop")
    sum_up(ledger, at_once=3)
    assert ledger.rows(SUMMED) == before
    assert violated(ledger) == {}


def test_days_of_several_tenants_do_not_mix(ledger: Ledger) -> None:
    ledger.tenant("cafe", timezone="Asia/Tokyo")
    ledger.apply(Earn(**SHOP, amount=5), Earn(tenant_id="cafe", user_id="anna", amount=9))
    sum_up(ledger, at_once=1)
    found = ledger.rows("SELECT tenant_id, points FROM day_totals ORDER BY tenant_id")
    assert [tuple(row) for row in found] == [("cafe", 9), ("shop", 5)]
    assert violated(ledger) == {}


def test_an_entry_that_is_missing_in_the_sums_is_found(ledger: Ledger) -> None:
    ledger.apply(Earn(**SHOP, amount=5))
    sum_up(ledger)
    day = timedelta(days=1)
    with ledger.owner.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE entries DISABLE TRIGGER ALL")
        connection.exec_driver_sql(
            """INSERT INTO entries
               SELECT tenant_id, gen_random_uuid(), seq,
                      (lpad(to_hex((extract(epoch FROM created_at - %(day)s::interval) * 1000)::bigint), 12,
                            '0') || repeat('0', 20))::uuid, command_id, type, subtype, amount, delta,
                      delta_frozen, delta_pending, delta_debt, balance_after, frozen_after, pending_after,
                      debt_after, related_id, rule_id, rule_version, expires_at, occurred_at,
                      created_at - %(day)s::interval
               FROM entries""",
            {"day": day},
        )
        connection.exec_driver_sql("UPDATE accounts SET version = 2")
    assert "I25b" in violated(ledger)
