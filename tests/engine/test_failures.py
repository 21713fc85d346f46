"""When processing fails, only the failing command records a failure, and the others apply."""

from collections.abc import Callable
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from pydantic import ValidationError

from pointledger import ApplyRule, Earn, Spend
from pointledger.domain.commands.accepted import Accepted
from pointledger.domain.decisions import audit
from pointledger.domain.decisions.decide import decide
from pointledger.domain.ledger.book import Book
from pointledger.engine.batch import Batches
from pointledger.engine.peeked import Peeked
from pointledger.errors import InvalidCommand
from pointledger.settings import Settings
from pointledger.storage.database import engine_for
from pointledger.storage.ledger import book as books
from pointledger.storage.queue import failures, lanes, pending
from pointledger.storage.queue.peek import peek
from tests.ledger import Ledger


def fail_on(amount: int) -> Callable[[Book, Accepted], Any]:
    """Return a decision function with a bug: it raises for this amount."""

    def buggy(book: Book, accepted: Accepted) -> Any:
        decision = decide(book, accepted)
        if getattr(accepted.command, "amount", 0) == amount:
            raise ZeroDivisionError("a bug")
        return decision

    return buggy


def earn(user: str, amount: int) -> Earn:
    return Earn(tenant_id="shop", user_id=user, amount=amount)


def test_a_command_whose_decision_raises_is_dead_and_later_commands_of_its_user_apply(
    one_lane_ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "decide", fail_on(13))

    outcomes = one_lane_ledger.apply(earn("anna", 1), earn("anna", 13), earn("anna", 2), earn("ben", 5))

    assert [outcome.state for outcome in outcomes] == ["applied", "dead", "applied", "applied"]
    assert outcomes[1].message == "ZeroDivisionError: a bug"
    assert one_lane_ledger.balance("anna") == 3
    assert one_lane_ledger.rows("SELECT attempts FROM failures")[0][0] == 3


# A clock that advances by an hour at each read, in place of Postgres' own.
LEAPING_CLOCK = """
CREATE SCHEMA leaping;
CREATE SEQUENCE leaping.reads;
CREATE FUNCTION leaping.{clock}() RETURNS timestamptz LANGUAGE sql VOLATILE SECURITY DEFINER
    AS $$ SELECT pg_catalog.clock_timestamp() + nextval('leaping.reads') * interval '1 hour' $$;
GRANT USAGE ON SCHEMA leaping TO PUBLIC;
SET search_path = leaping, public, pg_catalog"""


def test_a_peek_returns_all_of_a_users_commands_or_none_while_the_clock_advances(
    one_lane_ledger: Ledger,
) -> None:
    commands = [Earn(tenant_id="shop", user_id="anna", amount=n) for n in range(1, 5)]
    one_lane_ledger.client.enqueue_many(commands)
    with one_lane_ledger.owner.begin() as connection:
        failures.record_failure(connection, 0, commands[0].id, "it failed before")
        failures.back_off(connection, commands[0].id, 2.5 * 3600)
        connection.exec_driver_sql(LEAPING_CLOCK.format(clock="clock_timestamp"))
        found = [row.id for row in peek(connection, {0: 100})[0].commands]
        assert found in ([], [command.id for command in commands])
        connection.exec_driver_sql("SELECT setval('reads', 1)")
        seqs = [seq for (seq,) in connection.exec_driver_sql("SELECT seq FROM pending ORDER BY seq")]
        assert len(seqs) == len(commands)
        assert pending.claim(connection, [0] * len(seqs), seqs)().seqs in (set(), set(seqs))


