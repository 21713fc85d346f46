"""Compares decided rows with stored rows."""

from collections.abc import Callable, Iterable, Iterator
from operator import itemgetter
from typing import Any, TypeVar

from pointledger.observability.replay.report import ReplayCheck, ReplayReport
from pointledger.observability.replay.rows import Row
from pointledger.storage.replay.digests import digest_of_rows


class RowMatcher:
    """Matches the decided rows of one immutable table with its stored rows.

    The two can arrive at different times, because rows are read by the millisecond in their ids, and batches
    can share a millisecond. `key` names the columns that identify a row.
    """

    def __init__(
        self,
        report: ReplayReport,
        check: ReplayCheck,
        tenant_id: str,
        columns: tuple[str, ...],
        key: tuple[str, ...],
    ) -> None:
        self._replay_report, self._check, self._tenant_id = report, check, tenant_id
        self._columns, self._key_columns = columns, key
        self._key = itemgetter(*map(columns.index, key))
        self._decided: dict[Any, Row] = {}
        self._stored: dict[Any, Row] = {}

    def add_decided(self, rows: Iterable[Row]) -> None:
        """Add decided rows."""
        key = self._key
        self._decided.update((key(row), row) for row in rows)

    def add_stored(self, rows: Iterable[Row]) -> None:
        """Add stored rows, and compare those that are decided already."""
        key = self._key
        for row in rows:
            decided = self._decided.pop(key(row), None)
            if decided is None:
                self._stored[key(row)] = row
            elif decided != row:
                self.report(row, decided)

    def match(self) -> None:
        """Compare stored rows that arrived before they were decided."""
        for key in self._stored.keys() & self._decided.keys():
            stored, decided = self._stored.pop(key), self._decided.pop(key)
            if stored != decided:
                self.report(stored, decided)

    def unmatched(self) -> tuple[list[Row], list[Row]]:
        """Return the rows that are only stored, and the rows that are only decided."""
        self.match()
        return list(self._stored.values()), list(self._decided.values())

    def report(self, kept: Row | None, decided: Row | None) -> None:
        """Report two rows that differ, or a row without a counterpart."""
        rows = [dict(zip(self._columns, row, strict=True)) if row else None for row in (kept, decided)]
        known = rows[0] or rows[1] or {}
        about = {name: known[name] for name in (*self._key_columns, "command_id") if name in known}
        self._replay_report.add(self._check, {"tenant_id": self._tenant_id, **about}, *rows)


class DigestMatcher:
    """Matches rows by digest, one per millisecond of their ids, and row by row only if two digests differ.

    `order` sorts rows as the stored digests do. `read` returns the stored rows of a millisecond.
    """

    def __init__(
        self, by_row: RowMatcher, order: Callable[[Row], Any], read: Callable[[int], Iterable[Row]]
    ) -> None:
        self._by_row, self._order, self._read = by_row, order, read
        self._decided: dict[int, list[Row]] = {}
        self._stored: dict[int, bytes] = {}
        self._differing: set[int] = set()  # milliseconds whose digests differ

    def add_decided(self, millisecond: int, rows: Iterable[Row]) -> None:
        """Add the decided rows of a batch."""
        if millisecond in self._differing:  # an earlier batch of the same millisecond differed
            self._by_row.add_decided(rows)
        else:
            self._decided.setdefault(millisecond, []).extend(rows)

    def add_stored(self, digests: dict[int, bytes]) -> None:
        """Add digests of stored rows."""
        self._stored |= digests

    def match(self) -> None:
        """Compare the milliseconds that both sides have."""
        for millisecond in self._stored.keys() & self._decided.keys():
            digest, rows = self._stored.pop(millisecond), self._decided.pop(millisecond)
            rows.sort(key=self._order)
            if digest_of_rows(rows) != digest:
                self._differing.add(millisecond)
                self._by_row.add_decided(rows)
                self._by_row.add_stored(self._read(millisecond))
        self._by_row.match()

    def unmatched(self) -> tuple[list[Row], list[Row]]:
        """Return the rows that are only stored, and the rows that are only decided."""
        self.match()
        for rows in self._decided.values():
            self._by_row.add_decided(rows)
        for millisecond in self._stored:
            self._by_row.add_stored(self._read(millisecond))
        return self._by_row.unmatched()

    def report(self, kept: Row | None, decided: Row | None) -> None:
        """Report two rows that differ, or a row without a counterpart."""
        self._by_row.report(kept, decided)


Stored = TypeVar("Stored")
Decided = TypeVar("Decided")


def pair_by_key(
    stored: Iterator[Stored],
    decided: Iterator[Decided],
    stored_key: Callable[[Stored], Any],
    decided_key: Callable[[Decided], Any],
) -> Iterator[tuple[Stored | None, Decided | None]]:
    """Yield pairs of rows with the same key, or a row and None. Both sides are sorted by key."""
    one, other = next(stored, None), next(decided, None)
    while one is not None or other is not None:
        if other is None or (one is not None and stored_key(one) < decided_key(other)):
            yield one, None
            one = next(stored, None)
        elif one is None or decided_key(other) < stored_key(one):
            yield None, other
            other = next(decided, None)
        else:
            yield one, other
            one, other = next(stored, None), next(decided, None)
