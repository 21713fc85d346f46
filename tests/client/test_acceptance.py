"""The door: what is accepted is there once, in order, and with whatever transaction it came in."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
import sqlalchemy as sa
from psycopg.rows import dict_row
from sqlalchemy import orm

from pointledger import ApplyRule, Earn, Spend
from pointledger.errors import AcceptanceBusy, IdempotencyKeyReused
from pointledger.ids import parse_id, show_id
from pointledger.messaging.contract import LANES_QUEUE
from tests.ledger import Ledger

PATIENCE_SECONDS = 30  # for threads: far more than any of them takes, so that a deadlock fails and ends


def earn(amount: int = 5, user_id: str = "anna", **more: Any) -> Earn:
    return Earn(**{"tenant_id": "shop", "user_id": user_id, "amount": amount, **more})


def in_journal(ledger: Ledger) -> list[str]:
    """Task ids in the order of application."""
    return [show_id(row[0]) for row in ledger.rows("SELECT id FROM journal ORDER BY seq")]


def rings(ledger: Ledger) -> int:
    """Doorbell messages that lie in the broker."""
    return int(ledger.redis.llen(f"{ledger.settings.redis_prefix}:{LANES_QUEUE}"))


def at_once(*calls: Callable[[], Any]) -> list[Any]:
    """Runs each call in a thread of its own, all beginning together; what they returned or raised."""
    barrier = Barrier(len(calls))

    def run(call: Callable[[], Any]) -> Any:
        barrier.wait(PATIENCE_SECONDS)
        try:
            return call()
        except Exception as error:
            return error

    with ThreadPoolExecutor(len(calls)) as pool:
        futures = [pool.submit(run, call) for call in calls]
        return [future.result(PATIENCE_SECONDS) for future in futures]


def accept_both(ledger: Ledger, one: list[Earn], other: list[Earn]) -> list[Any]:
    """Two calls that meet."""
    return at_once(lambda: ledger.client.accept(one), lambda: ledger.client.accept(other))


# ------------------------------------------------------------------------------------------- repetitions


def test_the_same_command_sent_again_is_the_same_command(ledger: Ledger) -> None:
    ledger.tenant()
    command = earn()
    first = ledger.client.accept([command])
    again = ledger.client.accept([command])
    assert (first.new, again.new) == (1, 0)
    assert first.task_ids == again.task_ids
    ledger.drain()
    after = ledger.client.accept([command])
    ledger.drain()
    assert (after.new, ledger.balance("anna")) == (0, 5)
    assert list(ledger.counts("journal", "outcomes", "entries", "pending")) == [1, 1, 1, 0]


def test_t5_a_known_key_under_a_new_id_answers_with_the_first_outcome(ledger: Ledger) -> None:
    ledger.tenant()
    first, before, after = (earn(idempotency_key="k") for _ in range(3))
    task_ids = [ledger.client.enqueue(first), ledger.client.enqueue(before)]
    assert len(set(task_ids)) == 2
    assert [outcome.state for outcome in ledger.client.outcomes(task_ids)] == ["pending", "pending"]
    ledger.drain()
    task_ids.append(ledger.client.enqueue(after))
    outcomes = ledger.client.outcomes(task_ids)
    assert [outcome.state for outcome in outcomes] == ["applied"] * 3
    assert outcomes[0].data == outcomes[1].data == outcomes[2].data
    assert list(ledger.counts("journal", "entries", "pending")) == [1, 1, 0]


def test_a_second_id_may_itself_be_sent_again(ledger: Ledger) -> None:
    ledger.tenant()
    first, second = earn(idempotency_key="k"), earn(idempotency_key="k")
    for command in (first, second, second, first, second):
        ledger.client.enqueue(command)
    ledger.drain()
    assert list(ledger.counts("journal", "aliases", "entries")) == [1, 1, 1]
    assert ledger.client.outcome(show_id(second.id)).state == "applied"


def test_a_second_id_with_other_content_is_refused(ledger: Ledger) -> None:
    second = earn(idempotency_key="k")
    ledger.client.enqueue_many([earn(idempotency_key="k"), second])
    with pytest.raises(IdempotencyKeyReused):
        ledger.client.enqueue(earn(6, id=second.id))


def test_t5_a_refusal_is_repeated_too(ledger: Ledger) -> None:
    ledger.tenant()
    spends = [Spend(tenant_id="shop", user_id="anna", amount=5, idempotency_key="k") for _ in range(2)]
    [first] = ledger.apply(spends[0])
    ledger.apply(earn(100))
    [again] = ledger.apply(spends[1])
    assert (first.reason, again.reason) == ("ACCOUNT_NOT_FOUND", "ACCOUNT_NOT_FOUND")
    assert ledger.balance("anna") == 100


@pytest.mark.parametrize(
    "change", [{"amount": 6}, {"user_id": "ben"}, {"reason": "gift"}, {"occurred_at": "2026-01-01T00:00:00Z"}]
)
@pytest.mark.parametrize("by", ["id", "key"])
def test_t5_other_content_under_a_known_id_or_key_is_refused_with_all_its_neighbours(
    ledger: Ledger, by: str, change: dict[str, Any]
) -> None:
    first = earn(idempotency_key="k")
    ledger.client.enqueue(first)
    fields = {"tenant_id": "shop", "user_id": "anna", "amount": 5, **change}
    other = Earn.model_validate(
        {**fields, "id": first.id} if by == "id" else {**fields, "idempotency_key": "k"}
    )
    neighbours = [earn(user_id=f"user-{number}") for number in range(5)]
    with pytest.raises(IdempotencyKeyReused, match="k" if by == "key" else show_id(first.id)):
        ledger.client.enqueue_many([*neighbours[:3], other, *neighbours[3:]])
    assert in_journal(ledger) == [show_id(first.id)]
    assert list(ledger.counts("pending", "aliases")) == [1, 0]


def test_t5_a_key_belongs_to_its_tenant_actor_and_kind(ledger: Ledger) -> None:
    who: dict[str, Any] = {"user_id": "anna", "amount": 5, "idempotency_key": "k"}
    receipt = ledger.client.accept(
        [
            Earn(tenant_id="shop", **who),
            Earn(tenant_id="other", **who),
            Earn(tenant_id="shop", actor="till", **who),
            Spend(tenant_id="shop", **who),
            Earn(tenant_id="shop", **{**who, "idempotency_key": "K"}),
            Earn(tenant_id="shop", **{**who, "idempotency_key": "k "}),
        ]
    )
    assert receipt.new == 6


def test_commands_without_a_key_are_all_different(ledger: Ledger) -> None:
    assert ledger.client.accept([earn() for _ in range(3)]).new == 3


def test_an_events_id_is_its_key(ledger: Ledger) -> None:
    event: dict[str, Any] = {
        "tenant_id": "shop",
        "user_id": "anna",
        "event_type": "visit",
        "event_id": "order-1",
    }
    assert ledger.client.accept([ApplyRule(**event)]).new == 1
    assert ledger.client.accept([ApplyRule(**event)]).new == 0
    with pytest.raises(IdempotencyKeyReused, match="order-1"):
        ledger.client.enqueue(ApplyRule(**{**event, "event_type": "order"}))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1, "b": {"x": 1, "y": 2}}, {"b": {"y": 2, "x": 1}, "a": 1}),
        ({"order": {"x": 1, "y": 2}}, {"order": {"y": 2, "x": 1}}),
    ],
    ids=["two keys", "one key with two inside"],
)
def test_the_order_of_metadatas_keys_does_not_matter(
    ledger: Ledger, one: dict[str, Any], other: dict[str, Any]
) -> None:
    event: dict[str, Any] = {
        "tenant_id": "shop",
        "user_id": "anna",
        "event_type": "visit",
        "event_id": "order-1",
    }
    news = [ledger.client.accept([ApplyRule(**event, metadata=metadata)]).new for metadata in (one, other)]
    assert news == [1, 0]


def test_repetitions_within_one_call_are_one_command(ledger: Ledger) -> None:
    ledger.tenant()
    same, first, second = earn(1), earn(2, idempotency_key="k"), earn(2, idempotency_key="k")
    receipt = ledger.client.accept([same, first, same, second, same])
    assert receipt.new == 2
    assert receipt.task_ids == [show_id(command.id) for command in (same, first, same, second, same)]
    ledger.drain()
    assert {outcome.state for outcome in ledger.client.outcomes(receipt.task_ids)} == {"applied"}
    assert ledger.balance("anna") == 3


@pytest.mark.parametrize("by", ["id", "key"])
def test_two_contents_under_one_id_or_key_within_one_call_are_refused(ledger: Ledger, by: str) -> None:
    shared: dict[str, Any] = {"id": uuid4()} if by == "id" else {"idempotency_key": "k"}
    with pytest.raises(IdempotencyKeyReused):
        ledger.client.enqueue_many([earn(1), earn(2, **shared), earn(3, **shared)])
    assert in_journal(ledger) == []


def test_nothing_is_accepted_of_nothing(ledger: Ledger) -> None:
    assert ledger.client.accept([]).task_ids == []
    assert rings(ledger) == 0


# --------------------------------------------------------------------------------------- order and ids


def test_the_order_of_the_input_is_the_order_of_application(ledger: Ledger) -> None:
    commands = [
        earn(number + 1, user_id=f"user-{number * 7 % 50}", idempotency_key=f"k-{number * 13 % 1200}")
        for number in range(1200)  # more than go into one statement
    ]
    task_ids = ledger.client.enqueue_many(commands)
    assert in_journal(ledger) == task_ids == [show_id(command.id) for command in commands]
    waiting = ledger.rows("SELECT p.id FROM pending p ORDER BY p.seq")
    assert [show_id(row[0]) for row in waiting] == task_ids


def test_calls_one_after_the_other_are_applied_one_after_the_other(ledger: Ledger) -> None:
    task_ids = [ledger.client.enqueue(earn(number + 1)) for number in range(20)]
    assert in_journal(ledger) == task_ids


def test_a_task_id_is_good_in_either_spelling(ledger: Ledger) -> None:
    ledger.tenant()
    command = earn(id=uuid4())
    task_id = ledger.client.enqueue(command)
    ledger.drain()
    for spelling in (task_id, task_id.lower(), str(command.id), str(command.id).upper()):
        outcome = ledger.client.outcome(spelling)
        assert (outcome.state, outcome.task_id) == ("applied", task_id)


def test_an_id_that_nobody_sent_is_unknown_and_not_pending(ledger: Ledger) -> None:
    outcome = ledger.client.outcome(str(uuid4()))
    assert (outcome.state, outcome.is_final) == ("unknown", False)


def test_outcomes_come_in_the_order_asked(ledger: Ledger) -> None:
    ledger.tenant()
    task_ids = [ledger.client.enqueue(earn(number + 1)) for number in range(5)]
    ledger.drain()
    asked = [*task_ids[::-1], show_id(UUID(int=7)), task_ids[2], str(parse_id(task_ids[2]))]
    found = ledger.client.outcomes(asked)
    assert [outcome.task_id for outcome in found] == [show_id(parse_id(task_id)) for task_id in asked]


# ------------------------------------------------------------------------------------------- many at once


def test_one_key_sent_by_many_at_once_is_one_command(ledger: Ledger) -> None:
    ledger.tenant()
    commands = [earn(idempotency_key="k") for _ in range(5)]
    receipts = at_once(*(lambda command=command: ledger.client.accept([command]) for command in commands))
    assert sorted(receipt.new for receipt in receipts) == [0, 0, 0, 0, 1]
    ledger.drain()
    outcomes = [ledger.client.outcome(receipt.task_ids[0]) for receipt in receipts]
    assert [outcome.state for outcome in outcomes] == ["applied"] * 5
    assert ledger.balance("anna") == 5


def test_one_key_sent_at_once_with_two_contents_is_accepted_for_one(ledger: Ledger) -> None:
    for number in range(5):
        one, other = (earn(amount, idempotency_key=f"k-{number}") for amount in (1, 2))
        answers = accept_both(ledger, [one], [other])
        refused = [answer for answer in answers if isinstance(answer, IdempotencyKeyReused)]
        assert (len(refused), len(in_journal(ledger))) == (1, number + 1)


@pytest.mark.parametrize("by", ["id", "key"])
def test_overlapping_calls_in_opposite_order_never_wait_for_each_other_in_a_circle(
    ledger: Ledger, by: str
) -> None:
    for round_number in range(10):
        keys = [f"{round_number}-{number}" for number in range(100)]
        if by == "id":
            one = [earn() for _ in keys]
            other = one[::-1]
        else:
            one = [earn(idempotency_key=key) for key in keys]
            other = [earn(idempotency_key=key) for key in reversed(keys)]
        receipts = accept_both(ledger, one, other)
        assert sum(receipt.new for receipt in receipts) == 100
    assert list(ledger.counts("journal", "pending")) == [1000, 1000]


def test_overlapping_calls_of_several_statements_come_through_as_well(ledger: Ledger) -> None:
    one = [earn(idempotency_key=f"k-{number}") for number in range(1100)]
    other = [earn(idempotency_key=f"k-{number}") for number in reversed(range(1100))]
    answers = accept_both(ledger, one, other)
    for commands, answer in zip((one, other), answers, strict=True):
        if isinstance(answer, AcceptanceBusy):  # they met crosswise, and were told to send it again
            ledger.client.accept(commands)
        else:
            assert answer.task_ids == [show_id(command.id) for command in commands]
    assert list(ledger.counts("journal", "pending", "aliases")) == [1100, 1100, 1100]


# ------------------------------------------------------------------------------ the caller's transaction


def test_in_a_callers_connection_it_is_accepted_when_that_commits(ledger: Ledger) -> None:
    ledger.tenant()
    with ledger.database.connect() as connection:
        receipt = ledger.client.accept([earn()], connection)
        assert ledger.client.outcome(receipt.task_ids[0]).state == "unknown"
        assert (receipt.new, rings(ledger)) == (1, 0)
        connection.commit()
    assert ledger.client.outcome(receipt.task_ids[0]).state == "pending"
    ledger.client.ring(receipt)
    assert rings(ledger) == 1


def test_in_a_callers_connection_it_is_gone_when_that_rolls_back(ledger: Ledger) -> None:
    with ledger.database.connect() as connection:
        task_id = ledger.client.enqueue(earn(idempotency_key="k"), connection)
        connection.rollback()
    assert ledger.client.outcome(task_id).state == "unknown"
    assert list(ledger.counts("journal", "pending")) == [0, 0]
    assert ledger.client.accept([earn(6, idempotency_key="k")]).new == 1


def test_an_orm_session_rings_when_it_has_committed(ledger: Ledger) -> None:
    with orm.Session(ledger.database) as session:
        task_id = ledger.client.enqueue(earn(), session)
        session.flush()
        assert rings(ledger) == 0
        session.commit()
        assert rings(ledger) == 1
    assert ledger.client.outcome(task_id).state == "pending"


def test_an_orm_session_that_rolls_back_has_accepted_nothing_and_rings_nobody(ledger: Ledger) -> None:
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


def test_what_was_accepted_within_a_savepoint_goes_with_it(ledger: Ledger) -> None:
    with orm.Session(ledger.database) as session:
        kept = ledger.client.enqueue(earn(), session)
        nested = session.begin_nested()
        gone = ledger.client.enqueue(earn(), session)
        nested.rollback()
        session.commit()
    assert [outcome.state for outcome in ledger.client.outcomes([kept, gone])] == ["pending", "unknown"]


def test_in_a_callers_psycopg_connection_it_goes_with_the_transaction(ledger: Ledger) -> None:
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


def test_a_callers_psycopg_connection_may_have_rows_of_any_shape(ledger: Ledger) -> None:
    ledger.client.enqueue(earn(idempotency_key="k"))
    with psycopg.connect(ledger.settings.database, row_factory=dict_row) as connection:
        assert ledger.client.accept([earn(idempotency_key="k")], connection).new == 0
        with pytest.raises(IdempotencyKeyReused):
            ledger.client.accept([earn(6, idempotency_key="k")], connection)


def test_the_callers_own_rows_and_the_command_are_there_together(ledger: Ledger) -> None:
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
def test_a_repetition_in_a_callers_transaction_answers_with_the_first(
    ledger: Ledger, callers: Callable[[Ledger], Any]
) -> None:
    ledger.tenant()
    ledger.apply(earn(idempotency_key="k"))
    with callers(ledger) as (connection, commit):
        receipt = ledger.client.accept([earn(idempotency_key="k")], connection)
        commit()
    assert receipt.new == 0
    assert ledger.client.outcome(receipt.task_ids[0]).state == "applied"


# ------------------------------------------------------------------- another's open transaction, same key


@contextmanager
def holding(ledger: Ledger, command: Earn) -> Iterator[sa.Connection]:
    """Somebody has accepted this command and has not committed yet."""
    with ledger.database.connect() as connection:
        ledger.client.enqueue(command, connection)
        yield connection


def test_a_key_that_another_open_transaction_holds_stalls_its_twin_only(ledger: Ledger) -> None:
    twin = earn(idempotency_key="k")
    neighbours = [earn(user_id=f"user-{number}", idempotency_key=f"n-{number}") for number in range(4)]
    commands = [*neighbours[:2], twin, *neighbours[2:]]
    with holding(ledger, earn(idempotency_key="k")) as connection:
        with pytest.raises(AcceptanceBusy, match=show_id(twin.id)) as caught:
            ledger.client.enqueue_many(commands)
        assert not any(show_id(neighbour.id) in str(caught.value) for neighbour in neighbours)
        assert in_journal(ledger) == [show_id(neighbour.id) for neighbour in neighbours]
        assert rings(ledger) > 0
        connection.commit()
    again = ledger.client.accept(commands)
    assert (again.new, len(in_journal(ledger))) == (0, 5)


def test_a_twin_is_accepted_once_the_other_has_rolled_back(ledger: Ledger) -> None:
    twin = earn(idempotency_key="k")
    with holding(ledger, earn(6, idempotency_key="k")) as connection:
        with pytest.raises(AcceptanceBusy):
            ledger.client.enqueue(twin)
        connection.rollback()
    assert ledger.client.accept([twin]).new == 1


def test_a_twin_that_waits_hears_of_a_commit_at_once(ledger: Ledger) -> None:
    """Waiting for the key ends with the other's commit, and the repetition answers with it."""
    twin = earn(idempotency_key="k")
    with holding(ledger, earn(idempotency_key="k")) as connection, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(ledger.client.accept, [twin])
        _until_somebody_waits(ledger)
        connection.commit()
        assert waiting.result(PATIENCE_SECONDS).new == 0
    assert ledger.client.outcome(show_id(twin.id)).state == "pending"


