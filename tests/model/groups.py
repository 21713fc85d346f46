"""Compares groups of worlds, each on its own ledger, in several processes at once."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Generator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from typing import NamedTuple

from pointledger.observability.verification import InvariantResult as Broken
from pointledger.observability.verify import verify
from tests.ledger import Ledger
from tests.model.code import as_code
from tests.model.compare import Difference
from tests.model.coverage import Coverage
from tests.model.environment import ModelEnvironment, open_ledger
from tests.model.histories import History
from tests.model.runs import Finding, Runner, histories
from tests.model.shrink import shrunk

WORLDS_AT_ONCE = 500  # they run side by side, so their commands share batches
_WORKERS = 2  # threads that apply a group's commands
_SHRUNK = 3  # differences to shrink; more are mostly of the same kinds
_SHOWN = 5  # lines per difference


class Group(NamedTuple):
    """Worlds of a seed, starting with this number."""

    seed: int
    first: int
    worlds: int
    commands: int


@dataclass
class Compared:
    """The result of a group. `texts` has the first differences, each with a short history, and violations."""

    worlds: int
    coverage: Coverage
    differences: int = 0
    texts: list[str] = field(default_factory=list)


def groups(seed: int, worlds: int, commands: int) -> list[Group]:
    """Split a run into groups. Each world has a number, so the split changes no history."""
    return [
        Group(seed, first, min(WORLDS_AT_ONCE, worlds - first), commands)
        for first in range(0, worlds, WORLDS_AT_ONCE)
    ]


def compare_all(
    environment: ModelEnvironment, parts: Sequence[Group], processes: int
) -> Generator[Compared, None, None]:
    """Yield each group when it is done. Closing this iterator stops the others."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(processes, len(parts)), context, _begin) as pool:
        try:
            for done in as_completed([pool.submit(compare, environment, group) for group in parts]):
                yield done.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            for child in multiprocessing.active_children():
                child.terminate()


def _begin() -> None:
    """Ignore Ctrl-C, which the parent handles, and end when the parent ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent
    threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)


def compare(environment: ModelEnvironment, group: Group) -> Compared:
    """Compare one group, in this process."""
    with open_ledger(environment) as ledger:
        runner = Runner(ledger, f"s{group.seed}-{group.first}", _WORKERS)
        findings = runner.compare(list(histories(*group)))
        broken = broken_invariants(ledger)
        texts = [f"{finding.invariant.id} {finding.invariant.name}: {finding.rows[:3]}" for finding in broken]
        texts += [explained(runner, finding) for finding in findings[:_SHRUNK]]
    return Compared(group.worlds, runner.coverage, len(findings) + len(broken), texts)


def broken_invariants(ledger: Ledger) -> list[Broken]:
    """Return the violations that `verify` finds, except I16c, which backdated versions break."""
    found = verify(ledger.database).findings
    return [each for each in found if each.violations and each.invariant.id != "I16c"]


def explained(runner: Runner, finding: Finding) -> str:
    """Describe a difference with a short history as code for a test."""

    def differing(candidates: Sequence[History]) -> list[list[Difference]]:
        found = {id(each.history): each.differences for each in runner.compare(candidates, counted=False)}
        return [found.get(id(each), []) for each in candidates]

    short = shrunk(finding.history, finding.differences, differing)
    differences = differing([short])[0] or finding.differences
    texts = "\n".join(str(each) for each in differences[:_SHOWN])
    return f"{texts}\n\n{as_code(short)}\n"
