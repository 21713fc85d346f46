"""Runs the ledger's processes for tests, with a plain Celery client and another service's worker.

The client reads outcomes from Redis, as a client in any language would.
"""

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from amqp.exceptions import NotFound
from celery import Celery
from celery.result import AsyncResult
from kombu import Connection

from pointledger.settings import Settings
from pointledger_demo.processes import ProcessGroup
from tests.ledger import Ledger

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SECONDS = 30
QUEUES = ("points.commands", "points.commands.expired", "points.lanes", "points.periodic", "shop", "celery")
FIELDS = {"tenant_id": "shop", "user_id": "anna", "amount": 5}


class RunningLedger:
    """The running ledger. `app` is a Celery client configured as the documentation says."""

    def __init__(self, ledger: Ledger, folder: Path) -> None:
        self.ledger = ledger
        self.folder = folder
        self.broker = ledger.settings.broker
        self.results = ledger.settings.result_url or ""
        self.app = Celery(broker=self.broker, backend=self.results, set_as_current=False)

    @property
    def is_redis(self) -> bool:
        return self.broker.startswith("redis")

    def send(
        self, name: str = "points.earn", kwargs: dict[str, Any] | None = None, **options: Any
    ) -> AsyncResult:
        """Send a command as the documentation shows."""
        return self.app.send_task(name, kwargs=kwargs or FIELDS, queue="points.commands", **options)

    def get(self, result: AsyncResult) -> dict[str, Any]:
        """Wait for the outcome in the client's own result backend."""
        return result.get(timeout=SECONDS)  # type: ignore[no-any-return]

    def outcome_of(self, **more: Any) -> dict[str, Any]:
        return self.get(self.send(**more))

    def refusal_of(self, **more: Any) -> tuple[str, str]:
        outcome = self.outcome_of(**more)
        assert outcome["state"] == "refused", outcome
        stored = self.ledger.client.outcome(outcome["task_id"])
        assert (stored.state, stored.reason) == ("refused", outcome["reason"])
        return outcome["reason"], outcome["message"]

    def user(self) -> dict[str, Any]:
        """Return the fields of a command for a new user."""
        return FIELDS | {"user_id": f"user-{uuid.uuid4()}"}

    def lists(self) -> dict[str, int]:
        """Return the lengths of the lists of commands in the broker's Redis."""
        client = self.ledger.redis
        found = [key for key in client.scan_iter("*points.commands*") if client.type(key) == "list"]
        return {key: client.llen(key) for key in found}

    @contextmanager
    def shop(self, queue: str = "shop") -> Iterator[Celery]:
        """Run another service's worker on its own queue; yield its app."""
        given = {"SHOP_BROKER": self.broker, "SHOP_RESULTS": self.results, "SHOP_QUEUE": queue}
        command = [sys.executable, "-m", "celery", "-A", "shop_worker", "worker", "-P", "solo", "-Q", queue]
        with (self.folder / "shop.log").open("ab") as log:
            worker = subprocess.Popen(
                [*command, "--without-gossip", "--without-mingle", "--without-heartbeat", "-l", "WARNING"],
                cwd=HERE,
                env={"PATH": os.environ["PATH"], **given},
                stdout=log,
                stderr=log,
            )
        try:
            yield Celery(broker=self.broker, backend=self.results, set_as_current=False)
        finally:
            worker.terminate()
            worker.wait(SECONDS)


@contextmanager
def running_ledger(settings: Settings, folder: Path, **options: Any) -> Iterator[RunningLedger]:
    """Run all processes, with the tenant `shop`."""
    clear(settings.broker)
    with Ledger(settings) as ledger:
        ledger.tenant("shop", transfer_enabled=True)
        ledger.rule("shop", name="a visit", event_type="visit", points=3)
        processes = ProcessGroup(ROOT, data=folder, settings=settings, **{"workers": 2} | options)
        processes.start()
        opened = RunningLedger(ledger, folder)
        try:
            opened.outcome_of()  # wait until workers listen: RabbitMQ drops messages that expire before
            yield opened
        finally:
            opened.app.close()
            processes.stop()


def clear(broker: str) -> None:
    """Purge RabbitMQ's queues. It does not delete them, because kombu declares a queue once per process."""
    if broker.startswith("redis"):
        return
    with Connection(broker) as connection:
        for queue in QUEUES:
            with suppress(NotFound), connection.channel() as channel:
                channel.queue_purge(queue)
