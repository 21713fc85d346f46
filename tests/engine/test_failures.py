"""When the machine fails: the one bad command is charged, its neighbours are applied."""

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
from pointledger.engine.batch import Batches, Peeked
from pointledger.errors import InvalidCommand
from pointledger.settings import Settings
from pointledger.storage.database import engine_for
from pointledger.storage.ledger import book as books
from pointledger.storage.migrate import migrate
from pointledger.storage.queue import failures, journal, lanes
from tests.ledger import Ledger

NO_WAITS = {"backoff_seconds": (0.0, 0.0), "lanes": 1}


@pytest.fixture
def impatient(settings: Settings, one_lane: None) -> Any:
    """A ledger with one lane that tries a failing command three times without waiting."""
    with Ledger(settings.model_copy(update=NO_WAITS)) as ledger:
        ledger.tenant()
        yield ledger


@pytest.fixture
def one_lane(settings: Settings) -> None:
    migrate(settings.owner, lanes=1)


def fail_on(amount: int) -> Callable[[Book, Accepted], Any]:
    """A decision with a bug: it raises for this amount."""

    def buggy(book: Book, accepted: Accepted) -> Any:
        decision = decide(book, accepted)
        if getattr(accepted.command, "amount", 0) == amount:
            raise ZeroDivisionError("a bug")
        return decision

    return buggy


def earn(user: str, amount: int) -> Earn:
    return Earn(tenant_id="shop", user_id=user, amount=amount)


def test_a_command_whose_decision_raises_dies_alone_and_its_users_followers_go_on(
    impatient: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "decide", fail_on(13))

    outcomes = impatient.apply(earn("anna", 1), earn("anna", 13), earn("anna", 2), earn("ben", 5))

    assert [outcome.state for outcome in outcomes] == ["applied", "dead", "applied", "applied"]
    assert outcomes[1].message == "ZeroDivisionError: a bug"
    assert impatient.balance("anna") == 3
    assert impatient.rows("SELECT attempts FROM failures")[0][0] == 3


# A clock that leaps by an hour at each look, instead of Postgres' own.
LEAPING_CLOCK = """
CREATE SCHEMA leaping;
CREATE SEQUENCE leaping.looks;
CREATE FUNCTION leaping.{clock}() RETURNS timestamptz LANGUAGE sql VOLATILE SECURITY DEFINER
    AS $$ SELECT pg_catalog.clock_timestamp() + nextval('leaping.looks') * interval '1 hour' $$;
GRANT USAGE ON SCHEMA leaping TO PUBLIC;
SET search_path = leaping, public, pg_catalog"""


def test_a_users_commands_wait_or_go_together_though_time_passes_while_they_are_read(
    impatient: Ledger,
) -> None:
    commands = [Earn(tenant_id="shop", user_id="anna", amount=n) for n in range(1, 5)]
    impatient.client.enqueue_many(commands)
    with impatient.owner.begin() as connection:
        failures.charge(connection, 0, commands[0].id, "it failed before")
        failures.back_off(connection, commands[0].id, 2.5 * 3600)
        connection.exec_driver_sql(LEAPING_CLOCK.format(clock="clock_timestamp"))
        found = [row.id for row in journal.peek(connection, 0, 100)]
        assert found in ([], [command.id for command in commands])
        connection.exec_driver_sql("SELECT setval('looks', 1)")
        seqs = [seq for (seq,) in connection.exec_driver_sql("SELECT seq FROM pending ORDER BY seq")]
        assert len(seqs) == len(commands)
        assert journal.claim(connection, 0, seqs).seqs in (set(), set(seqs))


def test_a_command_that_may_not_go_yet_is_not_overtaken_when_commands_go_one_at_a_time(
    impatient: Ledger,
) -> None:
    """Somebody else has charged the first since the lane was read; its wait ends while they go."""
    commands = [Earn(tenant_id="shop", user_id="anna", amount=n) for n in range(1, 5)]
    impatient.client.enqueue_many(commands)
    waiting = impatient.rows(
        "SELECT seq, accepted_at FROM pending JOIN journal USING (lane, seq) ORDER BY seq"
    )
    batch = [Accepted(seq, command, at) for command, (seq, at) in zip(commands, waiting, strict=True)]
    with impatient.owner.begin() as connection:
        failures.charge(connection, 0, commands[0].id, "it failed before")
        failures.back_off(connection, commands[0].id, 2.5 * 3600)
        connection.exec_driver_sql(LEAPING_CLOCK.format(clock="statement_timestamp"))
        name = connection.exec_driver_sql("SELECT current_database()").scalar_one()
        connection.exec_driver_sql(f'ALTER DATABASE "{name}" SET search_path = leaping, public, pg_catalog')
    database = engine_for(impatient.settings.database)
    Batches(database, impatient.settings).apply(0, Peeked(batch, set(), deaths=2, blamed=None, is_all=True))
    database.dispose()
    applied = [amount for (amount,) in impatient.rows("SELECT amount FROM entries ORDER BY seq")]
    assert applied in ([], [1, 2, 3, 4])


