"""Idle workers, as real processes: a ring wakes them without a message of Celery."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from pointledger import Earn, PointsClient
from pointledger.messaging.contract import LANES_QUEUE, PERIODIC_QUEUE, idle_key
from pointledger.messaging.doorbell import Doorbells, seconds_since_beat
from pointledger.settings import Settings
from pointledger_demo.processes import ProcessGroup
from tests.faults.conftest import ROOT
from tests.ledger import Ledger
from tests.waiting import wait_until

_SECONDS = 60.0


class Idle:
    """A ledger whose workers have nothing to do."""

    def __init__(self, ledger: Ledger, system: ProcessGroup) -> None:
        self.ledger = ledger
        self.system = system

    def workers(self) -> int:
        """Return how many workers are idle."""
        return int(self.ledger.redis.zcard(idle_key(self.ledger.settings.redis_prefix)))

    def enqueue(self, client: PointsClient) -> str:
        return client.enqueue(Earn(tenant_id="shop", user_id="anna", amount=1))


@pytest.fixture
def idle(settings: Settings, tmp_path: Path) -> Iterator[Idle]:
    with Ledger(settings) as ledger:
        ledger.tenant()
        system = ProcessGroup(ROOT, data=tmp_path, settings=settings, workers=2, beat=False)
        with system:
            found = Idle(ledger, system)
            wait_until(lambda: found.workers() == 2, "both workers are idle", _SECONDS)
            yield found


def test_a_single_command_needs_no_message_of_celery(idle: Idle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(Doorbells, "_publish")
    with PointsClient.connect(idle.ledger.settings) as client:
        for _ in range(3):
            assert client.wait(idle.enqueue(client), _SECONDS).state == "applied"
    wait_until(lambda: idle.workers() == 2, "both workers are idle again", _SECONDS)


def test_the_command_after_idle_workers_were_killed_has_a_doorbell(idle: Idle) -> None:
    for worker in idle.system.workers:
        worker.kill()
        worker.wait()
    with PointsClient.connect(idle.ledger.settings) as client:
        task_id = idle.enqueue(client)
        prefix = idle.ledger.settings.redis_prefix
        assert idle.ledger.redis.llen(f"{prefix}:{LANES_QUEUE}") == 1
        idle.system.workers.append(idle.system.start_worker(3))
        assert client.wait(task_id, _SECONDS).state == "applied"


def test_a_worker_that_stops_is_no_longer_idle(idle: Idle) -> None:
    for worker in idle.system.workers:
        worker.send_signal(signal.SIGTERM)
        worker.wait(_SECONDS)
    assert idle.workers() == 0


def test_a_worker_for_periodic_tasks_only_is_never_idle(settings: Settings, tmp_path: Path) -> None:
    with Ledger(settings) as ledger:
        system = ProcessGroup(ROOT, data=tmp_path, settings=settings, workers=0)
        with system:
            only = ("-Q", PERIODIC_QUEUE, "--without-gossip", "--without-mingle", "--without-heartbeat")
            system.workers.append(system._child("worker", "celery", "-A", "workers", "worker", *only))
            for _ in range(2):  # after the first message it would have become idle
                ledger.redis.delete(f"{settings.redis_prefix}:beat")
                wait_until(
                    lambda: seconds_since_beat(ledger.redis, settings) is not None, "a message", _SECONDS
                )
            assert not ledger.redis.exists(idle_key(settings.redis_prefix))
