"""Counts the outcomes of many commands, without reading each of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID

from pointledger.client.queries import late
from pointledger.ids import show_id

if TYPE_CHECKING:
    import sqlalchemy as sa

_AT_ONCE = 1_000  # commands per statement: some milliseconds


@dataclass(frozen=True, slots=True)
class OutcomeCounts:
    """What came of many commands."""

    applied: int
    """How many were applied."""
    refused: dict[str, int]
    """How many were refused, by reason."""
    dead: int
    """How many are dead."""
    pending: tuple[str, ...]
    """The ids of those that have no outcome so far, in the given order."""
    points_earned: int
    """The points that were granted in all."""


@dataclass(slots=True)
class _Sums:
    states: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    pending: list[UUID] = field(default_factory=list)
    points: int = 0


def count_outcomes(connection: sa.Connection, command_ids: Iterable[Any]) -> OutcomeCounts:
    """Count the outcomes of these commands."""
    sums, ids = _Sums(), list(command_ids)
    for start in range(0, len(ids), _AT_ONCE):
        for count in late.outcomes.counts(connection, ids[start : start + _AT_ONCE]):
            sums.states[count.state] += count.commands
            if count.state == "refused":
                sums.refused[count.reason or ""] += count.commands
            sums.pending += count.pending
            sums.points += count.points
    return OutcomeCounts(
        applied=sums.states["applied"],
        refused=dict(sums.refused),
        dead=sums.states["dead"],
        pending=tuple(map(show_id, sums.pending)),
        points_earned=sums.points,
    )
