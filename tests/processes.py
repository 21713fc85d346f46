"""Reads the state of processes from the kernel, and signals several of them."""

import os
import signal
from contextlib import suppress
from pathlib import Path

_ESTABLISHED = "01"  # in /proc/net/tcp


def state_of(pid: int) -> str:
    """Return the kernel's state of a process: `R`, `S`, `T` stopped, `Z` zombie; empty if there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def family(pid: int) -> list[int]:
    """Return a process and its children."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]
    return [pid]


def send_all(pids: list[int], number: signal.Signals) -> int:
    """Signal each process, and return how many exist."""
    reached = 0
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
            reached += 1
    return reached


def connections(pid: int) -> set[tuple[str, str]]:
    """Return the established TCP connections of a process, each by its two addresses."""
    sockets = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            sockets.add(os.readlink(descriptor))
    lines = [line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
    return {
        (here, there)
        for _, here, there, state, *_, in_use in (line[:10] for line in lines)
        if state == _ESTABLISHED and f"socket:[{in_use}]" in sockets
    }
