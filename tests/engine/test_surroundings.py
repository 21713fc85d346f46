"""Slow statements, and rows that another session has locked, count against no command."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa

from pointledger import Earn, Spend
from pointledger.domain.commands.accepted import Accepted
from pointledger.domain.decisions import audit
from pointledger.domain.decisions.decide import decide
from pointledger.domain.ledger.book import Book
from pointledger.engine import batch_sizes
from pointledger.engine.batch_sizes import BatchSizes
from pointledger.engine.timeouts import Timeouts
from pointledger.settings import Settings
from tests.lanes import user_in
from tests.ledger import Ledger
from tests.waiting import wait_until

QUICK: dict[str, Any] = {"statement_timeout_ms": 200, "lock_timeout_ms": 100, "lanes": 1}

SLOW_ENTRIES = """
CREATE FUNCTION be_slow() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM slow_amounts s WHERE s.amount = NEW.amount) THEN PERFORM pg_sleep(1); END IF;
    RETURN NEW;
END $$;
CREATE TABLE slow_amounts (amount bigint);
GRANT SELECT ON slow_amounts TO PUBLIC;
CREATE TRIGGER slow BEFORE INSERT ON entries FOR EACH ROW EXECUTE FUNCTION be_slow()"""


@pytest.fixture
def quick(settings: Settings, one_lane: None) -> Iterator[Ledger]:
    """A ledger with one lane and short time-outs. Entries of a `slow` amount take a second."""
    with Ledger(settings.model_copy(update=QUICK)) as ledger:
        ledger.tenant()
        with ledger.owner.begin() as connection:
            connection.exec_driver_sql(SLOW_ENTRIES)
        yield ledger


def slow_are(ledger: Ledger, *amounts: int) -> None:
    with ledger.owner.begin() as connection:
        connection.exec_driver_sql("TRUNCATE slow_amounts")
        for amount in amounts:
            connection.execute(sa.text("INSERT INTO slow_amounts VALUES (:amount)"), {"amount": amount})


def failures_of(ledger: Ledger) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in ledger.rows("SELECT user_id, attempts, dead_at FROM failures ORDER BY 1")]


def drain_until_applied(ledger: Ledger, task_ids: list[str]) -> None:
    def applied() -> bool:
        ledger.engine.drain(0)
        return {outcome.state for outcome in ledger.client.outcomes(task_ids)} == {"applied"}

    wait_until(applied, "all are applied")


def test_statements_that_all_time_out_count_against_no_command(quick: Ledger) -> None:
    task_ids = quick.client.enqueue_many([Earn(tenant_id="shop", user_id=user, amount=5) for user in "abc"])
    slow_are(quick, 5)
    for _ in range(2):
        quick.engine.drain(0)
    assert [(user, attempts) for user, attempts, _ in failures_of(quick)] == [("a", 0), ("b", 0), ("c", 0)]
    slow_are(quick)
    drain_until_applied(quick, task_ids)
    assert failures_of(quick) == []


def test_a_command_that_times_out_while_others_are_applied_is_charged(quick: Ledger) -> None:
    slow_are(quick, 7)
    quick.client.enqueue_many(
        [Earn(tenant_id="shop", user_id=user, amount=amount) for user, amount in (("anna", 7), ("ben", 5))]
    )
    quick.engine.drain(0)
    assert quick.balance("ben") == 5, "it holds up its own user only"

    def is_charged() -> bool:
        quick.client.enqueue(Earn(tenant_id="shop", user_id="ben", amount=5))
        quick.engine.drain(0)
        return [(user, attempts) for user, attempts, _ in failures_of(quick)] == [("anna", 1)]

    wait_until(is_charged, "the failure counts")


@pytest.mark.parametrize("others", [1, 70], ids=["saved in one round trip", "saved with COPY"])
def test_a_batch_that_stands_still_too_long_is_halved_and_others_are_applied(
    settings: Settings, one_lane: None, monkeypatch: pytest.MonkeyPatch, others: int
) -> None:
    """25P03: Postgres ends the session between two statements."""
    stands_still = """SELECT FROM pg_stat_activity
                      WHERE state = 'idle in transaction' AND datname = current_database()"""

    def stall(book: Book, accepted: Accepted) -> Any:
        decision = decide(book, accepted)
        if getattr(accepted.command, "amount", 0) == 7:
            wait_until(lambda: not ledger.rows(stands_still), "Postgres ends the session")
        return decision

    with Ledger(settings.model_copy(update={**QUICK, "idle_timeout_ms": 200})) as ledger:
        ledger.tenant()
        amounts = {"anna": 7, **{f"user-{number}": 5 for number in range(others)}}
        tasks = ledger.client.enqueue_many(
            [Earn(tenant_id="shop", user_id=user, amount=amount) for user, amount in amounts.items()]
        )
        monkeypatch.setattr(audit, "decide", stall)
        ledger.engine.drain(0)
        assert [(user, attempts) for user, attempts, _ in failures_of(ledger)] == [("anna", 0)]
        assert ledger.counts("outcomes") == [others], "it holds up its own user only"
        monkeypatch.undo()
        drain_until_applied(ledger, tasks)


def test_a_time_out_counts_only_after_another_command_was_applied() -> None:
    timeouts, slow, other = Timeouts(), uuid4(), uuid4()
    assert [timeouts.pause_after(slow) for _ in range(7)] == [1, 2, 4, 8, 15, 15, 15]
    timeouts.note_applied([other])
    assert timeouts.pause_after(slow) is None
    assert timeouts.pause_after(slow) == 1, "each failure needs its own proof"


def test_a_command_that_was_applied_after_all_starts_anew() -> None:
    timeouts, slow = Timeouts(), uuid4()
    timeouts.pause_after(slow)
    timeouts.note_applied([slow])
    assert timeouts.pause_after(slow) == 1


def test_a_row_lock_of_another_session_holds_back_only_that_user(quick: Ledger) -> None:
    quick.apply(*(Earn(tenant_id="shop", user_id=user, amount=5) for user in ("anna", "ben", "carl")))
    waiting = quick.client.enqueue_many([Spend(tenant_id="shop", user_id="anna", amount=n) for n in (1, 2)])
    with quick.owner.begin() as stranger:
        stranger.exec_driver_sql("SET application_name = 'a person in psql'")
        stranger.exec_driver_sql("SELECT * FROM accounts WHERE user_id = 'anna' FOR UPDATE")
        for amount in (1, 2):  # the second time without a wait
            quick.client.enqueue_many(
                [Spend(tenant_id="shop", user_id=user, amount=amount) for user in ("ben", "carl")]
            )
            quick.engine.drain(0)
        assert (quick.balance("ben"), quick.balance("carl")) == (2, 2)
        ((error, attempts),) = quick.rows("SELECT error, attempts FROM failures")
        assert "a person in psql" in error
        assert attempts == 0
    drain_until_applied(quick, waiting)
    assert quick.balance("anna") == 2
    assert failures_of(quick) == []


def test_a_batch_that_takes_too_long_saves_what_is_decided(
    quick: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_sizes, "_DECIDE_SECONDS", 0.0)
    task_ids = quick.client.enqueue_many(
        [Earn(tenant_id="shop", user_id=user, amount=n) for n in range(1, 6) for user in ("anna", "ben")]
    )
    quick.drain()
    assert {outcome.state for outcome in quick.client.outcomes(task_ids)} == {"applied"}
    assert [int(batches) for (batches,) in quick.rows("SELECT count(DISTINCT batch) FROM outcomes")] == [10]
    assert failures_of(quick) == []


def test_a_batch_that_ends_early_is_no_crash_of_the_lanes_that_it_did_not_reach(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After two crashes the commands of a lane go one at a time."""
    monkeypatch.setattr(batch_sizes, "_DECIDE_SECONDS", 0.0)
    with Ledger(settings) as ledger:
        ledger.tenant("shop")
        for lane in range(3):
            user = user_in(lane, "shop", settings.lanes)
            ledger.client.enqueue_many([Earn(tenant_id="shop", user_id=user, amount=1) for _ in range(2)])
        _, peeked = ledger.engine._peek(dict.fromkeys(range(3), 100))
        assert ledger.engine._batches.apply(peeked) == 1
        assert ledger.rows("SELECT lane FROM lanes WHERE attempts > 0") == []


