"""Runs one pair of Postgres and Valkey per home folder; all processes that name the home share it.

The first process starts the servers and supervises them: they end with it. Other processes attach.

    home/start.lock     held while a process starts or attaches
    home/alive.lock     held by the servers, through an inherited descriptor
    home/state.json     0600: the pids, and the URLs with their passwords
    home/postgres/      passwords (0600) and one data folder per major version
    home/valkey/        the append-only file
    home/*.log          0600: logs of the last start
"""

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import IO

from pointledger.embedded import postgres, valkey
from pointledger.embedded.paths import reachable_home
from pointledger.embedded.private_files import write_private
from pointledger.embedded.processes import Launcher, server_user, stop
from pointledger.errors import ServersUnavailable

_ORPHANS_SECONDS = 40  # longer than a supervisor waits before it kills
_POLL_SECONDS = 0.02


@dataclass(frozen=True)
class ServerUrls:
    """The servers' URLs, with passwords.

    `database_url` is for the owner, who may do anything; `worker_url` for workers and clients.
    """

    database_url: str
    redis_url: str
    worker_url: str

    def as_settings(self) -> dict[str, str]:
        """Return the settings of a program that uses these servers."""
        return {"database_url": self.worker_url, "owner_url": self.database_url, "redis_url": self.redis_url}


@dataclass(frozen=True)
class _State:
    supervisor_pid: int
    postgres_pid: int
    valkey_pid: int
    database_url: str
    redis_url: str
    worker_url: str


class EmbeddedServers:
    """Both servers of one home. `durable=False` is fast and loses data in a crash: for tests.

    If this process is root, `home` may become a folder under `/var/lib` that the servers' user can reach.
    """

    def __init__(self, home: Path, *, durable: bool = True) -> None:
        self._user = server_user()
        self.home = reachable_home(home, self._user)
        self._durable = durable
        self._children: list[tuple[subprocess.Popen[bytes], signal.Signals]] = []
        self._state: _State | None = None

    def up(self) -> ServerUrls:
        """Attach to the servers, or start them (main thread only). Raises ServersUnavailable."""
        if self._state is None:
            with self._start_lock():
                self._state = self._attach_or_start()
        return ServerUrls(self._state.database_url, self._state.redis_url, self._state.worker_url)

    def down(self) -> None:
        """Stop the servers that this object started. A second call does nothing."""
        if self._children:
            self._state_path.unlink(missing_ok=True)  # first, so that no process attaches to stopping servers
        self._stop_children()
        self._state = None

    def __enter__(self) -> ServerUrls:
        return self.up()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.down()

    @property
    def postgres_pid(self) -> int:
        """The pid of Postgres' postmaster. The servers must be up."""
        assert self._state is not None, "the servers are up"
        return self._state.postgres_pid

    @property
    def valkey_pid(self) -> int:
        """The pid of Valkey. The servers must be up."""
        assert self._state is not None, "the servers are up"
        return self._state.valkey_pid

    @property
    def _state_path(self) -> Path:
        return self.home / "state.json"

    @contextlib.contextmanager
    def _start_lock(self) -> Iterator[None]:
        with _open_lock(self.home / "start.lock") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _attach_or_start(self) -> _State:
        with _open_lock(self.home / "alive.lock") as alive:
            if not _try_lock(alive.fileno()):
                if state := self._attach():
                    return state
                self._end_orphans(alive.fileno())
            return self._start(alive.fileno())

    def _attach(self) -> _State | None:
        """Attach to running servers. None if their supervisor is dead: they will soon end."""
        state = self._read_state()
        if state is None or not _is_alive(state.supervisor_pid):
            return None
        if postgres.postgres_answers(state.database_url) and valkey.valkey_answers(state.redis_url):
            return state
        raise ServersUnavailable(
            f"process {state.supervisor_pid} runs servers in {self.home} that do not answer: stop it"
        )

    def _end_orphans(self, alive_fd: int) -> None:
        """Signal the servers of a dead supervisor and wait for their end.

        Linux has signaled them already; other systems have not. They hold the lock, so they are alive and
        the recorded pids are theirs.
        """
        if state := self._read_state():
            _signal(state.postgres_pid, postgres.STOP_SIGNAL)
            _signal(state.valkey_pid, valkey.STOP_SIGNAL)
        deadline = time.monotonic() + _ORPHANS_SECONDS
        while not _try_lock(alive_fd):
            if time.monotonic() > deadline:
                raise ServersUnavailable(f"servers of a dead process still run in {self.home}")
            time.sleep(_POLL_SECONDS)

    def _start(self, alive_fd: int) -> _State:
        launcher = Launcher(self.home, self._user, alive_fd)
        try:
            child, database_url, worker_url = postgres.start_postgres(
                launcher, self.home / "postgres", durable=self._durable
            )
            self._children.append((child, postgres.STOP_SIGNAL))
            child, redis_url = valkey.start_valkey(launcher, self.home / "valkey", durable=self._durable)
            self._children.append((child, valkey.STOP_SIGNAL))
            pids = [child.pid for child, _ in self._children]
            state = _State(os.getpid(), pids[0], pids[1], database_url, redis_url, worker_url)
            write_private(self._state_path, json.dumps(asdict(state)).encode())
        except BaseException:
            self._stop_children()
            raise
        return state

    def _stop_children(self) -> None:
        for child, stop_signal in reversed(self._children):
            stop(child, stop_signal)
        self._children.clear()

    def _read_state(self) -> _State | None:
        try:
            return _State(**json.loads(self._state_path.read_text()))
        except (FileNotFoundError, ValueError, TypeError):  # missing, or written by an older version
            return None


def _open_lock(path: Path) -> IO[str]:
    """Open a lock file. It is 0600, because every user that can open a file can lock it."""
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+")


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
