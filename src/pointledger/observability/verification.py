"""A check of every invariant that can stop after any chunk, and go on in another process."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from pointledger.domain.values.json_values import plain
from pointledger.storage.invariants.accounts import ACCOUNTS
from pointledger.storage.invariants.base import (
    ENTRIES_KEY,
    Chunk,
    Invariant,
    Key,
    Violations,
    Walk,
    next_chunk,
    size,
    snapshot,
    violations,
)
from pointledger.storage.invariants.limits import common_zones
from pointledger.storage.invariants.tables import ONCE


@dataclass(slots=True)
class InvariantResult:
    """An invariant, the number of rows that violate it, and the first of them."""

    invariant: Invariant
    violations: int = 0
    rows: list[dict[str, Any]] = field(default_factory=list)

    def add(self, found: Violations) -> None:
        self.violations += found.count
        self.rows += [{name: plain(value) for name, value in row.items()} for row in found.rows]


class Verification:
    """One check of these walks. `begin` or `resume` it, then call `step` until it returns False."""

    def __init__(self, engine: sa.Engine, walks: Sequence[Walk], limit_rows: int) -> None:
        self._engine = engine
        self._walks = walks
        self._limit_rows = limit_rows
        invariants = [*ONCE, *(invariant for walk in walks for invariant in walk.invariants)]
        ordered = sorted(invariants, key=_sort_key)
        self.findings = {invariant.id: InvariantResult(invariant) for invariant in ordered}
        self.rows_done = 0
        self.rows_known = 0  # an estimate of all rows
        self.accounts = 0
        self.entries = 0
        self._zones: list[str] = []
        self._walk = 0
        self._after: Key = walks[0].first

    @property
    def violations(self) -> int:
        """The number of violating rows so far, including those not shown."""
        return sum(finding.violations for finding in self.findings.values())

    def begin(self, *, counts_rows: bool) -> None:
        """Check what needs no walk. `counts_rows`: also count all rows, for `rows_known`."""
        self._look_at_zones()
        with snapshot(self._engine) as connection:
            self._check(connection, ONCE, Chunk((), ()))
        if counts_rows:
            self.rows_known = sum(self._size_of(walk) for walk in self._walks)

    def step(self) -> bool:
        """Check the next chunk, or return False at the end. Rows that commit behind it wait."""
        if self._walk == len(self._walks):
            return False
        walk = self._walks[self._walk]
        with snapshot(self._engine) as connection:
            chunk = next_chunk(connection, walk, self._after)
            self._check(connection, walk.invariants, chunk)
            self._count(connection, walk, chunk)
        self._after = chunk.to
        if self._after == walk.last:
            self._walk += 1
            self._after = self._walks[self._walk].first if self._walk < len(self._walks) else ()
        return True

    @property
    def place(self) -> tuple[str | None, list[str]]:
        """The table of the next chunk, None at the end, and the last key before it, as JSON."""
        if self._walk == len(self._walks):
            return None, []
        return self._walks[self._walk].table, [str(part) for part in self._after]

    def resume(self, table: str, after: list[str], findings: list[dict[str, Any]]) -> None:
        """Go on at a place, with the findings so far as `as_json` gave them."""
        self._look_at_zones()
        self._walk = next(index for index, walk in enumerate(self._walks) if walk.table == table)
        first = self._walks[self._walk].first
        self._after = tuple(_part(text, example) for text, example in zip(after, first, strict=True))
        for found in findings:
            if finding := self.findings.get(found["id"]):
                finding.violations, finding.rows = found["violations"], found["rows"]

    def as_json(self) -> list[dict[str, Any]]:
        """Return the violated invariants with their first rows."""
        return [
            {
                "id": found.invariant.id,
                "name": found.invariant.name,
                "violations": found.violations,
                "rows": found.rows,
            }
            for found in self.findings.values()
            if found.violations
        ]

    def _look_at_zones(self) -> None:
        with snapshot(self._engine) as connection:
            self._zones = common_zones(connection)

    def _size_of(self, walk: Walk) -> int:
        with snapshot(self._engine) as connection:
            return size(connection, walk.table, walk.key, Chunk(walk.first, walk.last))

    def _check(self, connection: sa.Connection, invariants: tuple[Invariant, ...], chunk: Chunk) -> None:
        for invariant in invariants:
            finding = self.findings[invariant.id]
            room = self._limit_rows - len(finding.rows)
            finding.add(violations(connection, invariant, chunk, room, zones=self._zones))

    def _count(self, connection: sa.Connection, walk: Walk, chunk: Chunk) -> None:
        count = size(connection, walk.table, walk.key, chunk)
        self.rows_done += count
        if walk.table == ACCOUNTS.table:
            self.accounts += count
            self.entries += size(connection, "entries", ENTRIES_KEY, chunk)


def _part(text: str, example: Any) -> Any:
    """Return a part of a key in the type that the walk's first key has there."""
    if isinstance(example, UUID):
        return UUID(text)
    if isinstance(example, date):
        return date.fromisoformat(text)
    return type(example)(text)


def _sort_key(invariant: Invariant) -> tuple[str, int, str]:
    """Sort I2 before I11."""
    number = invariant.id[1:].rstrip("abcdef")
    return invariant.id[0], int(number), invariant.id
