"""What the kernel knows of processes, and telling many of them at once."""

import os
import signal
from contextlib import suppress
from pathlib import Path

_ESTABLISHED = "01"  # in /proc/net/tcp


def state_of(pid: int) -> str:
    """As the kernel has it: `R`, `S`, `T` stopped, `Z` dead and not yet buried; empty for none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def family(pid: int) -> list[int]:
    """A process and its children."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]
    return [pid]


def send_all(pids: list[int], number: signal.Signals) -> int:
    """Signals each; how many were there."""
    reached = 0
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
            reached += 1
    return reached


def connections(pid: int) -> set[tuple[str, str]]:
    """The process' TCP connections that both ends hold open, each by its two addresses."""
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
