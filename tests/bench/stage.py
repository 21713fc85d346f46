"""Where benchmarks run: durable servers on a disk, fresh databases, Celery processes. All sides of a
comparison use it alike, and everything ends with it."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex

import psycopg
from psycopg import sql
from redis import Redis

from pointledger.embedded import EmbeddedServers, ServerUrls

_ROOT = Path(__file__).parents[2]
_ON_DISK = Path("/var/tmp")  # by custom it outlives a restart; /tmp may be memory
_QUIET = ("--loglevel=WARNING", "--without-gossip", "--without-mingle", "--without-heartbeat")
_START_SECONDS = 60.0  # a worker takes one or two
_STOP_SECONDS = 15.0  # a worker finishes its task, then it is killed
_POLL_SECONDS = 0.05  # between looks whether all is done: small beside seconds, and looking takes time, too
_LOG_TAIL_CHARACTERS = 2000


class BenchmarkStuck(Exception):
    """Something did not start, died, or did not end in time; its log's end is in the message."""


@dataclass(frozen=True, slots=True)
class Trace:
    """A line to draw: `xs` and `ys` in the units that the axes name. Those of one title share a picture."""

    title: str
    label: str
    x_axis: str
    y_axis: str
    xs: list[float]
    ys: list[float]


class Workers:
    """Celery worker processes of one side."""

    def __init__(self, processes: list[subprocess.Popen[bytes]], log: Path) -> None:
        self.processes = processes
        self.log = log

    def wait_until(self, is_done: Callable[[], bool], seconds: float, what: str) -> None:
        """Returns as soon as it is done. Raises BenchmarkStuck when time is up or a worker has ended."""
        give_up_at = time.monotonic() + seconds
        while not is_done():
            late = time.monotonic() > give_up_at
            if late or any(process.poll() is not None for process in self.processes):
                explain_entry = f"not after {seconds:.0f} s" if late else "a worker has ended"
                tail = self.log.read_text(errors="replace")[-_LOG_TAIL_CHARACTERS:]
                raise BenchmarkStuck(f"{what}: {explain_entry}\n{tail}")
            time.sleep(_POLL_SECONDS)


