"""Provides what benchmarks run on: durable servers on a disk, new databases and Celery processes.

All sides of a comparison use the same servers. Everything stops when the environment closes.
"""

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
from tests.bench.cpu import parent_of

_ROOT = Path(__file__).parents[2]
_ON_DISK = Path("/var/tmp")  # survives a restart by convention; /tmp can be memory
_QUIET = ("--loglevel=WARNING", "--without-gossip", "--without-mingle", "--without-heartbeat")
_START_SECONDS = 60.0  # a worker takes one or two
_STOP_SECONDS = 15.0  # for a worker to finish its task; then it is killed
_POLL_SECONDS = 0.05  # small beside rounds of seconds, but not smaller, because each check takes time
_LOG_TAIL_CHARACTERS = 2000
_WAL_MB = 1_600  # more than a side writes between two checkpoints


class BenchmarkStuck(Exception):
    """A process did not start, died, or did not end in time. The message has the end of its log."""


@dataclass(frozen=True, slots=True)
class Curve:
    """A line to draw: `xs` and `ys` in the units of the axes. Curves with the same title share a plot."""

    title: str
    label: str
    x_axis: str
    y_axis: str
    xs: list[float]
    ys: list[float]
    logarithmic: str = ""  # the names of the axes with a logarithmic scale: "x", "y" or "xy"


class CeleryWorkers:
    """Celery worker processes of one side."""

    def __init__(self, processes: list[subprocess.Popen[bytes]], log: Path) -> None:
        self.processes = processes
        self.log = log

    def wait_until(self, is_done: Callable[[], bool], seconds: float, what: str) -> None:
        """Wait until `is_done`. Raises BenchmarkStuck when time is up or a worker has ended."""
        deadline = time.monotonic() + seconds
        while not is_done():
            late = time.monotonic() > deadline
            if late or any(process.poll() is not None for process in self.processes):
                problem = f"not done after {seconds:.0f} s" if late else "a worker has ended"
                tail = self.log.read_text(errors="replace")[-_LOG_TAIL_CHARACTERS:]
                raise BenchmarkStuck(f"{what}: {problem}\n{tail}")
            time.sleep(_POLL_SECONDS)


