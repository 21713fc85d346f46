"""Groups of worlds, each with a ledger of its own, compared by several processes at once."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Generator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from typing import NamedTuple

from pointledger.observability.verify import Finding as Broken
from pointledger.observability.verify import audit
from tests.ledger import Ledger
from tests.model.code import as_code
from tests.model.compare import Difference
from tests.model.coverage import Coverage
from tests.model.environment import Place, open_ledger
from tests.model.histories import History
from tests.model.runs import Finding, Runner, histories
from tests.model.shrink import shrunk

WORLDS_AT_ONCE = 500  # side by side: their commands share batches
_WORKERS = 2  # threads that apply a group's commands
_SHRUNK = 3  # differences that are made short; more would be of the same kinds
_SHOWN = 5  # lines of each


class Group(NamedTuple):
    """Worlds of a seed, from this number on."""

    seed: int
    first: int
    worlds: int
    commands: int


@dataclass
class Compared:
    """What a group has shown. `told`: the first differences, each with a short history that has it, and what
    the audit has found."""

    worlds: int
    coverage: Coverage
    differences: int = 0
    told: list[str] = field(default_factory=list)


def groups(seed: int, worlds: int, commands: int) -> list[Group]:
    """All worlds of a run. Each world has a number, so the cut into groups changes no history."""
    return [
        Group(seed, first, min(WORLDS_AT_ONCE, worlds - first), commands)
        for first in range(0, worlds, WORLDS_AT_ONCE)
    ]


def compare_all(place: Place, asked: Sequence[Group], processes: int) -> Generator[Compared, None, None]:
    """Group after group, as they are done. Closing this iterator stops what is under way."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(processes, len(asked)), context, _begin) as pool:
        try:
            for done in as_completed([pool.submit(compare, place, group) for group in asked]):
                yield done.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            for child in multiprocessing.active_children():
                child.terminate()


def _begin() -> None:
    """Ctrl-C is for the parent to hear; and whoever has lost the parent ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent
    threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)


def compare(place: Place, group: Group) -> Compared:
    """One group, in this process."""
    with open_ledger(place) as ledger:
        runner = Runner(ledger, f"s{group.seed}-{group.first}", _WORKERS)
        findings = runner.compare(list(histories(*group)))
        broken = broken_invariants(ledger)
        told = [f"{finding.invariant.id} {finding.invariant.name}: {finding.rows[:3]}" for finding in broken]
        told += [explained(runner, finding) for finding in findings[:_SHRUNK]]
    return Compared(group.worlds, runner.coverage, len(findings) + len(broken), told)


def broken_invariants(ledger: Ledger) -> list[Broken]:
    """What the audit finds, but for one that goes by when versions were saved: these are dated back."""
    found = audit(ledger.database).findings
    return [each for each in found if each.violations and each.invariant.id != "I16c"]


def explained(runner: Runner, finding: Finding) -> str:
    """What differs, in a short history that can be pasted into a test."""

    def differing(candidates: Sequence[History]) -> list[list[Difference]]:
        found = {id(each.history): each.differences for each in runner.compare(candidates, counted=False)}
        return [found.get(id(each), []) for each in candidates]

    short = shrunk(finding.history, finding.differences, differing)
    differences = differing([short])[0] or finding.differences
    told = "\n".join(str(each) for each in differences[:_SHOWN])
    return f"{told}\n\n{as_code(short)}\n"