class Stage:
    """Servers of our own, and what rounds are made on. `tell` hears what goes on: text, done, of all."""

    def __init__(self, urls: ServerUrls, folder: Path, tell: Callable[[str, int, int], None]) -> None:
        self._urls = urls
        self._folder = folder
        self.tell = tell
        self._traces: dict[tuple[str, str], Trace] = {}

    @property
    def traces(self) -> list[Trace]:
        """The curves that were kept."""
        return list(self._traces.values())

    def keep(self, trace: Trace) -> None:
        """Keeps the curve in the place of one of the same title and label: the last round's is drawn."""
        self._traces[trace.title, trace.label] = trace

    @contextmanager
    def database(self, template: str | None = None) -> Iterator[str]:
        """The URL of an empty database, or of a copy of the one of this URL. What the round before left in
        memory is written first, so that nobody pays for another's work."""
        name = f"bench_{token_hex(4)}"
        create = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name))
        if template:
            original = sql.Identifier(template.rpartition("/")[2])
            create += sql.SQL(" TEMPLATE {} STRATEGY file_copy").format(original)
        self._administer(create)
        try:
            self._administer(sql.SQL("CHECKPOINT"))
            yield f"{self._urls.database_url.rpartition('/')[0]}/{name}"
        finally:
            self._administer(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def valkey(self, number: int) -> str:
        """The URL of a Valkey database, emptied."""
        url = f"{self._urls.redis_url.rpartition('/')[0]}/{number}"
        with Redis.from_url(url) as client:
            client.flushdb()
        return url

    @contextmanager
    def workers(
        self, app: str, count: int, redis_url: str, environment: Mapping[str, str]
    ) -> Iterator[Workers]:
        """So many workers of the app, all of them waiting for messages."""
        log = self._folder / f"{app}.log"
        processes: list[subprocess.Popen[bytes]] = []
        try:
            with log.open("wb") as sink:
                for number in range(1, count + 1):
                    name = f"--hostname=bench-{number}@%h"
                    processes.append(_start(app, ["worker", name, *_QUIET], environment, sink.fileno()))
            workers = Workers(processes, log)
            with Redis.from_url(redis_url) as client:
                workers.wait_until(lambda: _waiting(client) >= count, _START_SECONDS, f"{app} starts")
            yield workers
        finally:
            _stop(processes)

    def replace_oldest(
        self, workers: Workers, app: str, redis_url: str, environment: Mapping[str, str]
    ) -> None:
        """As at a deployment: starts another worker, and when it waits for messages, tells the oldest
        to end and waits until it has."""
        name = f"--hostname=bench-{token_hex(4)}@%h"
        with workers.log.open("ab") as sink:
            workers.processes.append(_start(app, ["worker", name, *_QUIET], environment, sink.fileno()))
        everybody = len(workers.processes)
        with Redis.from_url(redis_url) as client:
            workers.wait_until(lambda: _waiting(client) >= everybody, _START_SECONDS, f"{app} starts")
        _stop([workers.processes.pop(0)])

    @contextmanager
    def beat(self, environment: Mapping[str, str]) -> Iterator[None]:
        """The ledger's beat: what was lost on the way is rung for, and periodic work goes on."""
        processes: list[subprocess.Popen[bytes]] = []
        try:
            with (self._folder / "beat.log").open("wb") as sink:
                processes.append(
                    _start("schedules", ["beat", "--loglevel=WARNING"], environment, sink.fileno())
                )
            yield
        finally:
            _stop(processes)

    def _administer(self, statement: sql.SQL | sql.Composed) -> None:
        with psycopg.connect(self._urls.database_url, autocommit=True) as connection:
            connection.execute(statement)


@contextmanager
def open_stage(tell: Callable[[str, int, int], None]) -> Iterator[Stage]:
    """Starts the servers in a temporary folder on a disk; stops them and removes it."""
    parent = os.environ.get("TMPDIR") or (_ON_DISK if _ON_DISK.is_dir() else None)
    folder = Path(tempfile.mkdtemp(prefix="pointledger-bench-", dir=parent))
    servers = EmbeddedServers(folder, durable=True)
    try:
        with servers as urls:
            _require_durability(urls)
            yield Stage(urls, folder, tell)
    finally:
        shutil.rmtree(servers.home, ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)


def _require_durability(urls: ServerUrls) -> None:
    """What is measured is what survives a power cut. Raises BenchmarkStuck."""
    with psycopg.connect(urls.database_url) as connection:
        for name in ("fsync", "synchronous_commit", "full_page_writes"):
            (value,) = connection.execute("SELECT current_setting(%s)", (name,)).fetchone() or ("",)
            if value != "on":
                raise BenchmarkStuck(f"{name} is {value!r}, not on")
    with Redis.from_url(urls.redis_url, decode_responses=True) as client:
        if client.config_get("appendonly") != {"appendonly": "yes"}:
            raise BenchmarkStuck("Valkey is not append-only")


def _start(
    app: str, arguments: list[str], environment: Mapping[str, str], log: int
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "pointledger_demo.supervised", "celery", "-A", app, *arguments],
        cwd=_ROOT,
        env=os.environ | environment | {"C_FORCE_ROOT": "1"},
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        start_new_session=True,  # Ctrl-C is for us; they are told in order
    )


def _waiting(client: Redis) -> int:
    """How many connections wait for a message in this Valkey database."""
    number = str(client.connection_pool.connection_kwargs["db"])
    return sum(other["cmd"] == "brpop" and other["db"] == number for other in client.client_list())


def _stop(processes: list[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        if process.poll() is None:
            process.terminate()
    for process in processes:
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