def test_a_lane_whose_users_another_worker_holds_has_not_crashed(settings: Settings) -> None:
    with Ledger(settings) as ledger:
        ledger.tenant("shop")
        users = [user_in(lane, "shop", settings.lanes) for lane in (0, 1)]
        ledger.client.enqueue_many([Earn(tenant_id="shop", user_id=user, amount=1) for user in users])
        for _ in range(3):
            _, peeked = ledger.engine._peek({0: 100, 1: 100})
            ready = [accepted for accepted in peeked.batch if accepted.command.user_id == users[0]]
            ledger.engine._batches.apply(replace(peeked, batch=ready))
        assert peeked.careful == set()


def test_after_a_batch_that_took_too_long_the_lanes_batches_grow_again() -> None:
    sizes = BatchSizes(most=1000)
    sizes.note_decided(Counter({0: 1000}), Counter({0: 300}))
    assert (sizes.next(0), sizes.next(1)) == (300, 1000)
    sizes.note_decided(Counter({0: 300}), Counter({0: 300}))
    assert sizes.next(0) == 600
    sizes.note_decided(Counter({0: 600}), Counter({0: 600}))
    assert sizes.next(0) == 1000


def test_batches_are_smaller_while_another_tenant_waits() -> None:
    sizes = BatchSizes(most=1000)
    sizes.note_waiting()
    assert sizes.next(0) == 250
