"""Starts programs that end when their supervisor ends, even if it is killed.

- On Linux the kernel signals the child when the *thread* that forked it ends (PR_SET_PDEATHSIG). So only
  the main thread may start children: a pool's thread would end the servers with itself.
- Every child inherits one locked descriptor (`alive_fd`). If a process can take that lock, no child of
  this home is alive. Pid files prove nothing, because pids are reused, in containers within minutes.
- Postgres refuses to run as root. If this process is root, both servers run as `postgres` or `nobody`.
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

from pointledger.embedded.private_files import PRIVATE_UMASK, open_private
from pointledger.errors import ServersUnavailable

_PORT_ATTEMPTS = 5  # another process may take a free port before the server does
_READY_SECONDS = 60  # Postgres replays its log after a crash: at most `max_wal_size`
_POLL_SECONDS = 0.01
_STOP_SECONDS = 30  # a fast shutdown writes one checkpoint
_LOG_TAIL_CHARACTERS = 2000
_PR_SET_PDEATHSIG = 1

# The rest of the environment (PGOPTIONS, LC_ALL, secrets) must not reach the servers.
_KEPT_VARIABLES = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")


@dataclass(frozen=True)
class ServerUser:
    """The user that the servers run as when this process is root."""

    name: str
    uid: int
    gid: int


def server_user() -> ServerUser | None:
    """Return the servers' user, or None unless this process is root: then they run as its own user."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    for name in ("postgres", "nobody"):
        if name in known:
            return ServerUser(name, known[name].pw_uid, known[name].pw_gid)
    raise ServersUnavailable("root may not run Postgres, and neither user postgres nor user nobody exists")


@dataclass(frozen=True)
class Launcher:
    """The folder and the user that children run with."""

    folder: Path
    user: ServerUser | None
    alive_fd: int

    def run(self, argv: Sequence[str | Path]) -> subprocess.CompletedProcess[str]:
        """Run a program to its end. Raises PermissionError if the servers' user cannot reach it."""
        return subprocess.run(argv, capture_output=True, text=True, check=False, **self._environment())

    def spawn(
        self, argv: Sequence[str | Path], *, log: Path, stop_signal: signal.Signals, stdin: bytes = b""
    ) -> subprocess.Popen[bytes]:
        """Start a server. The kernel sends it `stop_signal` when its supervisor ends."""
        assert threading.current_thread() is threading.main_thread(), "the main thread starts servers"
        with open_private(
            log, os.O_TRUNC
        ) as sink:  # each start truncates it, so that it does not grow without limit
            child = subprocess.Popen(
                argv,
                stdin=subprocess.PIPE,
                stdout=sink,
                stderr=subprocess.STDOUT,
                umask=PRIVATE_UMASK,
                start_new_session=True,  # Ctrl-C reaches only the supervisor, which stops servers in order
                preexec_fn=_end_with_supervisor(stop_signal),  # noqa: PLW1509  it takes no lock
                **self._environment(),
            )
        assert child.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it ended at once; the wait for its answer reports that
            child.stdin.write(stdin)
            child.stdin.close()
        return child

    def own(self, path: Path) -> None:
        """Give the file or folder to the servers' user."""
        if self.user:
            os.chown(path, self.user.uid, self.user.gid)

    def _environment(self) -> dict[str, Any]:
        environ = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
        environment: dict[str, Any] = {
            "cwd": self.folder,
            "env": environ | {"LC_ALL": "C", "TZ": "UTC"},
            "pass_fds": (self.alive_fd,),
        }
        if self.user:
            environment |= {"user": self.user.uid, "group": self.user.gid, "extra_groups": []}
        return environment


def start_on_free_port(
    launch: Callable[[int], subprocess.Popen[bytes]], answers: Callable[[int], bool], log: Path
) -> tuple[subprocess.Popen[bytes], int]:
    """Start a server on a free port and wait until it answers. Raises ServersUnavailable."""
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
    """Send the stop signal and wait; kill the child after `_STOP_SECONDS`."""
    child.send_signal(stop_signal)
    try:
        child.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _end_with_supervisor(stop_signal: signal.Signals) -> Callable[[], None] | None:
    """Return the step between fork and exec. On other systems than Linux the next start ends orphans."""
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)  # loaded before the fork: a forked child may wait for the loader's lock forever
    supervisor = os.getpid()

    def set_death_signal() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, int(stop_signal), 0, 0, 0)
        if os.getppid() != supervisor:  # it ended before the call, so no signal will come
            os._exit(1)

    return set_death_signal


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _await_answer(child: subprocess.Popen[bytes], answers: Callable[[int], bool], port: int) -> bool:
    """Wait until the child answers. False if it ended: most likely another process took its port."""
    deadline = time.monotonic() + _READY_SECONDS
    while child.poll() is None:
        if answers(port):
            return True
        if time.monotonic() > deadline:
            raise ServersUnavailable(f"{child.args!r} did not answer within {_READY_SECONDS} s")
        time.sleep(_POLL_SECONDS)
    return False
