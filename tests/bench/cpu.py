"""Reads how much CPU time processes have used, from the kernel.

A process tree is a process with all its descendants. The time of a descendant that has ended counts, because
the kernel adds it to its parent's.
"""

import os
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")  # the unit of the times in /proc


class _ProcessTimes(NamedTuple):
    parent: int
    seconds: float


def seconds_by_part(parts: Mapping[str, Iterable[int]]) -> dict[str, float]:
    """Return the CPU seconds that each part has used so far. A part is the roots of its process trees.

    This process counts alone, because the processes that a benchmark starts are its children.
    """
    found = _all_processes()
    return {part: sum(_seconds_of_tree(found, root) for root in roots) for part, roots in parts.items()}


def parent_of(pid: int) -> int:
    """Return the id of a process' parent."""
    return _times(Path(f"/proc/{pid}/stat").read_text()).parent


def _seconds_of_tree(found: Mapping[int, _ProcessTimes], root: int) -> float:
    if root == os.getpid():
        return time.process_time()
    seconds = found[root].seconds if root in found else 0.0
    children = [pid for pid, times in found.items() if times.parent == root]
    return seconds + sum(_seconds_of_tree(found, child) for child in children)


def _all_processes() -> dict[int, _ProcessTimes]:
    found: dict[int, _ProcessTimes] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            with suppress(FileNotFoundError, ProcessLookupError):  # it has ended since
                found[int(folder.name)] = _times((folder / "stat").read_text())
    return found


def _times(stat: str) -> _ProcessTimes:
    """Parse a line of /proc/PID/stat. The name before the last parenthesis may contain anything."""
    fields = stat.rpartition(")")[2].split()
    own_and_ended_children = map(int, fields[11:15])  # utime, stime, cutime, cstime
    return _ProcessTimes(int(fields[1]), sum(own_and_ended_children) / _TICKS_PER_SECOND)
