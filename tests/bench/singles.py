"""Measures commands that come one by one, beside the conventional design and a Celery task that does nothing.

Closed loops have as many commands in flight as threads. Open loops have a rate. One client process and two
workers run, and beat on our side.
"""

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from tests.bench import conventional_side, noop, workload
from tests.bench.closed_loop import ClosedLoop, run_closed_loop
from tests.bench.cpu import seconds_by_part
from tests.bench.environment import BenchmarkEnvironment, CeleryWorkers, Curve
from tests.bench.harness import BenchmarkOptions, BenchmarkReport, Side, compare
from tests.bench.ledger import (
    MINIMUM_RATE,
    apply_one,
    command_of,
    new_ledger,
    open_accounts,
    running_workers,
)
from tests.bench.open_loop import OpenLoop, percentile
from tests.bench.workload import OPENING_POINTS, EndlessEvents

NAME = "singles"
OURS, CONVENTIONAL, NOOP = "pointledger", "conventional", "Celery no-op task"
# The figures' first words. Each kind has a report, with its title and unit.
CLOSED, CLOSED_LATENCY, OPEN_LATENCY, ACHIEVED, CPU = "closed", "returned", "planned", "achieved", "CPU"
_REPORTS = {
    CLOSED: ("closed loops", "commands per second"),
    CLOSED_LATENCY: ("latency in closed loops", "milliseconds"),
    OPEN_LATENCY: ("latency at a rate", "milliseconds"),
    ACHIEVED: ("rate that was achieved", "commands per second"),
    CPU: ("CPU of a lone command", "milliseconds"),
}
_SHARES = {"p50": 0.5, "p99": 0.99}
_CPU_RATE = 100  # per second: each command is alone, and what idle processes use is a small part
# In flight in an open loop: more than any side has at its highest rate, so only a side that cannot keep up
# waits for a thread, and that wait counts.
_MOST_THREADS = 128

RoundTrip = Callable[[int], bool]
Parts = Mapping[str, Sequence[int]]  # the first processes of each part of a side


@dataclass(frozen=True, slots=True)
class SinglesSize:
    """The size of the load: the threads of the closed loops, and seconds for each rate of the open ones."""

    rounds: int
    users: int
    threads: tuple[int, ...]
    closed_seconds: float
    open_seconds: dict[int, float]
    warm_up_seconds: float
    catch_up_seconds: float


# At 1/s the p99 is only the slowest of thirty commands.
FULL = SinglesSize(
    rounds=3,
    users=100_000,
    threads=(1, 8, 32, 128),
    closed_seconds=10,
    open_seconds={1: 30, 10: 20, 100: 20, 500: 20, 1_000: 20, 2_000: 20},
    warm_up_seconds=3,
    # A side that cannot keep up would take minutes, and its rate is known by then.
    catch_up_seconds=2,
)
QUICK = SinglesSize(  # with every figure of the table in `goals.py`
    rounds=1,
    users=100,
    threads=(1, 32),
    closed_seconds=0.1,
    open_seconds={1: 0.1, 10: 0.1, _CPU_RATE: 0.3, 500: 0.1, 1_000: 0.1},
    warm_up_seconds=0.1,
    catch_up_seconds=0.0,
)


def run(environment: BenchmarkEnvironment, options: BenchmarkOptions) -> Iterator[BenchmarkReport]:
    """Measure each side: open loops first, then closed ones, then only the acceptance."""
    size = QUICK if options.quick else FULL
    sides = [
        Side(OURS, partial(_measure_pointledger, environment, size)),
        Side(CONVENTIONAL, partial(_measure_conventional, environment, size)),
        Side(NOOP, partial(_measure_noop_task, environment, size)),
    ]
    rounds = compare(NAME, sides, options.rounds or size.rounds, environment.on_progress)
    beside = [
        (f"{side}, {count} in flight", f"{OURS}, {_threads(count)}, enqueue and wait")
        for side in (CONVENTIONAL, NOOP)
        for count in size.threads
    ]
    latencies = {f"{theirs} {share}": f"{ours} {share}" for theirs, ours in beside for share in _SHARES}
    compared = {CLOSED: dict(beside), CLOSED_LATENCY: latencies}
    for figures, (_, unit) in _REPORTS.items():
        yield rounds.report(report_name(figures), unit, figures, compared.get(figures))


def report_name(figures: str) -> str:
    """Return the name of the report with these figures, which are one of the constants above."""
    return f"{NAME}: {_REPORTS[figures][0]}"


def _threads(count: int) -> str:
    return f"{count} thread" if count == 1 else f"{count} threads"


# ------------------------------------------------------------------------------------------- the sides


