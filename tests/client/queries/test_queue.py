"""What waits, what is stuck, who fills the queue, and how fast it moves."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from pointledger import Actor, Earn
from pointledger.client.acceptor import Acceptance
from pointledger.client.queries.console import ConsoleQueries
from pointledger.domain.commands.records import lane_of
from pointledger.errors import InvalidCommand, TenantMissing
from pointledger.ids import parse_id, show_id
from pointledger.jobs.scheduler import EXPIRE_POINTS, RESET_DAILY_LIMITS, JobScheduler
from pointledger.storage.queries import queue
from pointledger.storage.queue import dead_letters, failures, journal
from pointledger.storage.queue.failures import DeadCommandFilter
from tests.client.queries.conftest import clock
from tests.ledger import Ledger

SHOP: dict[str, Any] = {"tenant_id": "shop"}


def earns(tenant_id: str, *users: str) -> list[Earn]:
    return [Earn(tenant_id=tenant_id, user_id=user, amount=5) for user in users]


def die(ledger: Ledger, user: str, errors: Sequence[str], *, block: bool = False) -> list[str]:
    """Accept a command for each error and give it up with that error."""
    task_ids = ledger.client.enqueue_many(earns("shop", *[user] * len(errors)))
    for task_id, error in zip(task_ids, errors, strict=True):
        with ledger.database.begin() as connection:
            lane = journal.lane_of(connection, parse_id(task_id))
            assert lane is not None
            failures.record_failure(connection, lane, parse_id(task_id), error)
            failures.mark_dead(connection, lane, parse_id(task_id), block=block)
    return task_ids


def test_lanes_show_what_waits_of_the_tenant_and_in_all(ledger: Ledger, console: ConsoleQueries) -> None:
    ledger.tenant("cafe")
    users = [f"user{number}" for number in range(20)]
    ledger.client.enqueue_many([*earns("shop", *users), *earns("cafe", *users[:3])])
    found = console.queue("shop")
    lanes = ledger.settings.lanes
    expected = [sum(lane_of("shop", user, lanes) == lane for user in users) for lane in range(lanes)]
    assert [lane.own for lane in found.lanes] == expected
    assert sum(lane.all for lane in found.lanes) == 23
    assert (found.waiting, found.paused_since, found.trouble) == (20, None, (0, 0, 0, 0))
    assert [lane.oldest_seconds is not None for lane in found.lanes] == [bool(count) for count in expected]
    assert found.oldest_seconds > 0
    ledger.drain()
    after = console.queue("shop")
    assert (after.waiting, after.oldest_seconds) == (0, 0.0)
    assert after.per_second == pytest.approx(20 / 60)


def test_counts_of_a_lane_end_at_their_bound(
    ledger: Ledger, console: ConsoleQueries, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.client.enqueue_many(earns("shop", *["anna"] * 5))
    monkeypatch.setattr(queue, "MOST_IN_LANE", 3)
    assert console.queue("shop").waiting == 3


def test_tenants_are_compared_by_what_waits_of_them(ledger: Ledger, console: ConsoleQueries) -> None:
    for tenant in ("bank", "cafe"):
        ledger.tenant(tenant)
    ledger.client.enqueue_many([*earns("shop", "anna"), *earns("cafe", "anna", "ben", "cleo")])
    since = ledger.client.pause("cafe", Actor("person:eva"))
    found = console.waiting_by_tenant(["shop", "cafe", "bank", "bank"])
    assert [(line.tenant_id, line.commands, line.paused_since) for line in found] == [
        ("cafe", 3, since),
        ("shop", 1, None),
        ("bank", 0, None),
    ]
    assert found[2].oldest_seconds is None
    assert console.queue("cafe").paused_since is not None
    with pytest.raises(InvalidCommand, match="tenant_ids: at most 200, not 201"):
        console.waiting_by_tenant([str(number) for number in range(201)])


def test_dead_commands_are_grouped_by_cause_and_a_group_is_retried(
    ledger: Ledger, console: ConsoleQueries
) -> None:
    first = die(ledger, "anna", [f"KeyError: 'lot {number}'\nat 17" for number in (17, 4)])
    first += die(ledger, "ben", [f"KeyError: 'lot 5'\nat {show_id(parse_id(first[0]))}"])
    other = die(ledger, "ben", ["ValueError: 3"])
    groups = console.dead_groups("shop")
    assert [(each.group, each.kind, each.commands, each.users) for each in groups] == [
        ("KeyError: 'lot …'", "earn", 3, 2),
        ("ValueError: …", "earn", 1, 1),
    ]
    assert show_id(groups[0].sample) == first[2]
    assert groups[0].error.startswith("KeyError: 'lot 5'\n")
    which = DeadCommandFilter(tenant="shop", kind="earn", group=groups[0].group)
    assert console.count_dead("shop", which) == 3
    assert {show_id(dead.id) for dead in console.dead_commands("shop", which)} == set(first)
    assert console.queue("shop").trouble.dead == 4

    retried = {task_id for piece in ledger.client.retry_all(which, Actor("person:eva")) for task_id in piece}
    assert retried == set(first)

    assert [show_id(dead.id) for dead in console.dead_commands("shop")] == other
    ledger.drain()
    assert {outcome.state for outcome in ledger.client.outcomes(first)} == {"applied"}


def test_another_tenants_trouble_is_not_shown(ledger: Ledger, console: ConsoleQueries) -> None:
    ledger.tenant("cafe")
    die(ledger, "anna", ["KeyError: 1"])
    assert console.dead_groups("cafe") == []
    assert console.dead_commands("cafe", DeadCommandFilter(tenant="shop")) == []
    assert console.count_dead("cafe", DeadCommandFilter(tenant="shop")) == 0
    assert console.queue("cafe").trouble == (0, 0, 0, 0)
    assert console.dead_by_tenant(["cafe"]) == {}
    assert console.dead_by_tenant(["shop", "cafe"]) == {"shop": 1}


def test_failing_commands_count_until_they_are_applied(ledger: Ledger, console: ConsoleQueries) -> None:
    (task_id,) = ledger.client.enqueue_many(earns("shop", "anna"))
    with ledger.database.begin() as connection:
        lane = journal.lane_of(connection, parse_id(task_id))
        assert lane is not None
        failures.record_failure(connection, lane, parse_id(task_id), "KeyError: 1")
        failures.back_off(connection, parse_id(task_id), 60)
    die(ledger, "ben", ["KeyError: 1"], block=True)
    assert console.queue("shop").trouble == (1, 1, 0, 0)
    (failing,) = console.failing("shop")
    assert (show_id(failing.id), failing.user_id, failing.attempts) == (task_id, "anna", 1)
    assert (failing.kind, failing.error) == ("earn", "KeyError: 1")
    ledger.tenant("cafe")
    assert console.failing("cafe") == []


def keep_letter(
    ledger: Ledger, raw: bytes, tenant_id: str | None, defer_seconds: float | None = None
) -> None:
    with ledger.database.begin() as connection:
        dead_letters.keep(
            connection, entry_point="ingest", raw=raw, reason="INVALID_COMMAND", error="amount: missing",
            tenant_id=tenant_id, kind="earn", defer_seconds=defer_seconds,
        )  # fmt: skip


def test_dead_letters_that_name_the_tenant_are_listed(ledger: Ledger, console: ConsoleQueries) -> None:
    ledger.tenant("cafe")
    keep_letter(ledger, b"one", "shop")
    keep_letter(ledger, b"later", "shop", defer_seconds=60)
    keep_letter(ledger, b"theirs", "cafe")
    keep_letter(ledger, b"garbage", None)
    assert console.queue("shop").trouble[2:] == (1, 1)
    deferred, dead = console.dead_letters("shop")
    assert [(letter.state, letter.bytes) for letter in (deferred, dead)] == [("deferred", 5), ("dead", 3)]
    assert console.dead_letters("shop", "dead") == [dead]
    assert console.dead_letters("shop", limit=1) == [deferred]
    assert console.dead_letters("shop", before=deferred.id) == [dead]


def test_batches_are_listed_by_their_ids(ledger: Ledger, console: ConsoleQueries) -> None:
    ledger.tenant("cafe")
    receipts = [
        ledger.client.batch_earn("shop", [("anna", 5)] * size, idempotency_key=f"import {size}")
        for size in (1, 2)
    ]
    ledger.client.batch_earn("cafe", [("anna", 5)], idempotency_key="theirs")
    newest, oldest = console.batches("shop")
    assert [newest["id"], oldest["id"]] == [receipts[1].batch_id, receipts[0].batch_id]
    assert (newest["size"], newest["idempotency_key"], newest["actor"]) == (2, "import 2", "service")
    assert console.batches("shop", before=newest["id"]) == [oldest]
    with pytest.raises(InvalidCommand, match="before: "):
        console.batches("shop", before="the first")


def test_the_runs_of_periodic_jobs_show_their_progress(ledger: Ledger, console: ConsoleQueries) -> None:
    assert console.jobs("shop").runs == ()
    acceptance = Acceptance(ledger.database, ledger.doorbells, ledger.settings)
    scheduler = JobScheduler(ledger.database, acceptance)
    for job in (EXPIRE_POINTS, RESET_DAILY_LIMITS):
        scheduler.open_runs(job, from_today=True)
    scheduler.expire_points()
    found = console.jobs("shop")
    assert [(run.job, run.finished_at is None, run.found) for run in sorted(found.runs)] == [
        (EXPIRE_POINTS, False, 0),
        (RESET_DAILY_LIMITS, True, 0),
    ]
    assert (found.open_erasures, found.erasures_since) == (0, None)


def test_activity_counts_the_commands_of_the_last_minutes(ledger: Ledger, console: ConsoleQueries) -> None:
    ledger.apply(*earns("shop", *["anna"] * 30))
    found = console.activity("shop", minutes=1)
    assert len(found) == 60
    assert sum(moment.per_second for moment in found) == pytest.approx(30)
    busy = [moment for moment in found if moment.per_second]
    assert all(moment.slowest_ms >= moment.median_ms > 0 for moment in busy)  # type: ignore[operator]
    assert {moment.median_ms for moment in found if not moment.per_second} == {None}
    assert clock(ledger) - found[0].at < timedelta(minutes=2)
    with pytest.raises(InvalidCommand, match="minutes: must be 1 to 60, not 61"):
        console.activity("shop", minutes=61)


def test_an_unknown_tenant_is_missing(console: ConsoleQueries) -> None:
    for ask in (console.queue, console.dead_groups, console.dead_letters, console.batches, console.jobs):
        with pytest.raises(TenantMissing):
            ask("nowhere")
