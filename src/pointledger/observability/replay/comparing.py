"""Rows that were decided against rows that are kept."""

from collections.abc import Callable, Iterable, Iterator
from operator import itemgetter
from typing import Any, TypeVar

from pointledger.observability.replay.report import Check, ReplayReport
from pointledger.observability.replay.rows import Row


class Matching:
    """Rows that never change, of one table: each row that was decided meets the one that is kept.

    The two may come at different times, because rows are read by the millisecond in their ids, which batches
    share. `key`: the columns that tell rows apart.
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
        """Rows that are awaited."""
        key = self._key
        self._decided.update((key(row), row) for row in rows)

    def kept(self, rows: Iterable[Row]) -> None:
        """Rows that are kept, after those of their batches have been decided, or before."""
        key, awaited = self._key, self._decided
        for row in rows:
            decided = awaited.pop(key(row), None)
            if decided is None:
                self._kept[key(row)] = row
            elif decided != row:
                self.differ(row, decided)

    def meet(self) -> None:
        """Lets rows that were kept before they were decided meet those."""
        for key in self._kept.keys() & self._decided.keys():
            kept, decided = self._kept.pop(key), self._decided.pop(key)
            if kept != decided:
                self.differ(kept, decided)

    def left_over(self) -> tuple[list[Row], list[Row]]:
        """What is kept and was not decided, and what was decided and is not kept."""
        self.meet()
        return list(self._kept.values()), list(self._decided.values())

    def differ(self, kept: Row | None, decided: Row | None) -> None:
        """Reports rows that differ, or one that has no other."""
        rows = [dict(zip(self._columns, row, strict=True)) if row else None for row in (kept, decided)]
        known = rows[0] or rows[1] or {}
        about = {name: known[name] for name in (*self._shown, "command_id") if name in known}
        self._report.add(self._check, {"tenant_id": self._tenant_id, **about}, *rows)


One = TypeVar("One")
Other = TypeVar("Other")


def pairs(
    kept: Iterator[One],
    decided: Iterator[Other],
    key: Callable[[One], Any],
    other_key: Callable[[Other], Any],
) -> Iterator[tuple[One | None, Other | None]]:
    """What has the same key on both sides, and what only one side has. Both come in the order of keys."""
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