def test_followers_of_a_dead_command_wait_where_the_tenant_says_hold(
    impatient: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    impatient.tenant(dead_policy="hold")
    monkeypatch.setattr(audit, "decide", fail_on(13))

    outcomes = impatient.apply(earn("anna", 13), earn("anna", 2), earn("ben", 5))

    assert [outcome.state for outcome in outcomes] == ["dead", "pending", "applied"]


def test_a_dead_command_that_is_retried_goes_to_the_end_and_is_applied(
    impatient: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    impatient.tenant(dead_policy="hold")
    with monkeypatch.context() as patched:
        patched.setattr(audit, "decide", fail_on(13))
        outcomes = impatient.apply(earn("anna", 13), earn("anna", 2))
    with impatient.database.begin() as connection:
        (dead,) = failures.dead(connection)
        assert (dead.user_id, dead.payload["amount"]) == ("anna", 13)
        assert failures.revive(connection, dead.id) is not None
        assert failures.revive(connection, dead.id) is None, "once"

    impatient.drain()

    again = impatient.client.outcomes([outcome.task_id for outcome in outcomes])
    assert [outcome.state for outcome in again] == ["applied", "applied"]
    assert [entry["amount"] for entry in impatient.entries("anna")] == [13, 2], "newest first"
    assert impatient.counts("failures") == [0]


def test_a_batch_that_cannot_be_saved_is_halved_until_the_culprit_stands_alone(
    impatient: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = books.save_outcomes

    def picky(connection: sa.Connection, book: Book, decisions: Any) -> None:
        if any(getattr(accepted.command, "amount", 0) == 13 for accepted, _ in decisions):
            raise sa.exc.DataError("INSERT", {}, psycopg.DataError("numeric value out of range"))
        save(connection, book, decisions)

    monkeypatch.setattr(books, "save_outcomes", picky)

    outcomes = impatient.apply(*(earn(f"user-{number}", number) for number in range(1, 30)))

    states = [outcome.state for outcome in outcomes]
    assert states[12] == "dead"
    assert states.count("applied") == 28


@pytest.mark.parametrize(
    "cause",
    [psycopg.errors.DeadlockDetected(), psycopg.OperationalError("the connection is lost")],
    ids=["deadlock", "connection lost"],
)
def test_what_is_nobodys_fault_charges_nobody_and_is_tried_again(
    impatient: Ledger, monkeypatch: pytest.MonkeyPatch, cause: Exception
) -> None:
    save, times = books.save_outcomes, []

    def fails_once(connection: sa.Connection, book: Book, decisions: Any) -> None:
        times.append(1)
        if len(times) == 1:
            raise sa.exc.OperationalError("INSERT", {}, cause)
        save(connection, book, decisions)

    monkeypatch.setattr(books, "save_outcomes", fails_once)

    (outcome,) = impatient.apply(earn("anna", 1))

    assert outcome.state == "applied"
    assert impatient.counts("failures") == [0]


def test_after_two_dead_processes_commands_go_one_at_a_time_and_who_was_alone_is_charged(
    settings: Settings, one_lane: None
) -> None:
    with Ledger(settings.model_copy(update={"lanes": 1})) as ledger:
        ledger.tenant()
        task_ids = ledger.client.enqueue_many([earn("anna", 1), earn("ben", 2), earn("anna", 3)])
        poison = ledger.rows("SELECT id FROM journal ORDER BY seq LIMIT 1")[0][0]
        for died_alone_with in (None, None, poison):  # three processes began, and never came back
            with ledger.database.begin() as connection:
                lanes.begin_try(connection, 0, died_alone_with)

        ledger.engine.drain(0)

        outcomes = ledger.client.outcomes(task_ids)
        assert [outcome.state for outcome in outcomes] == ["pending", "applied", "pending"]
        assert ledger.rows("SELECT id, attempts, error FROM failures") == [
            (poison, 1, "the process died while it applied this command")
        ]
        assert ledger.rows("SELECT tries, alone_id FROM lanes") == [(0, None)]


def test_a_command_of_a_newer_program_waits_and_is_charged_nothing(ledger: Ledger) -> None:
    ledger.tenant()
    task_id = ledger.client.enqueue(earn("anna", 1))
    with ledger.owner.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE journal DISABLE TRIGGER ALL")
        connection.exec_driver_sql("UPDATE journal SET version = 99")
    (neighbour, follower) = ledger.client.enqueue_many([earn("ben", 1), earn("anna", 2)])

    ledger.drain()

    states = [outcome.state for outcome in ledger.client.outcomes([task_id, neighbour, follower])]
    assert states == ["pending", "applied", "pending"], "its user's followers wait with it"
    assert ledger.rows("SELECT attempts, dead_at FROM failures") == [(0, None)]


def test_a_refusal_is_final_and_no_failure(ledger: Ledger) -> None:
    ledger.tenant()
    (outcome,) = ledger.apply(Spend(tenant_id="shop", user_id="nobody", amount=1))
    assert (outcome.state, outcome.reason) == ("refused", "ACCOUNT_NOT_FOUND")
    assert ledger.counts("failures", "entries", "pending") == [0, 0, 0]


def test_a_command_that_was_changed_behind_its_models_back_is_refused_at_the_door(ledger: Ledger) -> None:
    with pytest.raises(ValidationError, match="amount"):
        earn("anna", 5).model_copy(update={"amount": 0})
    facts: dict[str, object] = {"amount_minor": 5}
    event = ApplyRule(tenant_id="shop", user_id="anna", event_type="order.paid", metadata=facts)
    event.metadata["amount_minor"] = float("nan")
    with pytest.raises(InvalidCommand, match="metadata: NaN"):
        ledger.client.enqueue(event)
    assert ledger.counts("journal") == [0]


def test_a_journal_row_that_cannot_be_read_is_dead_in_the_end_and_stops_nobody(impatient: Ledger) -> None:
    bad = impatient.client.enqueue(earn("anna", 5))
    with impatient.owner.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE journal DISABLE TRIGGER ALL")
        connection.exec_driver_sql("""UPDATE journal SET payload = '{"amount": 0}'""")
    follower, neighbour = impatient.client.enqueue_many([earn("anna", 1), earn("ben", 2)])

    impatient.drain()

    states = [outcome.state for outcome in impatient.client.outcomes([bad, follower, neighbour])]
    assert states == ["dead", "applied", "applied"]


def test_a_tenant_that_only_a_newer_program_can_read_waits_and_charges_nobody(impatient: Ledger) -> None:
    impatient.tenant("other")
    impatient.client.enqueue(earn("anna", 1))
    with impatient.database.begin() as connection:
        connection.exec_driver_sql(
            """INSERT INTO tenant_versions (tenant_id, version, config)
               VALUES ('shop', 99, '{"tenant_id": "shop", "invented_later": true}')"""
        )
    waits, goes = impatient.client.enqueue_many(
        [earn("ben", 2), Earn(tenant_id="other", user_id="carl", amount=3)]
    )

    impatient.drain()

    assert [outcome.state for outcome in impatient.client.outcomes([waits, goes])] == ["pending", "applied"]
    assert impatient.rows("SELECT DISTINCT attempts, dead_at FROM failures") == [(0, None)]


def test_ten_culprits_in_a_batch_let_nobody_overtake(
    impatient: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "decide", fail_on(13))
    culprits = [earn(f"culprit-{number}", 13) for number in range(25)]
    impatient.apply(*culprits[:15], earn("anna", 1), *culprits[15:], earn("anna", 2))

    assert [entry["amount"] for entry in impatient.entries("anna")] == [2, 1], "newest first"
    assert impatient.rows("SELECT count(*) FROM failures WHERE dead_at IS NOT NULL") == [(25,)]


def test_a_command_that_was_alone_when_the_database_went_away_is_not_charged(
    impatient: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = books.save_outcomes
    lost: list[int] = []

    def away(connection: sa.Connection, book: Book, decisions: Any) -> None:
        if len(lost) < 6:
            lost.append(1)
            raise sa.exc.OperationalError("INSERT", {}, psycopg.OperationalError("the server is gone"))
        save(connection, book, decisions)

    task_id = impatient.client.enqueue(earn("anna", 1))
    with impatient.database.begin() as connection:  # two processes have died: one command at a time
        lanes.begin_try(connection, 0)
        lanes.begin_try(connection, 0)
    monkeypatch.setattr(books, "save_outcomes", away)
    for _ in range(2):
        with pytest.raises(sa.exc.OperationalError):
            impatient.engine.drain(0)

    impatient.engine.drain(0)

    assert impatient.client.outcome(task_id).state == "applied"
    assert impatient.counts("failures") == [0]


def test_a_tenant_that_goes_over_to_skip_lets_a_dead_commands_followers_go(
    impatient: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    impatient.tenant(dead_policy="hold")
    monkeypatch.setattr(audit, "decide", fail_on(13))
    outcomes = impatient.apply(earn("anna", 13), earn("anna", 2))
    impatient.tenant(dead_policy="skip")

    impatient.drain()

    again = impatient.client.outcomes([outcome.task_id for outcome in outcomes])
    assert [outcome.state for outcome in again] == ["dead", "applied"]
