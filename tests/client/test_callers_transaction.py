"""A command in the caller's transaction is accepted with it, also while others use the same key."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from psycopg.rows import dict_row
from sqlalchemy import orm

from pointledger import Earn
from pointledger.errors import AcceptanceBusy, IdempotencyKeyReused
from pointledger.ids import show_id
from tests.client.accepting import THREAD_SECONDS, earn, in_journal, rings
from tests.ledger import Ledger

# ---------------------------------------------------------------------------- the caller's transaction


def test_a_command_in_the_callers_transaction_is_accepted_at_its_commit(ledger: Ledger) -> None:
    ledger.tenant()
    with ledger.database.connect() as connection:
        receipt = ledger.client.accept([earn()], connection)
        assert ledger.client.outcome(receipt.task_ids[0]).state == "unknown"
        assert (receipt.new, rings(ledger)) == (1, 0)
        connection.commit()
    assert ledger.client.outcome(receipt.task_ids[0]).state == "pending"
    ledger.client.ring(receipt)
    assert rings(ledger) == 1


def test_a_command_in_the_callers_transaction_is_gone_after_a_rollback(ledger: Ledger) -> None:
    with ledger.database.connect() as connection:
        task_id = ledger.client.enqueue(earn(idempotency_key="k"), connection)
        connection.rollback()
    assert ledger.client.outcome(task_id).state == "unknown"
    assert list(ledger.counts("journal", "pending")) == [0, 0]
    assert ledger.client.accept([earn(6, idempotency_key="k")]).new == 1


def test_an_orm_session_rings_after_its_commit(ledger: Ledger) -> None:
    with orm.Session(ledger.database) as session:
        task_id = ledger.client.enqueue(earn(), session)
        session.flush()
        assert rings(ledger) == 0
        session.commit()
        assert rings(ledger) == 1
    assert ledger.client.outcome(task_id).state == "pending"


def test_a_scoped_session_stands_for_its_current_session(ledger: Ledger) -> None:
    """Flask-SQLAlchemy's `db.session` is one."""
    session = orm.scoped_session(orm.sessionmaker(ledger.database))
    task_id = ledger.client.enqueue(earn(), session)
    assert ledger.client.outcome(task_id).state == "unknown"
    session.commit()
    assert (ledger.client.outcome(task_id).state, rings(ledger)) == ("pending", 1)
    session.remove()


def test_an_orm_session_that_rolls_back_accepts_nothing_and_does_not_ring(ledger: Ledger) -> None:
    with orm.Session(ledger.database) as session:
        task_id = ledger.client.enqueue(earn(), session)
        session.rollback()
        assert rings(ledger) == 0
    assert ledger.client.outcome(task_id).state == "unknown"


def test_an_orm_session_rings_after_its_outer_commit_and_not_after_a_savepoint(ledger: Ledger) -> None:
    with orm.Session(ledger.database) as session:
        ledger.client.enqueue(earn(), session)
        with session.begin_nested():
            session.execute(sa.text("SELECT 1"))
        assert rings(ledger) == 0
        session.commit()
        assert rings(ledger) == 1


def test_a_command_in_a_savepoint_is_rolled_back_with_it(ledger: Ledger) -> None:
    with orm.Session(ledger.database) as session:
        kept = ledger.client.enqueue(earn(), session)
        nested = session.begin_nested()
        gone = ledger.client.enqueue(earn(), session)
        nested.rollback()
        session.commit()
    assert [outcome.state for outcome in ledger.client.outcomes([kept, gone])] == ["pending", "unknown"]


def test_a_command_in_a_psycopg_connection_belongs_to_its_transaction(ledger: Ledger) -> None:
    with psycopg.connect(ledger.settings.database) as connection:
        gone = ledger.client.enqueue(earn(), connection)
        connection.rollback()
        kept = ledger.client.accept([earn()], connection)
        assert ledger.client.outcome(kept.task_ids[0]).state == "unknown"
        connection.commit()
    ledger.client.ring(kept)
    outcomes = ledger.client.outcomes([gone, kept.task_ids[0]])
    assert [outcome.state for outcome in outcomes] == ["unknown", "pending"]
    assert rings(ledger) == 1


def test_a_psycopg_connection_may_have_any_row_factory(ledger: Ledger) -> None:
    ledger.client.enqueue(earn(idempotency_key="k"))
    with psycopg.connect(ledger.settings.database, row_factory=dict_row) as connection:
        assert ledger.client.accept([earn(idempotency_key="k")], connection).new == 0
        with pytest.raises(IdempotencyKeyReused):
            ledger.client.accept([earn(6, idempotency_key="k")], connection)


def test_the_callers_rows_and_the_command_commit_together(ledger: Ledger) -> None:
    with ledger.owner.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE orders (id text); GRANT ALL ON orders TO pointledger_app")
    with ledger.database.connect() as connection:
        connection.exec_driver_sql("INSERT INTO orders VALUES ('one')")
        ledger.client.enqueue(earn(), connection)
        connection.rollback()
        connection.exec_driver_sql("INSERT INTO orders VALUES ('two')")
        ledger.client.enqueue(earn(), connection)
        connection.commit()
    assert ledger.rows("SELECT id FROM orders") == [("two",)]
    assert list(ledger.counts("journal", "pending")) == [1, 1]


@contextmanager
def _sqlalchemy(ledger: Ledger) -> Iterator[tuple[Any, Callable[[], None]]]:
    with ledger.database.connect() as connection:
        yield connection, connection.commit