class BenchmarkEnvironment:
    """Servers of the benchmarks alone. `on_progress` gets a text, the steps done and their total.

    Each side has `workers_per_side` worker processes, unless its benchmark compares numbers of workers.
    """

    def __init__(
        self,
        urls: ServerUrls,
        folder: Path,
        on_progress: Callable[[str, int, int], None],
        workers_per_side: int,
    ) -> None:
        self._urls = urls
        self._folder = folder
        self.on_progress = on_progress
        self.workers_per_side = workers_per_side
        self._curves: dict[tuple[str, str], Curve] = {}
        self._templates: dict[object, str] = {}

    def take_curves(self) -> list[Curve]:
        """Return the curves that were kept since the last call."""
        taken, self._curves = self._curves, {}
        return list(taken.values())

    def keep_curve(self, curve: Curve) -> None:
        """Keep a curve. It replaces one with the same title and label, so the last round is drawn."""
        self._curves[curve.title, curve.label] = curve

    @contextmanager
    def database(self, template: str | None = None) -> Iterator[str]:
        """Yield the URL of an empty database, or of a copy of the template's.

        A checkpoint first writes the remains of the round before, so they do not slow this one.
        """
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

    def template(self, key: object, fill: Callable[[str], object]) -> str:
        """Return the URL of the database with this key, which `fill` gets empty once. It stays to the end."""
        if key not in self._templates:
            name = f"template_{token_hex(4)}"
            self._administer(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
            url = f"{self._urls.database_url.rpartition('/')[0]}/{name}"
            fill(url)
            self._templates[key] = url
        return self._templates[key]

    def server_processes(self) -> dict[str, int]:
        """Return the ids of the servers' first processes, by the server's name."""
        with psycopg.connect(self._urls.database_url) as connection:
            postgres = parent_of(connection.info.backend_pid)
        with Redis.from_url(self._urls.redis_url, decode_responses=True) as client:
            return {"Postgres": postgres, "Valkey": client.info("server")["process_id"]}

    def valkey(self, number: int) -> str:
        """Empty a Valkey database and return its URL."""
        url = f"{self._urls.redis_url.rpartition('/')[0]}/{number}"
        with Redis.from_url(url) as client:
            client.flushdb()
        return url

    @contextmanager
    def workers(
        self, app: str, count: int, redis_url: str, env: Mapping[str, str]
    ) -> Iterator[CeleryWorkers]:
        """Start this many workers of the app. All of them wait for messages when the block begins."""
        log = self._folder / f"{app}.log"
        processes: list[subprocess.Popen[bytes]] = []
        try:
            with log.open("wb") as sink:
                for number in range(1, count + 1):
                    name = f"--hostname=bench-{number}@%h"
                    processes.append(_start(app, ["worker", name, *_QUIET], env, sink.fileno()))
            workers = CeleryWorkers(processes, log)
            with Redis.from_url(redis_url) as client:
                workers.wait_until(
                    lambda: _waiting_connections(client) >= count, _START_SECONDS, f"{app} starts"
                )
            yield workers
        finally:
            _stop(processes)

    def replace_oldest(
        self, workers: CeleryWorkers, app: str, redis_url: str, env: Mapping[str, str]
    ) -> None:
        """Replace a worker as a deployment does.

        Start another worker, wait until it waits for messages, then stop the oldest and wait for its end.
        """
        name = f"--hostname=bench-{token_hex(4)}@%h"
        with workers.log.open("ab") as sink:
            workers.processes.append(_start(app, ["worker", name, *_QUIET], env, sink.fileno()))
        count = len(workers.processes)
        with Redis.from_url(redis_url) as client:
            workers.wait_until(lambda: _waiting_connections(client) >= count, _START_SECONDS, f"{app} starts")
        _stop([workers.processes.pop(0)])

    @contextmanager
    def beat(self, env: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
        """Run the ledger's beat, which replaces lost doorbells and starts jobs. Yield its process."""
        processes: list[subprocess.Popen[bytes]] = []
        try:
            with (self._folder / "beat.log").open("wb") as sink:
                processes.append(_start("schedules", ["beat", "--loglevel=WARNING"], env, sink.fileno()))
            yield processes[0]
        finally:
            _stop(processes)

    def _administer(self, statement: sql.SQL | sql.Composed) -> None:
        with psycopg.connect(self._urls.database_url, autocommit=True) as connection:
            connection.execute(statement)


@contextmanager
def open_environment(
    on_progress: Callable[[str, int, int], None], workers_per_side: int, *, is_new: bool = False
) -> Iterator[BenchmarkEnvironment]:
    """Start the servers in a temporary folder on a disk. At the end, stop them and remove the folder.

    Unless `is_new`, Postgres has the files of its log already, as a server that has run for a day.
    """
    parent = os.environ.get("TMPDIR") or (_ON_DISK if _ON_DISK.is_dir() else None)
    folder = Path(tempfile.mkdtemp(prefix="pointledger-bench-", dir=parent))
    servers = EmbeddedServers(folder, durable=True)
    try:
        with servers as urls:
            _require_durability(urls)
            if not is_new:
                _write_log_files(urls)
            yield BenchmarkEnvironment(urls, folder, on_progress, workers_per_side)
    finally:
        shutil.rmtree(servers.home, ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)


def _write_log_files(urls: ServerUrls) -> None:
    """Let Postgres create the files of its write-ahead log, and keep them for reuse.

    While a server creates one, every commit waits, for 20 to 200 ms on the machine of the figures.
    """
    with psycopg.connect(urls.database_url, autocommit=True) as connection:
        connection.execute(f"ALTER SYSTEM SET min_wal_size = '{_WAL_MB}MB'")
        connection.execute("SELECT pg_reload_conf()")
        for _ in range(_WAL_MB // 10):
            connection.execute(
                "SELECT count(pg_logical_emit_message(false, 'fill', repeat(gen_random_uuid()::text, 30)))"
                " FROM generate_series(1, 10000)"
            )
        connection.execute("CHECKPOINT")


def _require_durability(urls: ServerUrls) -> None:
    """Check that measured work survives a power cut. Raises BenchmarkStuck."""
    with psycopg.connect(urls.database_url) as connection:
        for name in ("fsync", "synchronous_commit", "full_page_writes"):
            (value,) = connection.execute("SELECT current_setting(%s)", (name,)).fetchone() or ("",)
            if value != "on":
                raise BenchmarkStuck(f"{name} is {value!r}, not on")
    with Redis.from_url(urls.redis_url, decode_responses=True) as client:
        if client.config_get("appendonly") != {"appendonly": "yes"}:
            raise BenchmarkStuck("Valkey is not append-only")


def _start(app: str, arguments: list[str], env: Mapping[str, str], log: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "pointledger_demo.supervised", "celery", "-A", app, *arguments],
        cwd=_ROOT,
        env=os.environ | env | {"C_FORCE_ROOT": "1"},
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        start_new_session=True,  # so Ctrl-C reaches only this process, which stops the others in order
    )


def _waiting_connections(client: Redis) -> int:
    """Count the connections that wait for a message in this Valkey database."""
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
