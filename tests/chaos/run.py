"""A run: load and faults for so long, then everything heals, and what clients were promised is checked."""

import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from pointledger.observability.verify import verify
from pointledger.storage.database import rows
from pointledger.storage.errors import DATABASE_ERRORS
from tests.chaos import (
    faults_of_doors,
    faults_of_links,
    faults_of_postgres,
    faults_of_processes,
    faults_of_valkey,
)
from tests.chaos.checker import Verdict, check, check_events
from tests.chaos.nemesis import Fault, Run, plan, wait_a_little
from tests.chaos.retold import retold
from tests.chaos.stage import Stage
from tests.chaos.struck import struck_by_load, struck_inside

FAULTS: list[Fault] = [
    *faults_of_processes.FAULTS,
    *faults_of_doors.FAULTS,
    *faults_of_links.FAULTS,
    *faults_of_postgres.FAULTS,
    *faults_of_valkey.FAULTS,
]
HEALED_SECONDS = 60.0  # after healing, everything that was accepted has its outcome
_CLIENTS_SECONDS = 60.0  # for a client to settle what is ambiguous
_AUDIT_PAUSE_SECONDS = 2.0
_SHOWN = 10  # of what is other than the model says

_PROGRESS = "SELECT (SELECT count(*) FROM journal), (SELECT count(*) FROM pending)"


@dataclass
class Report:
    """What a run has shown. `told`: what is wrong, the first of each sort."""

    seed: int
    seconds: float
    commands: int = 0
    events: int = 0
    faults: dict[str, int] = field(default_factory=dict)
    lost: int = 0
    doubled: int = 0
    out_of_order: int = 0
    wrong: int = 0  # other than the model of tests/model says
    invariants_checked: int = 0
    invariants_broken: int = 0
    told: list[str] = field(default_factory=list)

    @property
    def is_well(self) -> bool:
        wrong = self.lost, self.doubled, self.out_of_order, self.wrong, self.invariants_broken
        return not any(wrong) and all(self.faults.values()) and self.commands > 0

    def as_json(self) -> dict[str, Any]:
        """Faults by name, and how often each has struck."""
        return {each.name: getattr(self, each.name) for each in fields(self) if each.name != "told"}


class Audits:
    """Asks every invariant, again and again, while everything goes wrong."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.checked = self.broken = 0
        self.told: list[str] = []
        self.accepted = self.waiting = 0

    def __enter__(self) -> "Audits":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def look(self) -> None:
        """One audit of everything."""
        report = verify(self._stage.database)
        self.checked += len(report.findings)
        self.broken += report.violations
        self.told += [
            f"{finding.invariant.id} {finding.invariant.name}: {finding.rows[:3]}"
            for finding in report.findings
            if finding.violations
        ]

    def _run(self) -> None:
        while not self._end.wait(_AUDIT_PAUSE_SECONDS):
            try:
                with self._stage.database.connect() as connection:
                    self.accepted, self.waiting = rows(connection, _PROGRESS)[0]
                self.look()
            except DATABASE_ERRORS:
                continue  # Postgres is away: the next one


class Chaos:
    """`run` does it all; what it does meanwhile may be asked of `status`."""

    def __init__(self, folder: Path, *, seconds: float, seed: int, rate: float) -> None:
        self._folder = folder
        self._rate = rate
        self.report = Report(seed, seconds)
        self.elapsed = 0.0
        self.phase = "starting"
        self.injected: Counter[str] = Counter()
        self.under_way: list[str] = []
        self.audits: Audits | None = None

    def run(self, tell: Callable[[], None]) -> Report:
        """From start to end. `tell` is called often."""
        report = self.report
        with Stage(self._folder, seed=report.seed, rate=self._rate) as stage:
            parts = {kind: [part.name for part in parts] for kind, parts in stage.kinds.items()}
            nemesis = Run(stage, plan(FAULTS, parts, report.seconds, report.seed), report.seed)
            self.injected = nemesis.injected
            with Audits(stage) as audits:
                self.audits = audits
                self._go_wrong(nemesis, tell)
                self._heal(nemesis, tell)
            self._judge(stage, nemesis, audits)
        return report

    def _go_wrong(self, nemesis: Run, tell: Callable[[], None]) -> None:
        self.phase, began = "everything goes wrong", time.monotonic()
        try:
            while self.elapsed < self.report.seconds or not nemesis.is_over:
                self.elapsed = time.monotonic() - began
                nemesis.step(self.elapsed)
                self.under_way = nemesis.under_way
                tell()
                wait_a_little()
        finally:
            nemesis.end()

    def _heal(self, nemesis: Run, tell: Callable[[], None]) -> None:
        """No fault is left. Clients settle what is ambiguous and end; workers apply what waits."""
        self.phase, self.under_way = "everything heals", []
        stage = nemesis.stage
        for part in stage.parts:
            if part in stage.clients:
                stage.let_end(part)
            elif not part.is_alive or part.is_armed:
                part.end(signal.SIGKILL, 5.0)
                stage.start(part)
        self._wait(lambda: self._clients_have_ended(stage), _CLIENTS_SECONDS, tell, "the clients end")
        self._wait(lambda: _is_done(stage), HEALED_SECONDS, tell, "every command has its outcome")

    def _clients_have_ended(self, stage: Stage) -> bool:
        for part in stage.clients:
            if not part.is_alive and part.process and part.process.returncode:
                stage.let_end(part)  # it was killed while it ended: once more
        return all(not part.is_alive for part in stage.clients)

    def _wait(self, is_done: Callable[[], bool], seconds: float, tell: Callable[[], None], what: str) -> None:
        self.phase, give_up_at = what, time.monotonic() + seconds
        while not is_done():
            if time.monotonic() > give_up_at:
                self.report.told.append(f"not within {seconds:.0f} s of healing: {what}")
                return
            tell()
            wait_a_little()

    def _judge(self, stage: Stage, nemesis: Run, audits: Audits) -> None:
        self.phase, report = "the journals are held against the ledger", self.report
        audits.look()
        verdict: Verdict = check(stage.database, stage.journals, stage.settings.lanes)
        check_events(stage.database, stage.events, stage.settings.events_queues[0], verdict)
        report.commands, report.events = verdict.commands, verdict.events
        report.lost, report.doubled = verdict.lost, verdict.doubled
        report.out_of_order = verdict.out_of_order
        report.invariants_checked, report.invariants_broken = audits.checked, audits.broken
        differences = retold(stage.database)
        report.wrong = len(differences)
        report.told += verdict.told + [f"wrong: {each}" for each in differences[:_SHOWN]] + audits.told
        faults = nemesis.injected + struck_inside(stage.struck_log) + struck_by_load(stage.database)
        report.faults = {name: faults[name] for name in sorted([*nemesis.injected, *faults], key=_place)}
        report.told += [f"did not strike: {name}" for name, times in report.faults.items() if not times]


def _is_done(stage: Stage) -> bool:
    try:
        return stage.waiting() == 0
    except DATABASE_ERRORS:
        return False


def _place(name: str) -> tuple[int, str]:
    """F2 comes before F10."""
    return int(name.partition(" ")[0][1:]), name
