"""Measures where the time of a single command goes, step by step."""

import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from tests.bench import workload
from tests.bench.environment import BenchmarkEnvironment
from tests.bench.harness import BenchmarkOptions, BenchmarkReport, DifferentWork, Side, compare
from tests.bench.ledger import apply_one, new_ledger, open_accounts, running_workers
from tests.bench.passages import FOLDER_VARIABLE, Passage, Passages

NAME = "steps"
_BEGIN, _END = "enqueue", "outcome"  # of a command, in the client
# Each step ends when its failpoint is passed, and begins when the one before ended. So their times add up.
_STEPS = {
    "client: accept, one transaction": "after:accept-commit",
    "client: ring, in Redis": "after:mark-rung",
    "the worker wakes": "before:take-lanes",
    "worker: take the lanes, in Redis": "after:take-lanes",
    "worker: peek": "after:peek",
    "worker: lock the users, in Redis": "after:acquire-users",
    "worker: lock and read": "after:load",
    "worker: decide": "after:decide",
    "worker: write": "before:batch-commit",
    "worker: commit": "after:batch-commit",
    "worker: notify, in Redis": "after:notify",
    "client: wake, and read the outcome": _END,
}
_RECORDED = "tests.bench.recorded"
_PREFIX = "pointledger-bench-"
_SIDES = {"one after the other": 0.0, "10 per second": 0.1}


@dataclass(frozen=True, slots=True)
class StepsSize:
    """The size of the load: commands for the warm-up, and then for each side."""

    rounds: int
    users: int
    warm_up: int
    commands: dict[str, int]


FULL = StepsSize(rounds=1, users=20_000, warm_up=300, commands=dict(zip(_SIDES, (2_000, 200), strict=True)))
QUICK = StepsSize(rounds=1, users=100, warm_up=5, commands=dict(zip(_SIDES, (20, 3), strict=True)))


def run(environment: BenchmarkEnvironment, options: BenchmarkOptions) -> Iterator[BenchmarkReport]:
    """Measure the median of each step, when commands come one after the other and at 10 per second."""
    size = QUICK if options.quick else FULL
    side = Side("pointledger", lambda: _measure(environment, size))
    rounds = compare(NAME, [side], options.rounds or size.rounds, environment.on_progress)
    yield rounds.report(NAME, "milliseconds")


def _measure(environment: BenchmarkEnvironment, size: StepsSize) -> dict[str, float]:
    client_passages = Passages()
    taken: dict[str, list[Passage]] = {}
    user_ids = workload.users(size.users)
    events = workload.events("steps", size.warm_up + sum(size.commands.values()), user_ids)
    with (
        tempfile.TemporaryDirectory(prefix=_PREFIX) as folder,
        new_ledger(environment) as ledger,
    ):
        opening = open_accounts(ledger, size.users)
        recorded = running_workers(environment, ledger, app=_RECORDED, env={FOLDER_VARIABLE: folder})
        with environment.beat(ledger.env), recorded as (client, _), client_passages.recording():
            rest = iter(events)
            for _ in range(size.warm_up):
                apply_one(client, next(rest))
            for side, pause in _SIDES.items():
                client_passages.all.clear()
                for _ in range(size.commands[side]):
                    time.sleep(pause)
                    client_passages.mark(_BEGIN)
                    if not apply_one(client, next(rest)):
                        raise DifferentWork("a command had another outcome than expected")
                    client_passages.mark(_END)
                taken[side] = client_passages.all.copy()
        ledger.verify(lambda found: workload.verify(found, user_ids, events, opening.per_user))
        of_workers = [each for path in Path(folder).iterdir() for each in Passages.read(path)]
    return {
        f"{side}: {step}": milliseconds
        for side, of_client in taken.items()
        for step, milliseconds in _medians(sorted([*of_client, *of_workers])).items()
    }


def _medians(passages: Sequence[Passage]) -> dict[str, float]:
    """Return the median of each step and of the whole, in milliseconds."""
    seconds: dict[str, list[float]] = {step: [] for step in (*_STEPS, "all steps")}
    for begin, passage in enumerate(passages):
        if passage.point == _BEGIN:
            ends = _ends(passages, begin)
            for step, before, after in zip(_STEPS, [passage.at, *ends], ends, strict=False):
                seconds[step].append(after - before)
            seconds["all steps"].append(ends[-1] - passage.at)
    return {step: 1000 * median(each) for step, each in seconds.items()}


def _ends(passages: Sequence[Passage], begin: int) -> list[float]:
    """Return when each step of the command that begins there ended.

    A step that it skips takes no time. So does one whose end was noted late, after that of the next step.
    """
    passed: dict[str, float] = {}
    for at, point in passages[begin + 1 :]:
        passed.setdefault(point, at)
        if point == _END:
            break
    ends = [passages[begin].at]
    for point in _STEPS.values():
        ends.append(max(ends[-1], passed.get(point, 0.0)))
    return ends[1:]
