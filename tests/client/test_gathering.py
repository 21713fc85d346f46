"""Threads that enqueue at once share a statement, and each gets what it would have got alone."""

import random
import threading
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from pointledger import Earn, PointsClient
from pointledger.domain.commands.records import encode
from pointledger.errors import (
    AcceptanceBusy,
    IdempotencyKeyReused,
    LedgerError,
    TenantBacklogFull,
)
from pointledger.ids import show_id
from pointledger.settings import Settings
from tests.client.accepting import at_once, earn, in_journal
from tests.client.gathering import held, results
from tests.ledger import Ledger

KNOWN = 5  # commands with keys that are sent before the threads begin
FULL = 3  # pending commands of a tenant, beyond which it gets BacklogFull


@pytest.fixture
def client(ledger: Ledger) -> Iterator[PointsClient]:
    with PointsClient.connect(ledger.settings) as opened:
        yield opened


# ------------------------------------------------------------------------------------------ one statement


def test_commands_that_wait_for_a_leader_are_accepted_in_one_statement_in_their_order(
    client: PointsClient, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = [earn(number + 1) for number in range(20)]
    with held(client, monkeypatch) as group:
        futures = group.lay_down(*commands)
        group.go_on()
        task_ids = results(futures)
    assert group.sizes == [1, 1, 20]
    assert task_ids == [show_id(command.id) for command in commands]
    assert [task_id for task_id in in_journal(ledger) if task_id in task_ids] == task_ids


def test_a_leader_rings_once_for_its_group(client: PointsClient, monkeypatch: pytest.MonkeyPatch) -> None:
    rung: list[tuple[set[int], set[tuple[int, str]]]] = []
    monkeypatch.setattr(
        client._own.doorbells, "ring", lambda lanes, live=(), **_: rung.append((set(lanes), set(live)))
    )
    commands = [earn(user_id=f"user-{number}") for number in range(30)]
    lanes = {encode(command, client._own.acceptance.lanes).lane for command in commands}
    with held(client, monkeypatch) as group:
        futures = group.lay_down(*commands)
        group.go_on()
        results(futures)
    live = {(lane, "shop") for lane in lanes}
    assert rung[1:2] == [(lanes, live)], "single commands are live, however many"
    assert len(rung) == len(group.leaders) + 1


def test_a_caller_that_is_alone_needs_one_statement_and_no_other_thread(
    client: PointsClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[threading.Thread] = []
    monkeypatch.setattr(threading.Thread, "start", started.append)
    statements: list[str] = []
    client.enqueue(earn())  # measures the backlog
    execute = psycopg.Cursor.execute

    def counted(cursor: Any, query: Any, *given: Any, **more: Any) -> Any:
        statements.append(str(query))
        return execute(cursor, query, *given, **more)

    monkeypatch.setattr(psycopg.Cursor, "execute", counted)
    for _ in range(3):
        client.enqueue(earn())
    assert len([one for one in statements if "INSERT INTO journal" in one]) == 3
    assert started == []


# -------------------------------------------------------------------------------- what each would get alone


def test_each_command_of_a_group_has_its_own_result(
    client: PointsClient, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.tenant()
    first = earn(7, idempotency_key="k")
    client.enqueue(first)
    new, again, same, other = earn(1), earn(7, idempotency_key="k"), earn(2), earn(8, idempotency_key="k")
    pair = earn(3, idempotency_key="pair"), earn(3, idempotency_key="pair")
    with held(client, monkeypatch) as group:
        futures = group.lay_down(new, first, again, same, same, other, *pair)
        group.go_on()
        found = results(futures)
    assert group.sizes == [1, 1, 7], "the same object comes once"
    accepted = [new, first, again, same, same, *pair]
    assert [one for one in found if isinstance(one, str)] == [show_id(command.id) for command in accepted]
    assert isinstance(found[5], IdempotencyKeyReused)
    assert f"id {show_id(other.id)}, key k" in str(found[5])
    ledger.drain()
    outcomes = client.outcomes([show_id(command.id) for command in accepted])
    assert {outcome.state for outcome in outcomes} == {"applied"}, "a repetition finds the first outcome"
    assert ledger.balance("anna") == 1 + 2 + 3 + 7


def test_of_two_contents_with_one_id_in_a_group_the_first_is_accepted(
    client: PointsClient, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = earn(1, idempotency_key="z")
    other = earn(2, idempotency_key="a", id=one.id)
    with held(client, monkeypatch) as group:
        futures = group.lay_down(one, other)
        group.go_on()
        found = results(futures)
    assert found[0] == show_id(one.id)
    assert isinstance(found[1], IdempotencyKeyReused)
    assert ledger.rows("SELECT payload ->> 'amount' FROM journal WHERE id = %(id)s", id=one.id) == [("1",)]


def test_a_key_of_an_open_transaction_delays_only_its_own_command(
    client: PointsClient, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    busy = earn(idempotency_key="held")
    others = [earn(number + 1, idempotency_key=f"k-{number}") for number in range(5)]
    with ledger.database.connect() as connection, connection.begin():
        ledger.client.enqueue(earn(idempotency_key="held"), connection)
        with held(client, monkeypatch) as group:
            [waits, *go] = group.lay_down(busy, *others)
            group.go_on()
            assert results(go) == [show_id(command.id) for command in others]
            [error] = results([waits])
        assert isinstance(error, AcceptanceBusy)
        assert show_id(busy.id) in str(error)
        assert error.__cause__ is not None
    client.enqueue(busy)


def test_a_full_backlog_stops_only_its_tenant(ledger: Ledger, settings: Settings) -> None:
    ledger.client.enqueue_many([earn(tenant_id="full") for _ in range(2 * FULL)])
    limits = {"backlog_limit": 2 * FULL, "backlog_share": 0.5, "batch_size": FULL}
    with PointsClient.connect(settings.model_copy(update=limits)) as client:
        client.enqueue(earn())  # the first call measures the backlog
        found = at_once(
            *(lambda tenant=tenant: client.enqueue(earn(tenant_id=tenant)) for tenant in ("shop", "full") * 3)
        )
    assert [type(one) for one in found] == [str, TenantBacklogFull] * 3


def mixed(kind: str, thread: int, step: int) -> Earn:
    """Return a command of a thread that is new, or repeats or contradicts one of `KNOWN`."""
    number = (thread + step) % KNOWN
    user = {"user_id": f"thread-{thread}"}
    return {
        "new": lambda: earn(1, **user),
        "keyed": lambda: earn(1, **user, idempotency_key=f"own-{thread}-{step}"),
        "again": lambda: earn(number + 1, idempotency_key=f"known-{number}"),
        "other": lambda: earn(99, idempotency_key=f"known-{number}"),
        "busy": lambda: earn(1, idempotency_key="busy"),
    }[kind]()


@pytest.mark.parametrize("seed", range(4))
def test_threads_with_mixed_commands_get_what_they_would_get_alone(ledger: Ledger, seed: int) -> None:
    """Each thread sends new commands, repetitions, contradictions, and a key that is in use."""
    chance = random.Random(seed)
    ledger.tenant()
    ledger.client.enqueue_many(
        [earn(number + 1, idempotency_key=f"known-{number}") for number in range(KNOWN)]
    )
    plans = [
        [(chance.choice(("new", "new", "keyed", "again", "other", "busy")), step) for step in range(8)]
        for _ in range(12)
    ]

    def run(thread: int) -> list[tuple[str, Earn, str | LedgerError]]:
        done: list[tuple[str, Earn, str | LedgerError]] = []
        for kind, step in plans[thread]:
            sent = mixed(kind, thread, step)
            try:
                done.append((kind, sent, ledger.client.enqueue(sent)))
            except LedgerError as error:
                done.append((kind, sent, error))
        return done

    with ledger.database.connect() as connection, connection.begin():
        ledger.client.enqueue(earn(1, idempotency_key="busy"), connection)
        runs = at_once(*(lambda thread=thread: run(thread) for thread in range(len(plans))))
    for kind, sent, result in (one for done in runs for one in done):
        expected: Any = {"other": IdempotencyKeyReused, "busy": AcceptanceBusy}.get(kind)
        if expected:
            assert isinstance(result, expected), (kind, result)
            assert show_id(sent.id) in str(result)
        else:
            assert result == show_id(sent.id), kind
    order = in_journal(ledger)
    for done in runs:
        own = [show_id(sent.id) for kind, sent, _ in done if kind in ("new", "keyed")]
        assert [task_id for task_id in order if task_id in own] == own, "a caller's commands keep their order"
    ledger.drain()
    again = [show_id(sent.id) for done in runs for kind, sent, _ in done if kind == "again"]
    assert {outcome.state for outcome in ledger.client.outcomes(again)} == {"applied"}
