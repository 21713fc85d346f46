"""Kills processes and flushes Valkey during a replay of real baskets. Every accepted command is applied once,
in order per user, and verify finds no violation."""

import gzip
import signal
import threading
from collections.abc import Callable

import pytest

from pointledger import Earn
from pointledger.cli.commands.replay import ReplayReport, replay
from pointledger.domain.commands.records import lane_of
from pointledger.observability.verify import verify
from pointledger_demo.processes import ProcessGroup
from pointledger_demo.program import BASKETS, TENANT
from tests import forked
from tests.faults import poison
from tests.ledger import Ledger
from tests.waiting import wait_until

pytestmark = pytest.mark.fault

LINES = 8_000  # enough that the fault comes in the middle
SECONDS = 120.0


def replay_with(ledger: Ledger, fault: Callable[[], None]) -> ReplayReport:
    """Replay baskets, and inject the fault when some, but not all, are applied."""
    with gzip.open(BASKETS) as baskets:
        lines = baskets.readlines()[:LINES]
    reports: list[ReplayReport] = []
    thread = threading.Thread(target=lambda: reports.append(replay(ledger.client, lines, wait=True)))
    thread.start()
    wait_until(lambda: ledger.counts("outcomes")[0] > LINES // 20, "a part is applied")
    applied_before = ledger.counts("outcomes")[0]  # before the fault, which takes its time
    fault()
    thread.join(SECONDS)
    assert reports, "the replay ends"
    assert applied_before < LINES, "the fault was injected in the middle"
    return reports[0]


def check(ledger: Ledger, report: ReplayReport) -> None:
    assert (report.accepted, report.applied, report.dead) == (LINES, LINES, 0)
    assert ledger.counts("journal", "outcomes", "pending", "failures") == [LINES, LINES, 0, 0]
    assert verify(ledger.database).as_json()["violations"] == 0
    out_of_order = ledger.rows(
        """SELECT count(*) FROM (
               SELECT j.seq, lag(j.seq) OVER (PARTITION BY e.account_id ORDER BY e.seq) AS before
               FROM entries e JOIN journal j ON j.id = e.command_id) AS line WHERE before > seq"""
    )
    assert out_of_order == [(0,)], "first in, first out"


def test_t8_a_worker_killed_in_the_middle_of_a_replay_loses_doubles_and_reorders_nothing(
    ledger: Ledger, system: ProcessGroup
) -> None:
    def kill() -> None:
        system.workers[0].send_signal(signal.SIGKILL)
        system.workers[0].wait(SECONDS)
        system.workers.append(system.start_worker(3))

    check(ledger, replay_with(ledger, kill))


def test_valkey_flushed_in_the_middle_of_a_replay_loses_doubles_and_reorders_nothing(
    ledger: Ledger, system: ProcessGroup
) -> None:
    def flush() -> None:
        ledger.redis.flushdb()

    check(ledger, replay_with(ledger, flush))


def test_a_second_replay_of_the_same_file_applies_nothing(ledger: Ledger, system: ProcessGroup) -> None:
    with gzip.open(BASKETS) as baskets:
        lines = baskets.readlines()[:500]
    first = replay(ledger.client, lines, wait=True)
    before = ledger.counts("journal", "outcomes", "entries", "lots")

    second = replay(ledger.client, lines, wait=True)

    assert (first.accepted, second.accepted, second.duplicates) == (500, 0, 500)
    assert ledger.counts("journal", "outcomes", "entries", "lots") == before


def test_a_command_that_kills_its_process_is_marked_dead_and_its_neighbors_are_applied(
    ledger: Ledger,
) -> None:
    lane = lane_of(TENANT, "anna", ledger.settings.lanes)
    neighbor = next(
        user
        for user in (f"user-{number}" for number in range(10_000))
        if lane_of(TENANT, user, ledger.settings.lanes) == lane
    )
    task_ids = ledger.client.enqueue_many(
        [
            Earn(tenant_id=TENANT, user_id=user, amount=amount)
            for user, amount in [("anna", 1), ("anna", poison.DEADLY_AMOUNT), ("anna", 2), (neighbor, 5)]
        ]
    )
    crashes = 0
    while forked.run(poison.drain, ledger.settings, lane) == poison.STATUS:
        crashes += 1
        ledger.redis.flushdb()  # otherwise the locks of the dead process expire after ten seconds
        assert crashes < 10

    states = [outcome.state for outcome in ledger.client.outcomes(task_ids)]
    assert states == ["applied", "dead", "applied", "applied"]
    assert crashes == 5, "two in a batch, then three alone"