def _measure_pointledger(environment: BenchmarkEnvironment, size: SinglesSize) -> dict[str, float]:
    user_ids = workload.users(size.users)
    events = EndlessEvents("event", user_ids)
    with new_ledger(environment) as ledger:
        opening = open_accounts(ledger, size.users)
        # Beat starts first, so that it has started when the workers have.
        with environment.beat(ledger.env) as beat, running_workers(environment, ledger) as (client, workers):
            parts = _parts(environment, workers) | {"beat": [beat.pid]}
            side = _MeasuredSide(environment, size, OURS, parts)
            side.measure_rates(lambda number: apply_one(client, events[number]))
            side.measure_threads(
                lambda number: apply_one(client, events[number]),
                lambda count: f"{_threads(count)}, enqueue and wait",
            )
            for count in size.threads:
                loop = side.measure_closed(
                    count,
                    lambda number: bool(client.enqueue(command_of(events[number]))),
                    f"{_threads(count)}, enqueue only",
                )
                workers.wait_until(
                    ledger.is_drained, 10 + loop.calls / MINIMUM_RATE, f"{loop.calls} commands"
                )
        applied = events.first(side.begun)
        ledger.verify(lambda found: workload.verify(found, user_ids, applied, opening.per_user))
    return side.figures


def _measure_conventional(environment: BenchmarkEnvironment, size: SinglesSize) -> dict[str, float]:
    user_ids = workload.users(size.users)
    events = EndlessEvents("event", user_ids)
    with conventional_side.running_system(environment, size.users, with_results=True) as system:
        side = _MeasuredSide(environment, size, CONVENTIONAL, _parts(environment, system.workers))
        side.measure_others(lambda number: system.apply_one(events[number]))
        with system.database.connect() as connection:
            workload.verify(connection, user_ids, events.first(side.begun), (1, OPENING_POINTS))
    return side.figures


def _measure_noop_task(environment: BenchmarkEnvironment, size: SinglesSize) -> dict[str, float]:
    with noop.round_trips(environment) as (round_trip, workers):
        side = _MeasuredSide(environment, size, NOOP, _parts(environment, workers))
        side.measure_others(round_trip)
    return side.figures


def _parts(environment: BenchmarkEnvironment, workers: CeleryWorkers) -> dict[str, list[int]]:
    servers = {name: [pid] for name, pid in environment.server_processes().items()}
    return {"client": [os.getpid()], "workers": [worker.pid for worker in workers.processes]} | servers


# --------------------------------------------------------------------------------------------- the loops


class _MeasuredSide:
    """The figures of a side, and the number of its round trips so far, which number its events."""

    def __init__(
        self, environment: BenchmarkEnvironment, size: SinglesSize, label: str, parts: Parts
    ) -> None:
        self.figures: dict[str, float] = {}
        self.begun = 0
        self._environment = environment
        self._size = size
        self._label = label
        self._parts = parts

    def measure_others(self, round_trip: RoundTrip) -> None:
        """Measure a side whose calls always wait for the result."""
        self.measure_rates(round_trip)
        self.measure_threads(round_trip, lambda count: f"{count} in flight")

    def measure_rates(self, round_trip: RoundTrip) -> None:
        """Run open loops after a warm-up, and keep the curves of their latencies."""
        self._run_open_loop(_CPU_RATE, self._size.warm_up_seconds, round_trip)
        for rate, seconds in self._size.open_seconds.items():
            used_before = seconds_by_part(self._parts)
            loop = self._run_open_loop(rate, seconds, round_trip)
            if rate == _CPU_RATE:
                self._note_cpu(used_before, loop.begun)
            self._note_latencies(f"{OPEN_LATENCY} {rate}/s", loop.latencies)
            self.figures[f"{ACHIEVED} {rate}/s"] = loop.achieved_rate
        for share in _SHARES:
            ys = [self.figures[f"{OPEN_LATENCY} {rate}/s {share}"] for rate in self._size.open_seconds]
            xs = [float(rate) for rate in self._size.open_seconds]
            title, axes = f"Latency over rate, {share}", ("commands per second", "milliseconds")
            self._environment.keep_curve(Curve(title, self._label, *axes, xs, ys, logarithmic="xy"))

    def measure_threads(self, round_trip: RoundTrip, name: Callable[[int], str]) -> None:
        """Run a closed loop with each number of threads."""
        for count in self._size.threads:
            loop = self.measure_closed(count, round_trip, name(count))
            self._note_latencies(f"{CLOSED_LATENCY} {name(count)}", loop.latencies)

    def measure_closed(self, threads: int, call: RoundTrip, name: str) -> ClosedLoop:
        """Run a closed loop and note its rate."""
        first = self.begun
        loop = run_closed_loop(threads, self._size.closed_seconds, lambda number: call(first + number))
        self.begun += loop.calls
        self.figures[f"{CLOSED} {name}"] = loop.per_second
        return loop

    def _run_open_loop(self, rate: int, seconds: float, round_trip: RoundTrip) -> OpenLoop:
        first = self.begun
        with OpenLoop(
            rate,
            lambda number: round_trip(first + number),
            most_threads=_MOST_THREADS,
            catch_up_seconds=self._size.catch_up_seconds,
        ) as loop:
            time.sleep(seconds)
        loop.verify()
        self.begun += loop.begun
        return loop

    def _note_latencies(self, name: str, latencies: list[float]) -> None:
        for share_name, share in _SHARES.items():
            self.figures[f"{name} {share_name}"] = 1000 * percentile(latencies, share)

    def _note_cpu(self, before: Mapping[str, float], commands: int) -> None:
        used = {
            part: 1000 * (seconds - before[part]) / commands
            for part, seconds in seconds_by_part(self._parts).items()
        }
        self.figures |= {f"{CPU} {part}": each for part, each in used.items()}
        self.figures[f"{CPU} all processes"] = sum(used.values())
