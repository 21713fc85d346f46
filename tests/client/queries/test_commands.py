"""The way of a command: from its acceptance over its attempts to its entries, and why it waits."""

from typing import Any

import pytest

from pointledger import Actor, Earn, Transfer
from pointledger.client.queries.commands import CommandWay
from pointledger.client.queries.console import ConsoleQueries
from pointledger.errors import InvalidCommand, TenantMissing
from pointledger.ids import new_id, parse_id, show_id
from pointledger.storage.queries import commands
from pointledger.storage.queue import failures, journal
from tests.ledger import Ledger

ANNA: dict[str, Any] = {"tenant_id": "shop", "user_id": "anna"}
EVA = Actor("person:eva", "asked for")


def way(console: ConsoleQueries, task_id: str) -> CommandWay:
    found = console.command("shop", task_id)
    assert found is not None
    return found


def fail(ledger: Ledger, task_id: str, *, dead: bool = False, block: bool = False) -> None:
    command_id = parse_id(task_id)
    with ledger.database.begin() as connection:
        lane = journal.lane_of(connection, command_id)
        assert lane is not None
        failures.record_failure(connection, lane, command_id, "KeyError: 7")
        if dead:
            failures.mark_dead(connection, lane, command_id, block=block)
        else:
            failures.back_off(connection, command_id, 60)


def test_a_pending_command_says_how_many_are_before_it(ledger: Ledger, console: ConsoleQueries) -> None:
    task_ids = ledger.client.enqueue_many([Earn(**ANNA, amount=5, source="till 3") for _ in range(4)])
    found = way(console, task_ids[3])
    assert (found.state, found.before, found.waits_for, found.attempts) == ("pending", 3, (), 0)
    assert (found.kind, found.user_id, found.actor, found.payload["source"]) == (
        "earn", "anna", "service", "till 3",
    )  # fmt: skip
    assert (found.can_be_canceled, found.can_be_retried, found.entries) == (True, False, ())


def test_what_a_command_waits_for_is_said(ledger: Ledger, console: ConsoleQueries) -> None:
    first, second = ledger.client.enqueue_many([Earn(**ANNA, amount=5) for _ in range(2)])
    fail(ledger, first)
    failing, later = way(console, first), way(console, second)
    assert (failing.state, failing.attempts, failing.error) == ("failing", 1, "KeyError: 7")
    assert failing.next_attempt_at is not None
    assert (failing.waits_for, failing.blocked_by) == (("the next attempt",), None)
    assert (later.state, later.waits_for, later.blocked_by, later.before) == ("pending", (), first, 1)
    ledger.client.pause("shop", EVA)
    assert way(console, second).waits_for == ("the pause",)


def test_a_dead_command_that_blocks_its_user_and_its_retry(ledger: Ledger, console: ConsoleQueries) -> None:
    first, second, third = ledger.client.enqueue_many([Earn(**ANNA, amount=5) for _ in range(3)])
    fail(ledger, first, dead=True, block=True)
    dead = way(console, first)
    assert (dead.state, dead.before, dead.waits_for, dead.can_be_retried) == ("dead", None, (), True)
    assert (dead.next_attempt_at, dead.dead_at is not None) == (None, True)
    assert way(console, second).blocked_by == first
    ledger.client.retry(first, EVA)
    again = way(console, first)
    assert (again.state, again.before, again.attempts, again.can_be_canceled) == ("pending", 2, 0, True)
    ledger.drain()
    assert {way(console, task_id).state for task_id in (first, second, third)} == {"applied"}


def test_an_applied_command_shows_its_entries_and_its_repetitions(
    ledger: Ledger, console: ConsoleQueries
) -> None:
    ledger.apply(Earn(**ANNA, amount=50), Earn(tenant_id="shop", user_id="ben", amount=1))
    commands_sent = [Transfer(**ANNA, to_user_id="ben", amount=5, idempotency_key="t-1") for _ in range(3)]
    task_ids = ledger.client.enqueue_many(commands_sent[:1])
    ledger.client.enqueue_many(commands_sent[1:])
    ledger.drain()
    found = way(console, task_ids[0])
    assert (found.state, found.before, found.idempotency_key) == ("applied", None, "t-1")
    assert [(entry["user_id"], entry["delta"]) for entry in found.entries] == [("anna", -5), ("ben", 5)]
    assert found.data is not None
    assert set(found.repetitions) == {show_id(command.id) for command in commands_sent[1:]}
    repetition = way(console, found.repetitions[0])
    assert (repetition.asked_id, repetition.task_id) == (found.repetitions[0], task_ids[0])


def test_a_refused_and_a_cancelled_command_say_why(ledger: Ledger, console: ConsoleQueries) -> None:
    (refused,) = ledger.apply(Transfer(**ANNA, to_user_id="ben", amount=5))
    task_id = ledger.client.enqueue(Earn(**ANNA, amount=5))
    ledger.client.cancel(task_id, EVA)
    found, cancelled = way(console, refused.task_id), way(console, task_id)
    assert (found.state, found.reason, found.message) == ("refused", refused.reason, refused.message)
    assert (cancelled.state, cancelled.reason, cancelled.can_be_canceled) == ("refused", "CANCELLED", False)


def test_the_count_of_those_before_ends_at_its_bound(
    ledger: Ledger, console: ConsoleQueries, monkeypatch: pytest.MonkeyPatch
) -> None:
    task_ids = ledger.client.enqueue_many([Earn(**ANNA, amount=5) for _ in range(5)])
    monkeypatch.setattr(commands, "MOST_BEFORE", 2)
    assert way(console, task_ids[4]).before == 2


def test_commands_of_other_tenants_and_unknown_ones_are_none(ledger: Ledger, console: ConsoleQueries) -> None:
    ledger.tenant("cafe")
    task_id = ledger.client.enqueue(Earn(**ANNA, amount=5))
    assert console.command("cafe", task_id) is None
    assert console.command("shop", show_id(new_id())) is None
    with pytest.raises(InvalidCommand, match="task_id: "):
        console.command("shop", "x")
    with pytest.raises(TenantMissing):
        console.command("nowhere", task_id)
