"""A heartbeat of each process, in a file that `pointledger health` reads.

The loop that does a process' work beats, so a process that stands still is noticed, and one that waits for a
server is alive. Neither side needs a server: an outage must not restart every process.

A process holds a lock on its file until it ends, however it ends. So an unlocked file is left over.
"""

import fcntl
import os
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from pointledger.errors import HealthFolderUnusable

_EVERY_SECONDS = 1.0  # a write takes microseconds, and a check asks every half a minute
_WIDTH = 32  # of the file, always, so that a write on a full disk needs no new block
_FOR_ITS_USER = 0o700
_CONTENT = re.compile(r"(\d+) (\d+\.\d+) *\n")


class Process(StrEnum):
    """What beats."""

    WORKER = "worker"
    BEAT = "beat"
    RELAY = "relay"
    INGEST = "ingest"
    API = "api"
    CONSOLE = "console"


class Heartbeat:
    """The heartbeat of this process. Without a folder it does nothing."""

    def __init__(self, folder: Path | None, process: Process) -> None:
        self._folder = folder
        self._process = process
        self._file: int | None = None
        self._beat_at = float("-inf")

    def beat(self) -> None:
        """Write the time, at most once a second. The first call raises HealthFolderUnusable."""
        now = time.monotonic()
        if self._folder is None or now - self._beat_at < _EVERY_SECONDS:
            return
        self._beat_at = now
        if self._file is None:
            self._file = _create(self._folder, self._process)
        with suppress(OSError):  # the heartbeat then becomes old, which the check reports
            os.pwrite(self._file, _content(now), 0)


class Seen(NamedTuple):
    """A process that runs, and the seconds since its last heartbeat."""

    process: Process
    pid: int
    seconds: float


def running(folder: Path) -> list[Seen]:
    """Return the processes that beat in the folder, and delete the files of those that have ended.

    Raises HealthFolderUnusable. A folder that does not exist yet has none.
    """
    try:
        paths = sorted(folder.iterdir())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise HealthFolderUnusable(f"{folder}: {error.strerror}") from None
    return [seen for path in paths for seen in _read(path)]


def _read(path: Path) -> Iterator[Seen]:
    name = path.name.partition("-")[0]
    if name not in {*Process}:
        return
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:  # another check has just deleted it
        return
    except OSError as error:
        raise HealthFolderUnusable(f"{path}: {error.strerror}") from None
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        if found := _CONTENT.fullmatch(os.pread(file, _WIDTH, 0).decode("ascii", "replace")):
            yield Seen(Process(name), int(found[1]), max(time.monotonic() - float(found[2]), 0.0))
    else:
        with suppress(OSError):
            path.unlink()
    finally:
        os.close(file)


def _create(folder: Path, process: Process) -> int:
    """Create this process' file and lock it. It gets its name last, so that no check sees it unlocked."""
    name = f"{process}-{secrets.token_hex(4)}"  # not the process id: in containers, all of them can be 1
    hidden = folder / f".{name}"
    try:
        folder.mkdir(_FOR_ITS_USER, parents=True, exist_ok=True)
        file = os.open(hidden, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(file, fcntl.LOCK_EX)
        os.pwrite(file, _content(time.monotonic()), 0)
        hidden.rename(folder / name)
    except OSError as error:
        raise HealthFolderUnusable(f"{folder}: {error.strerror}") from None
    return file


def _content(now: float) -> bytes:
    """Return this process' id and the time by the machine's monotonic clock, which no correction moves."""
    return f"{os.getpid()} {now:.3f}".ljust(_WIDTH - 1).encode() + b"\n"