def test_a_blocked_command_is_not_overtaken_in_batches_of_one(
    one_lane_ledger: Ledger,
) -> None:
    """Another worker records a failure after the lane is read, and its back-off ends during the batch."""
    commands = [Earn(tenant_id="shop", user_id="anna", amount=n) for n in range(1, 5)]
    one_lane_ledger.client.enqueue_many(commands)
    rows = one_lane_ledger.rows(
        "SELECT seq, accepted_at FROM pending JOIN journal USING (lane, seq) ORDER BY seq"
    )
    batch = [Accepted(seq, command, at) for command, (seq, at) in zip(commands, rows, strict=True)]
    with one_lane_ledger.owner.begin() as connection:
        failures.record_failure(connection, 0, commands[0].id, "it failed before")
        failures.back_off(connection, commands[0].id, 2.5 * 3600)
        connection.exec_driver_sql(LEAPING_CLOCK.format(clock="statement_timestamp"))
        name = connection.exec_driver_sql("SELECT current_database()").scalar_one()
        connection.exec_driver_sql(f'ALTER DATABASE "{name}" SET search_path = leaping, public, pg_catalog')
    database = engine_for(one_lane_ledger.settings.database)
    Batches(database, one_lane_ledger.settings).apply(Peeked(batch, {("shop", "anna"): 0}, careful={0}))
    database.dispose()
    applied = [amount for (amount,) in one_lane_ledger.rows("SELECT amount FROM entries ORDER BY seq")]
    assert applied in ([], [1, 2, 3, 4])