def test_an_open_transaction_with_another_key_stalls_nobody(ledger: Ledger) -> None:
    with holding(ledger, earn(idempotency_key="k")):
        assert ledger.client.accept([earn(idempotency_key="other")]).new == 1


def test_a_reused_key_keeps_its_neighbours_out_also_when_another_is_busy(ledger: Ledger) -> None:
    ledger.client.enqueue(earn(idempotency_key="used"))
    neighbour, twin = earn(idempotency_key="a"), earn(idempotency_key="k")
    with holding(ledger, earn(idempotency_key="k")) as connection:
        with pytest.raises(IdempotencyKeyReused, match="used"):
            ledger.client.enqueue_many([neighbour, twin, earn(6, idempotency_key="used")])
        connection.rollback()
    assert len(in_journal(ledger)) == 1


def test_a_busy_key_in_a_callers_transaction_says_so_and_leaves_it_as_it_was(ledger: Ledger) -> None:
    with holding(ledger, earn(idempotency_key="k")), ledger.database.connect() as connection:
        connection.exec_driver_sql("SET LOCAL lock_timeout = '200ms'")  # or the test might wait for ever
        before = ledger.client.enqueue(earn(), connection)
        with pytest.raises(AcceptanceBusy):
            ledger.client.enqueue(earn(idempotency_key="k"), connection)
        connection.commit()
    assert in_journal(ledger) == [before]


def _until_somebody_waits(ledger: Ledger) -> None:
    """Returns when a transaction waits for another one's row; the database itself says so."""
    waits = """
        SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock' AND wait_event = 'transactionid'"""
    for _ in range(10_000):
        if ledger.rows(waits)[0][0]:
            return
    raise AssertionError("nobody waits")
