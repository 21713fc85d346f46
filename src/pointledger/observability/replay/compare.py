"""Compares decided rows with stored rows."""

from collections.abc import Callable, Iterable, Iterator
from operator import itemgetter
from typing import Any, TypeVar

from pointledger.observability.replay.report import Check, ReplayReport
from pointledger.observability.replay.rows import Row
from pointledger.storage.replay.digests import of_rows


class Matching:
    """Rows that never change, of one table: each row that was decided meets the one that is kept.

    The two may come at different times, because rows are read by the millisecond in their ids, which batches
    share. `key`: the columns that identify a row.
    """

    def __init__(
        self,
        report: ReplayReport,
        check: Check,
        tenant_id: str,
        columns: tuple[str, ...],
        key: tuple[str, ...],
    ) -> None:
        self._report, self._check, self._tenant_id = report, check, tenant_id
        self._columns, self._shown = columns, key
        self._key = itemgetter(*map(columns.index, key))
        self._decided: dict[Any, Row] = {}
        self._kept: dict[Any, Row] = {}

    def decided(self, rows: Iterable[Row]) -> None:
        """Add decided rows."""
        key = self._key
        self._decided.update((key(row), row) for row in rows)

    def kept(self, rows: Iterable[Row]) -> None:
        """Add stored rows, before or after their batches are decided."""
        key, awaited = self._key, self._decided
        for row in rows:
            decided = awaited.pop(key(row), None)
            if decided is None:
                self._kept[key(row)] = row
            elif decided != row:
                self.differ(row, decided)

    def meet(self) -> None:
        """Match rows that were stored before they were decided."""
        for key in self._kept.keys() & self._decided.keys():
            kept, decided = self._kept.pop(key), self._decided.pop(key)
            if kept != decided:
                self.differ(kept, decided)

    def left_over(self) -> tuple[list[Row], list[Row]]:
        """Report rows that exist on one side only."""
        self.meet()
        return list(self._kept.values()), list(self._decided.values())

    def differ(self, kept: Row | None, decided: Row | None) -> None:
        """Report two rows that differ, or a row without a counterpart."""
        rows = [dict(zip(self._columns, row, strict=True)) if row else None for row in (kept, decided)]
        known = rows[0] or rows[1] or {}
        about = {name: known[name] for name in (*self._shown, "command_id") if name in known}
        self._report.add(self._check, {"tenant_id": self._tenant_id, **about}, *rows)


class InBulk:
    """As `Matching`, by the millisecond with which ids begin: all at once where digests are equal, and row by
    row only where they are not.

    `order`: the key by which the digests' rows are sorted. `read`: the rows of a millisecond.
    """

    def __init__(
        self, matching: Matching, order: Callable[[Row], Any], read: Callable[[int], Iterable[Row]]
    ) -> None:
        self._matching, self._order, self._read = matching, order, read
        self._decided: dict[int, list[Row]] = {}
        self._kept: dict[int, bytes] = {}
        self._row_by_row: set[int] = set()

    def decided(self, millisecond: int, rows: Iterable[Row]) -> None:
        """Add the decided rows of a batch."""
        if millisecond in self._row_by_row:  # it shares the millisecond with a batch before
            self._matching.decided(rows)
        else:
            self._decided.setdefault(millisecond, []).extend(rows)

    def kept(self, found: dict[int, bytes]) -> None:
        """Add digests of stored rows."""
        self._kept |= found

    def meet(self) -> None:
        """Compare the milliseconds that both sides have."""
        for millisecond in self._kept.keys() & self._decided.keys():
            digest, rows = self._kept.pop(millisecond), self._decided.pop(millisecond)
            rows.sort(key=self._order)
            if of_rows(rows) != digest:
                self._row_by_row.add(millisecond)
                self._matching.decided(rows)
                self._matching.kept(self._read(millisecond))
        self._matching.meet()

    def left_over(self) -> tuple[list[Row], list[Row]]:
        """Report rows that exist on one side only."""
        self.meet()
        for rows in self._decided.values():
            self._matching.decided(rows)
        for millisecond in self._kept:
            self._matching.kept(self._read(millisecond))
        return self._matching.left_over()

    def differ(self, kept: Row | None, decided: Row | None) -> None:
        self._matching.differ(kept, decided)


One = TypeVar("One")
Other = TypeVar("Other")


def pairs(
    kept: Iterator[One],
    decided: Iterator[Other],
    key: Callable[[One], Any],
    other_key: Callable[[Other], Any],
) -> Iterator[tuple[One | None, Other | None]]:
    """Yield pairs of rows with the same key, or a row and None. Both sides are sorted by key."""
    one, other = next(kept, None), next(decided, None)
    while one is not None or other is not None:
        if other is None or (one is not None and key(one) < other_key(other)):
            yield one, None
            one = next(kept, None)
        elif one is None or other_key(other) < key(one):
            yield None, other
            other = next(decided, None)
        else:
            yield one, other
            one, other = next(kept, None), next(decided, None)