@contextmanager
def _session(ledger: Ledger) -> Iterator[tuple[Any, Callable[[], None]]]:
    with orm.Session(ledger.database) as session:
        yield session, session.commit


@contextmanager
def _psycopg(ledger: Ledger) -> Iterator[tuple[Any, Callable[[], None]]]:
    with psycopg.connect(ledger.settings.database) as connection:
        yield connection, connection.commit


@pytest.mark.parametrize(
    "callers", [_sqlalchemy, _session, _psycopg], ids=["connection", "session", "psycopg"]
)
def test_a_reused_key_leaves_the_callers_transaction_as_it_was_before(
    ledger: Ledger, callers: Callable[[Ledger], Any]
) -> None:
    ledger.client.enqueue(earn(idempotency_key="k"))
    with callers(ledger) as (connection, commit):
        before = ledger.client.enqueue(earn(), connection)
        with pytest.raises(IdempotencyKeyReused):
            ledger.client.enqueue_many([earn(), earn(6, idempotency_key="k")], connection)
        after = ledger.client.enqueue(earn(), connection)
        commit()
    assert in_journal(ledger)[1:] == [before, after]


@pytest.mark.parametrize(
    "callers", [_sqlalchemy, _session, _psycopg], ids=["connection", "session", "psycopg"]
)
def test_a_duplicate_in_the_callers_transaction_gets_the_first_outcome(
    ledger: Ledger, callers: Callable[[Ledger], Any]
) -> None:
    ledger.tenant()
    ledger.apply(earn(idempotency_key="k"))
    with callers(ledger) as (connection, commit):
        receipt = ledger.client.accept([earn(idempotency_key="k")], connection)
        commit()
    assert receipt.new == 0
    assert ledger.client.outcome(receipt.task_ids[0]).state == "applied"


# ---------------------------------------------------------- another open transaction with the same key


@contextmanager
def holding(ledger: Ledger, command: Earn) -> Iterator[sa.Connection]:
    """Accept this command in another transaction that is open during the block."""
    with ledger.database.connect() as connection:
        ledger.client.enqueue(command, connection)
        yield connection


def test_a_key_of_another_open_transaction_blocks_only_its_duplicate(ledger: Ledger) -> None:
    duplicate = earn(idempotency_key="k")
    neighbors = [earn(user_id=f"user-{number}", idempotency_key=f"n-{number}") for number in range(4)]
    commands = [*neighbors[:2], duplicate, *neighbors[2:]]
    with holding(ledger, earn(idempotency_key="k")) as connection:
        with pytest.raises(AcceptanceBusy, match=show_id(duplicate.id)) as caught:
            ledger.client.enqueue_many(commands)
        assert not any(show_id(neighbor.id) in str(caught.value) for neighbor in neighbors)
        assert in_journal(ledger) == [show_id(neighbor.id) for neighbor in neighbors]
        assert rings(ledger) > 0
        connection.commit()
    again = ledger.client.accept(commands)
    assert (again.new, len(in_journal(ledger))) == (0, 5)


def test_a_duplicate_is_accepted_after_the_others_rollback(ledger: Ledger) -> None:
    duplicate = earn(idempotency_key="k")
    with holding(ledger, earn(6, idempotency_key="k")) as connection:
        with pytest.raises(AcceptanceBusy):
            ledger.client.enqueue(duplicate)
        connection.rollback()
    assert ledger.client.accept([duplicate]).new == 1


def test_a_duplicate_that_waits_continues_at_the_others_commit(ledger: Ledger) -> None:
    """The wait for the key ends with the other's commit, and the duplicate gets its outcome."""
    duplicate = earn(idempotency_key="k")
    with holding(ledger, earn(idempotency_key="k")) as connection, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(ledger.client.accept, [duplicate])
        _wait_for_lock_waiter(ledger)
        connection.commit()
        assert waiting.result(THREAD_SECONDS).new == 0
    assert ledger.client.outcome(show_id(duplicate.id)).state == "pending"


def test_an_open_transaction_with_another_key_blocks_no_call(ledger: Ledger) -> None:
    with holding(ledger, earn(idempotency_key="k")):
        assert ledger.client.accept([earn(idempotency_key="other")]).new == 1


def test_a_reused_key_rejects_the_whole_call_also_when_another_key_is_busy(ledger: Ledger) -> None:
    ledger.client.enqueue(earn(idempotency_key="used"))
    neighbor, duplicate = earn(idempotency_key="a"), earn(idempotency_key="k")
    with holding(ledger, earn(idempotency_key="k")) as connection:
        with pytest.raises(IdempotencyKeyReused, match="used"):
            ledger.client.enqueue_many([neighbor, duplicate, earn(6, idempotency_key="used")])
        connection.rollback()
    assert len(in_journal(ledger)) == 1


def test_a_busy_key_leaves_the_callers_transaction_as_it_was(ledger: Ledger) -> None:
    with holding(ledger, earn(idempotency_key="k")), ledger.database.connect() as connection:
        connection.exec_driver_sql("SET LOCAL lock_timeout = '200ms'")  # bounds the test
        before = ledger.client.enqueue(earn(), connection)
        with pytest.raises(AcceptanceBusy):
            ledger.client.enqueue(earn(idempotency_key="k"), connection)
        connection.commit()
    assert in_journal(ledger) == [before]


def _wait_for_lock_waiter(ledger: Ledger) -> None:
    """Return when a transaction waits for another one's row, according to the database."""
    waits = """
        SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock' AND wait_event = 'transactionid'"""
    for _ in range(10_000):
        if ledger.rows(waits)[0][0]:
            return
    raise AssertionError("no transaction waits")
