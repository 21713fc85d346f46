"""Runs all processes of the ledger on servers of their own, whose surroundings the tests spoil and mend."""

import secrets
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from celery import Celery
from redis import Redis

from pointledger import Earn
from pointledger.embedded import EmbeddedServers
from pointledger.ids import new_id, show_id
from pointledger.settings import Settings
from pointledger.storage.migrate import migrate
from pointledger_demo.processes import ProcessGroup
from tests.databases import settings_of
from tests.faults.redis_answers import RedisInFront
from tests.ledger import Ledger
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]

_PROCESSES = ("worker-1", "beat", "api", "relay", "ingest")

Processes = dict[str, subprocess.Popen[bytes]]


class World:
    """A ledger with a worker, beat, a relay and an ingest process. Its tenant `shop` wants all events."""

    def __init__(self, ledger: Ledger, servers: EmbeddedServers, processes: Processes, logs: Path) -> None:
        self.ledger = ledger
        self.servers = servers
        self.processes = processes
        self.redis = Redis.from_url(ledger.settings.redis, decode_responses=True)
        self.redis_in_front: RedisInFront | None = None
        self.token = self.api_url = ""
        self._logs = logs
        self._read_from = dict.fromkeys(processes, 0)

    def new_lines(self, name: str) -> str:
        """Return what a process has logged since `forget_lines`."""
        log = self._logs / f"{name}.log"
        return log.read_text()[self._read_from[name] :] if log.is_file() else ""

    def wait_for_line(self, name: str, line: str) -> None:
        wait_until(lambda: line in self.new_lines(name), f"{name} logs {line}")

    def forget_lines(self) -> None:
        for name in self.processes:
            self._read_from[name] += len(self.new_lines(name))

    def enqueue(self) -> str:
        return self.ledger.client.enqueue(Earn(tenant_id="shop", user_id=secrets.token_hex(4), amount=1))

    def send_by_name(self) -> str:
        """Send a command as a Celery client does."""
        task_id = show_id(new_id())
        fields = {"tenant_id": "shop", "user_id": secrets.token_hex(4), "amount": 1}
        settings = self.ledger.settings
        sender = Celery(broker=settings.broker, set_as_current=False)
        sender.send_task("points.earn", kwargs=fields, task_id=task_id, queue=settings.commands_queue)
        return task_id

    def require_commands_by_name(self) -> None:
        """Fail unless the worker accepts Celery's messages. Afterwards no outage of it lasts: it accepts the
        second message only after it has noted that the first succeeded.
        """
        for _ in range(2):
            task_id = self.send_by_name()
            wait_until(
                lambda: self.ledger.client.outcomes([task_id])[0].state == "applied",  # noqa: B023
                "a command by name is applied",
            )

    def post(self) -> tuple[int, str | None]:
        """Earn a point over HTTP, and return the status and the header Retry-After."""
        request = urllib.request.Request(
            f"{self.api_url}/points/anna/earn",
            data=b'{"amount": 1}',
            headers={"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, answer.headers["Retry-After"]
        except urllib.error.HTTPError as error:
            return error.code, error.headers["Retry-After"]
        except OSError:  # it does not listen yet
            return 0, None

    def require_work(self, *task_ids: str) -> None:
        """Fail unless these commands and a new one are applied soon, and their events sent.

        No process may have ended.
        """
        wanted = [*task_ids, self.enqueue()]
        outcomes = self.ledger.client.outcomes
        wait_until(
            lambda: all(outcome.state == "applied" for outcome in outcomes(wanted)),
            "all commands are applied",
        )
        unsent = "SELECT FROM outbox WHERE sent_at IS NULL LIMIT 1"
        wait_until(lambda: not self.ledger.rows(unsent), "all events are sent")
        wait_until(lambda: self.post()[0] in (200, 201), "the API applies commands")
        self.require_alive()

    def require_alive(self) -> None:
        ended = {
            name: process.poll() for name, process in self.processes.items() if process.poll() is not None
        }
        assert not ended, {name: self.new_lines(name)[-2000:] for name in ended}

    def sql(self, statement: str, *values: Any) -> None:
        """Run a statement as the owner, who is a superuser."""
        with psycopg.connect(self.ledger.settings.owner, autocommit=True) as connection:
            connection.execute(statement, values or None)

    def end_sessions(self) -> None:
        """End all other sessions of the database, as a restart does."""
        self.sql(
            """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
               WHERE datname = current_database() AND pid <> pg_backend_pid()"""
        )


@contextmanager
def world(
    home: Path,
    *,
    logs_are_full: bool = False,
    broker_url: str | None = None,
    through: Callable[[EmbeddedServers, Settings], Settings] = lambda _, settings: settings,
) -> Iterator[World]:
    """Run everything until the block ends, on Redis or on this broker.

    `logs_are_full`: every write to a log fails with ENOSPC. `through` returns settings with the URLs by which
    the processes reach the servers.
    """
    (home / "logs").mkdir()
    if logs_are_full:
        for name in _PROCESSES:
            (home / "logs" / f"{name}.log").symlink_to("/dev/full")
    servers = EmbeddedServers(home / "servers", durable=False)
    with servers as urls:
        migrate(urls.database_url, app_url=urls.worker_url)
        settings = settings_of(urls, urls.database_url, urls.redis_url)
        settings = through(servers, settings.model_copy(update={"broker_url": broker_url}))
        group = ProcessGroup(ROOT, data=home, settings=settings, workers=1, api_for="shop")
        with Ledger(settings) as ledger, group:
            ledger.tenant(events="all")
            started = {name: group.start_command(name) for name in ("relay", "ingest")}
            assert group.beat is not None and group.api is not None, "they are started"
            processes = {"worker-1": group.workers[0], "beat": group.beat, "api": group.api, **started}
            try:
                opened = World(ledger, servers, processes, home / "logs")
                opened.token, opened.api_url = group.token_file.read_text().strip(), group.api_url
                opened.require_work()
                yield opened
            finally:
                for process in started.values():
                    process.send_signal(signal.SIGTERM)
                for process in started.values():
                    process.wait(60)
