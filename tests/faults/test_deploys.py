"""Deploys: workers are stopped one after the other while commands stream in."""

import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pointledger import Earn
from pointledger.observability.verify import verify
from pointledger_demo.processes import ProcessGroup
from pointledger_demo.program import TENANT
from tests.ledger import Ledger
from tests.waiting import wait_until

pytestmark = pytest.mark.fault

ROUNDS = 4  # each of two workers is replaced twice
STOP_SECONDS = 15  # a time slice and Celery's shutdown, but no lock's time-out
USERS = 50


@pytest.fixture
def sent(ledger: Ledger) -> Iterator[list[str]]:
    """The task ids of commands that stream in, about a hundred per second, until the test ends."""
    task_ids: list[str] = []
    stop = threading.Event()

    def send() -> None:
        while not stop.wait(0.01):
            user = f"user-{len(task_ids) % USERS}"
            task_ids.append(ledger.client.enqueue(Earn(tenant_id=TENANT, user_id=user, amount=1)))

    sender = threading.Thread(target=send)
    sender.start()
    yield task_ids
    stop.set()
    sender.join(30)


def wait_for_work(logs: Path, number: int) -> None:
    """Return when the worker with this number has applied a command."""
    log = logs / f"worker-{number}.log"
    wait_until(lambda: log.exists() and "drained" in log.read_text(), f"worker {number} works")


def test_workers_end_on_sigterm_and_leave_no_locks_or_failures(
    ledger: Ledger, system: ProcessGroup, sent: list[str], tmp_path: Path
) -> None:
    wait_for_work(tmp_path / "logs", 1)
    wait_for_work(tmp_path / "logs", 2)
    for worker in system.workers:
        worker.send_signal(signal.SIGTERM)
    assert [worker.wait(STOP_SECONDS) for worker in system.workers] == [0, 0]
    prefix = ledger.settings.redis_prefix
    assert ledger.redis.keys(f"{prefix}:lane:*") == ledger.redis.keys(f"{prefix}:user:*") == []
    assert ledger.counts("failures") == [0]
    assert ledger.rows("SELECT count(*) FROM lanes WHERE attempts > 0") == [(0,)], "no crash is noted"


def test_a_rolling_restart_under_load_loses_and_doubles_no_command(
    ledger: Ledger, system: ProcessGroup, sent: list[str], tmp_path: Path
) -> None:
    wait_for_work(tmp_path / "logs", 1)
    wait_for_work(tmp_path / "logs", 2)
    for number in range(ROUNDS):
        old = system.workers[number % 2]
        system.workers[number % 2] = system.start_worker(10 + number)
        wait_for_work(tmp_path / "logs", 10 + number)
        old.send_signal(signal.SIGTERM)
        assert old.wait(STOP_SECONDS) == 0
    known = list(sent)
    wait_until(lambda: all(outcome.is_final for outcome in ledger.client.outcomes(known)), "all are applied")
    assert {outcome.state for outcome in ledger.client.outcomes(known)} == {"applied"}
    assert ledger.counts("failures") == [0]
    assert verify(ledger.database).as_json()["violations"] == 0
