"""Starts programs so that they end when their supervisor ends, however that ends.

- On Linux the kernel signals the child when the *thread* that forked it dies (PR_SET_PDEATHSIG). So only
  the main thread may start children: a pool's thread would take the servers with it.
- Every child inherits one locked descriptor (`alive_fd`). While anyone can take that lock, no child of
  this home lives, whatever pid files say: pids are reused, in containers soon.
- Postgres refuses to run as root; so for root both servers run as `postgres`, else `nobody`.
"""

import contextlib
import ctypes
import os
import pwd
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pointledger.errors import ServersUnavailable

_PORT_ATTEMPTS = 5  # another process may take a free port before the server does
_READY_SECONDS = 60  # Postgres replays its log after a crash: at most `max_wal_size`
_POLL_SECONDS = 0.01
_STOP_SECONDS = 30  # a fast shutdown writes one checkpoint
_LOG_TAIL_CHARACTERS = 2000
_PR_SET_PDEATHSIG = 1

# The rest of our environment (PGOPTIONS, LC_ALL, a person's secrets) must not reach the servers.
_KEPT_VARIABLES = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")


@dataclass(frozen=True)
class ServerUser:
    """Whom the servers run as when we are root."""

    name: str
    uid: int
    gid: int


def server_user() -> ServerUser | None:
    """None when we are not root: then the servers run as we do."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    for name in ("postgres", "nobody"):
        if name in known:
            return ServerUser(name, known[name].pw_uid, known[name].pw_gid)
    raise ServersUnavailable("we are root, and there is no user postgres or nobody to run them as")


@dataclass(frozen=True)
class Launcher:
    """Where, and as whom, children run."""

    folder: Path
    user: ServerUser | None
    alive_fd: int

    def run(self, argv: Sequence[str | Path]) -> subprocess.CompletedProcess[str]:
        """Raises PermissionError where the server's user may not reach the program."""
        return subprocess.run(argv, capture_output=True, text=True, check=False, **self._surroundings())

    def spawn(
        self, argv: Sequence[str | Path], *, log: Path, stop_signal: signal.Signals, stdin: bytes = b""
    ) -> subprocess.Popen[bytes]:
        """`stop_signal` is also what the child gets when its supervisor dies."""
        assert threading.current_thread() is threading.main_thread(), "servers are started by the main thread"
        with log.open("wb") as sink:  # each start anew: the log of a development server needs a limit
            child = subprocess.Popen(
                argv,
                stdin=subprocess.PIPE,
                stdout=sink,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for the supervisor, which then stops us in order
                preexec_fn=_end_with_supervisor(stop_signal),  # noqa: PLW1509  no thread of ours holds a lock
                **self._surroundings(),
            )
        assert child.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it died at once; whoever awaits its answer will notice
            child.stdin.write(stdin)
            child.stdin.close()
        return child

    def own(self, path: Path) -> None:
        """Gives the file or folder to the server's user."""
        if self.user:
            os.chown(path, self.user.uid, self.user.gid)

    def _surroundings(self) -> dict[str, Any]:
        environ = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
        surroundings: dict[str, Any] = {
            "cwd": self.folder,
            "env": environ | {"LC_ALL": "C", "TZ": "UTC"},
            "pass_fds": (self.alive_fd,),
        }
        if self.user:
            surroundings |= {"user": self.user.uid, "group": self.user.gid, "extra_groups": []}
        return surroundings


def start_on_free_port(
    launch: Callable[[int], subprocess.Popen[bytes]], answers: Callable[[int], bool], log: Path
) -> tuple[subprocess.Popen[bytes], int]:
    """Starts a server on a port of its own and waits until it answers there. Raises ServersUnavailable."""
    for _ in range(_PORT_ATTEMPTS):
        port = _free_port()
        child = launch(port)
        try:
            ready = _await_answer(child, answers, port)
        except BaseException:
            child.kill()
            child.wait()
            raise
        if ready:
            return child, port
    raise ServersUnavailable(f"{log}: {log.read_text(errors='replace')[-_LOG_TAIL_CHARACTERS:]}")


def stop(child: subprocess.Popen[bytes], stop_signal: signal.Signals) -> None:
    """Asks, waits, and in the end insists."""
    child.send_signal(stop_signal)
    try:
        child.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def write_private(path: Path, text: str) -> None:
    """Whole or not at all, and never readable by others, not even for a moment."""
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    draft.rename(path)


def _end_with_supervisor(stop_signal: signal.Signals) -> Callable[[], None] | None:
    """What the child does between fork and exec. Elsewhere than on Linux a start ends orphans instead."""
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)  # loaded before the fork: afterwards the loader's lock may be held for ever
    supervisor = os.getpid()

    def arrange() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, int(stop_signal), 0, 0, 0)
        if os.getppid() != supervisor:  # it died before we asked: no signal will come
            os._exit(1)

    return arrange


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _await_answer(child: subprocess.Popen[bytes], answers: Callable[[int], bool], port: int) -> bool:
    """False when the child ended by itself: most likely its port was taken meanwhile."""
    deadline = time.monotonic() + _READY_SECONDS
    while child.poll() is None:
        if answers(port):
            return True
        if time.monotonic() > deadline:
            raise ServersUnavailable(f"{child.args!r} did not answer within {_READY_SECONDS} s")
        time.sleep(_POLL_SECONDS)
    return False
