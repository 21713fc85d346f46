"""A run: load and faults for some time, then everything heals, and every promise to a client is checked."""

import signal
import time
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import Any

from pointledger.storage.errors import DATABASE_ERRORS
from tests.chaos.at_failpoints import at_failpoints
from tests.chaos.charges import charges
from tests.chaos.checker import Verdict, check, check_events
from tests.chaos.environment import Environment
from tests.chaos.faults import FAULTS
from tests.chaos.invariants import InvariantChecks
from tests.chaos.model_check import differences_from_model
from tests.chaos.nemesis import Nemesis, Planned, pause, plan
from tests.chaos.races import races
from tests.chaos.scrapes import Scrapes
from tests.chaos.small_disk import may_mount
from tests.rabbitmq import is_installed

HEALED_SECONDS = 60.0  # after healing, until every accepted command has its outcome
_CLIENTS_SECONDS = 60.0  # until a client has settled what is ambiguous
_SHOWN = 10  # of the differences from the model


@dataclass
class Report:
    """The result of a run. `problems` describes what is wrong, the first ones of each kind."""

    seed: int
    seconds: float
    commands: int = 0
    events: int = 0
    faults: dict[str, int] = field(default_factory=dict)
    lost: int = 0
    doubled: int = 0
    out_of_order: int = 0
    wrong: int = 0  # differences from the model of tests/model
    charged: int = 0  # failed attempts that no command caused
    invariants_checked: int = 0
    invariants_broken: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def is_passed(self) -> bool:
        wrong = self.lost, self.doubled, self.out_of_order, self.wrong, self.charged, self.invariants_broken
        return not any(wrong) and all(self.faults.values()) and self.commands > 0

    def as_json(self) -> dict[str, Any]:
        """Return everything but the problems. `faults` has the number of effects by the names of faults."""
        return {each.name: getattr(self, each.name) for each in fields(self) if each.name != "problems"}


class Chaos:
    """One run. Its attributes describe the progress while `run` is running."""

    def __init__(
        self,
        folder: Path,
        *,
        seconds: float,
        seed: int,
        rate: float,
        begin_with: Collection[str] = (),
        scrapes: Path | None = None,
    ) -> None:
        """`begin_with`: the faults that come first. `scrapes`: a file for the metrics of the run."""
        self._folder = folder
        self._scrapes = scrapes
        self._rate = rate
        self._begin_with = begin_with
        self.report = Report(seed, seconds)
        self.elapsed = 0.0
        self.phase = "starting"
        self.injected: Counter[str] = Counter()
        self.running: list[str] = []
        self.checks: InvariantChecks | None = None

    def run(self, refresh: Callable[[], None]) -> Report:
        """Run from start to end. Call `refresh` often."""
        report = self.report
        with Environment(
            self._folder,
            seed=report.seed,
            rate=self._rate,
            small_disk=may_mount(),
            with_rabbitmq=is_installed(),
        ) as environment:
            nodes = {kind: [node.name for node in nodes] for kind, nodes in environment.kinds.items()}
            nemesis = Nemesis(environment, self._plan(nodes), report.seed)
            self.injected = nemesis.injected
            with InvariantChecks(environment.database) as checks, Scrapes(environment, self._scrapes):
                self.checks = checks
                self._inject(nemesis, refresh)
                self._heal(nemesis, refresh)
            self._check(environment, nemesis, checks)
            environment.servers.keep_data = not report.is_passed
        return report

    def _plan(self, nodes: dict[str, list[str]]) -> list[Planned]:
        return plan(FAULTS, nodes, self.report.seconds, self.report.seed, begin_with=self._begin_with)

    def _inject(self, nemesis: Nemesis, refresh: Callable[[], None]) -> None:
        self.phase, began = "faults are injected", time.monotonic()
        try:
            while self.elapsed < self.report.seconds or not nemesis.is_over:
                self.elapsed = time.monotonic() - began
                nemesis.step(self.elapsed)
                self.running = nemesis.running
                refresh()
                pause()
        finally:
            nemesis.end()

    def _heal(self, nemesis: Nemesis, refresh: Callable[[], None]) -> None:
        """Wait without faults until the clients have settled what is ambiguous and nothing is pending."""
        self.phase, self.running = "everything heals", []
        environment = nemesis.environment
        for node in environment.nodes:
            if node in environment.clients:
                environment.finish(node)
            elif not node.is_alive or node.is_armed:
                node.end(signal.SIGKILL, 5.0)
                environment.start(node)
        for is_done, seconds, what in (
            (_clients_have_ended, _CLIENTS_SECONDS, "the clients end"),
            (_nothing_waits, HEALED_SECONDS, "every command has its outcome"),
        ):
            self._wait(partial(is_done, environment), seconds, refresh, what)

    def _wait(
        self, is_done: Callable[[], bool], seconds: float, refresh: Callable[[], None], what: str
    ) -> None:
        self.phase, give_up_at = what, time.monotonic() + seconds
        while not is_done():
            if time.monotonic() > give_up_at:
                self.report.problems.append(f"not within {seconds:.0f} s of healing: {what}")
                return
            refresh()
            pause()

    def _check(self, environment: Environment, nemesis: Nemesis, checks: InvariantChecks) -> None:
        self.phase, report = "the journals are compared with the ledger", self.report
        checks.check()
        verdict: Verdict = check(environment.database, environment.journals, environment.settings.lanes)
        queue = environment.settings.events_queues[0]
        check_events(environment.database, environment.events, queue, verdict)
        report.commands, report.events = verdict.commands, verdict.events
        report.lost, report.doubled = verdict.lost, verdict.doubled
        report.out_of_order = verdict.out_of_order
        report.invariants_checked, report.invariants_broken = checks.checked, checks.broken
        differences = differences_from_model(environment.database)
        report.wrong = len(differences)
        charged = charges(environment.worker_logs)
        report.charged = len(charged)
        report.problems += verdict.problems + [f"wrong: {each}" for each in differences[:_SHOWN]]
        report.problems += [f"restarted: {each}" for each in nemesis.exits[:_SHOWN]]
        report.problems += [f"charged: {each}" for each in charged[:_SHOWN]] + checks.problems
        self._count(nemesis, environment)

    def _count(self, nemesis: Nemesis, environment: Environment) -> None:
        report = self.report
        faults = nemesis.injected + at_failpoints(environment.failpoints_log) + races(environment.database)
        report.faults = {name: faults[name] for name in sorted([*nemesis.injected, *faults], key=_place)}
        report.problems += [f"had no effect: {name}" for name, times in report.faults.items() if not times]


def _clients_have_ended(environment: Environment) -> bool:
    for node in environment.clients:
        if not node.is_alive and node.process and node.process.returncode:
            environment.finish(node)  # it was killed while it ended
    return all(not node.is_alive for node in environment.clients)


def _nothing_waits(environment: Environment) -> bool:
    for node in environment.nodes:
        if node not in environment.clients and not node.is_alive:
            environment.start(node)  # as a supervisor does: the last fault may have ended it
    try:
        return environment.waiting() == 0
    except DATABASE_ERRORS:
        return False


def _place(name: str) -> tuple[int, str]:
    """Return the key that sorts F2 before F10."""
    return int(name.partition(" ")[0][1:]), name