def test_later_commands_of_the_user_wait_for_a_dead_command_with_the_policy_block(
    one_lane_ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    one_lane_ledger.tenant(dead_policy="block")
    monkeypatch.setattr(audit, "decide", fail_on(13))

    outcomes = one_lane_ledger.apply(earn("anna", 13), earn("anna", 2), earn("ben", 5))

    assert [outcome.state for outcome in outcomes] == ["dead", "pending", "applied"]


def test_a_retried_dead_command_is_applied_last(
    one_lane_ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    one_lane_ledger.tenant(dead_policy="block")
    with monkeypatch.context() as patched:
        patched.setattr(audit, "decide", fail_on(13))
        outcomes = one_lane_ledger.apply(earn("anna", 13), earn("anna", 2))
    with one_lane_ledger.database.begin() as connection:
        (dead,) = failures.dead(connection)
        assert (dead.user_id, dead.payload["amount"]) == ("anna", 13)
        assert failures.retry(connection, dead.id) is not None
        assert failures.retry(connection, dead.id) is None, "once"

    one_lane_ledger.drain()

    again = one_lane_ledger.client.outcomes([outcome.task_id for outcome in outcomes])
    assert [outcome.state for outcome in again] == ["applied", "applied"]
    assert [entry["amount"] for entry in one_lane_ledger.entries("anna")] == [13, 2], "newest first"
    assert one_lane_ledger.counts("failures") == [0]


def test_a_batch_that_cannot_be_saved_is_split_until_the_failing_command_is_isolated(
    one_lane_ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = books.save_outcomes

    def picky(connection: sa.Connection, book: Book, decisions: Any) -> None:
        if any(getattr(accepted.command, "amount", 0) == 13 for accepted, _ in decisions):
            raise sa.exc.DataError("INSERT", {}, psycopg.DataError("numeric value out of range"))
        save(connection, book, decisions)

    monkeypatch.setattr(books, "save_outcomes", picky)

    outcomes = one_lane_ledger.apply(*(earn(f"user-{number}", number) for number in range(1, 30)))

    states = [outcome.state for outcome in outcomes]
    assert states[12] == "dead"
    assert states.count("applied") == 28


@pytest.mark.parametrize(
    "cause",
    [psycopg.errors.DeadlockDetected(), psycopg.OperationalError("the connection is lost")],
    ids=["deadlock", "connection lost"],
)
def test_a_transient_error_is_retried_and_records_no_failure(
    one_lane_ledger: Ledger, monkeypatch: pytest.MonkeyPatch, cause: Exception
) -> None:
    save, calls = books.save_outcomes, []

    def fails_once(connection: sa.Connection, book: Book, decisions: Any) -> None:
        calls.append(1)
        if len(calls) == 1:
            raise sa.exc.OperationalError("INSERT", {}, cause)
        save(connection, book, decisions)

    monkeypatch.setattr(books, "save_outcomes", fails_once)

    (outcome,) = one_lane_ledger.apply(earn("anna", 1))

    assert outcome.state == "applied"
    assert one_lane_ledger.counts("failures") == [0]


def test_after_two_crashes_batches_have_one_command_and_the_crash_suspect_fails(
    settings: Settings, one_lane: None
) -> None:
    with Ledger(settings.model_copy(update={"lanes": 1})) as ledger:
        ledger.tenant()
        task_ids = ledger.client.enqueue_many([earn("anna", 1), earn("ben", 2), earn("anna", 3)])
        poison = ledger.rows("SELECT id FROM journal ORDER BY seq LIMIT 1")[0][0]
        for alone_id in (None, None, poison):  # three processes began a batch and crashed
            with ledger.database.begin() as connection:
                lanes.note_attempt(connection, [0], alone_id)

        ledger.engine.drain(0)

        outcomes = ledger.client.outcomes(task_ids)
        assert [outcome.state for outcome in outcomes] == ["pending", "applied", "pending"]
        assert ledger.rows("SELECT id, attempts, error FROM failures") == [
            (poison, 1, "the process crashed while it applied this command")
        ]
        assert ledger.rows("SELECT attempts, alone_id FROM lanes") == [(0, None)]


def test_a_refusal_is_final_and_not_a_failure(ledger: Ledger) -> None:
    ledger.tenant()
    (outcome,) = ledger.apply(Spend(tenant_id="shop", user_id="nobody", amount=1))
    assert (outcome.state, outcome.reason) == ("refused", "ACCOUNT_NOT_FOUND")
    assert ledger.counts("failures", "entries", "pending") == [0, 0, 0]


def test_a_command_that_bypassed_validation_is_not_accepted(ledger: Ledger) -> None:
    with pytest.raises(ValidationError, match="amount"):
        earn("anna", 5).model_copy(update={"amount": 0})
    facts: dict[str, object] = {"amount_minor": 5}
    event = ApplyRule(tenant_id="shop", user_id="anna", event_type="order.paid", metadata=facts)
    event.metadata["amount_minor"] = float("nan")
    with pytest.raises(InvalidCommand, match="metadata: NaN"):
        ledger.client.enqueue(event)
    assert ledger.counts("journal") == [0]


def test_many_failing_commands_in_a_batch_keep_the_order_of_others(
    one_lane_ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "decide", fail_on(13))
    failing = [earn(f"failing-{number}", 13) for number in range(25)]
    one_lane_ledger.apply(*failing[:15], earn("anna", 1), *failing[15:], earn("anna", 2))

    assert [entry["amount"] for entry in one_lane_ledger.entries("anna")] == [2, 1], "newest first"
    assert one_lane_ledger.rows("SELECT count(*) FROM failures WHERE dead_at IS NOT NULL") == [(25,)]


def test_losing_the_database_does_not_count_against_a_command_that_ran_alone(
    one_lane_ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = books.save_outcomes
    lost: list[int] = []

    def away(connection: sa.Connection, book: Book, decisions: Any) -> None:
        if len(lost) < 6:
            lost.append(1)
            raise sa.exc.OperationalError("INSERT", {}, psycopg.OperationalError("the server is gone"))
        save(connection, book, decisions)

    task_id = one_lane_ledger.client.enqueue(earn("anna", 1))
    with (
        one_lane_ledger.database.begin() as connection
    ):  # two processes have crashed, so batches have one command
        lanes.note_attempt(connection, [0])
        lanes.note_attempt(connection, [0])
    monkeypatch.setattr(books, "save_outcomes", away)
    for _ in range(2):
        with pytest.raises(sa.exc.OperationalError):
            one_lane_ledger.engine.drain(0)

    one_lane_ledger.engine.drain(0)

    assert one_lane_ledger.client.outcome(task_id).state == "applied"
    assert one_lane_ledger.counts("failures") == [0]


def test_switching_to_skip_unblocks_later_commands_of_the_user(
    one_lane_ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    one_lane_ledger.tenant(dead_policy="block")
    monkeypatch.setattr(audit, "decide", fail_on(13))
    outcomes = one_lane_ledger.apply(earn("anna", 13), earn("anna", 2))
    one_lane_ledger.tenant(dead_policy="skip")

    one_lane_ledger.drain()

    again = one_lane_ledger.client.outcomes([outcome.task_id for outcome in outcomes])
    assert [outcome.state for outcome in again] == ["dead", "applied"]
