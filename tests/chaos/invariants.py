"""Checks every invariant, again and again, while faults are injected."""

import threading

import sqlalchemy as sa

from pointledger.observability.verify import verify
from pointledger.storage.database import rows
from pointledger.storage.errors import DATABASE_ERRORS

_PAUSE_SECONDS = 2.0
_PROGRESS = "SELECT (SELECT count(*) FROM journal), (SELECT count(*) FROM pending)"


class InvariantChecks:
    """Checks in a thread until the block ends. `accepted` and `waiting` describe the load's progress."""

    def __init__(self, database: sa.Engine) -> None:
        self._database = database
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.checked = self.broken = 0
        self.problems: list[str] = []
        self.accepted = self.waiting = 0

    def __enter__(self) -> "InvariantChecks":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def check(self) -> None:
        """Check all invariants once."""
        report = verify(self._database)
        self.checked += len(report.findings)
        self.broken += report.violations
        self.problems += [
            f"{finding.invariant.id} {finding.invariant.name}: {finding.rows[:3]}"
            for finding in report.findings
            if finding.violations
        ]

    def _run(self) -> None:
        while not self._end.wait(_PAUSE_SECONDS):
            try:
                with self._database.connect() as connection:
                    self.accepted, self.waiting = rows(connection, _PROGRESS)[0]
                self.check()
            except DATABASE_ERRORS:
                continue  # Postgres is unavailable
