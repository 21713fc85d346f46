"""Defines what a replay compares, and reports differences."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from pointledger.domain.values.json_values import plain


class ReplayCheck(Enum):
    """The comparisons of a replay, each with its id and its name in the report."""

    READABLE = "R1", "every command and every version can be read and decided"
    OUTCOME = "R2", "each command has the decided outcome"
    ENTRY = "R3", "entries are the decided ones"
    MOVE = "R4", "entries take the decided points from each lot"
    LOT = "R5", "lots are granted, consumed and expired as decided"
    HOLD = "R6", "holds are opened, captured and released as decided"
    ACCOUNT = "R7", "accounts have the decided figures"
    USAGE = "R8", "limits are used up as decided"
    WALLET = "R9", "wallets and their entries are the decided ones"
    EXPIRY = "R10", "expiries were changed as decided"
    AUDIT_LOG = "R11", "audit records show the decided state before and after"

    @property
    def id(self) -> str:
        return self.value[0]

    @property
    def title(self) -> str:
        return self.value[1]


@dataclass(slots=True)
class CheckDifferences:
    """The differences of one check: their number, and the first of them."""

    differences: int = 0
    rows: list[dict[str, Any]] = field(default_factory=list)


@dataclass(slots=True)
class ReplayReport:
    """The progress and the differences of a replay.

    `on_trust` counts events that lost their facts in an erasure, or whose rules would cost too much; their
    recorded rule matches are used. `without_order` counts, by tenant, outcomes older than the recorded order;
    such a tenant is not replayed. `moved_on` counts users whose commands workers applied meanwhile; their
    final state is not compared.
    """

    limit_rows: int
    found: dict[ReplayCheck, CheckDifferences] = field(
        default_factory=lambda: {check: CheckDifferences() for check in ReplayCheck}
    )
    commands: int = 0
    entries: int = 0
    tenants: int = 0
    last_tenant: str | None = None
    on_trust: int = 0
    without_order: dict[str, int] = field(default_factory=dict)
    moved_on: int = 0
    seconds: float = 0.0

    @property
    def differences(self) -> int:
        """Return the number of all differences, including those that are not kept."""
        return sum(found.differences for found in self.found.values())

    def add(self, check: ReplayCheck, about: Mapping[str, Any], kept: object, decided: object) -> None:
        """Add a difference. Of two rows, only the columns that differ are shown."""
        found = self.found[check]
        found.differences += 1
        if len(found.rows) < self.limit_rows:
            kept, decided = _differing_values(kept, decided)
            row = {**about, "kept": kept, "decided": decided}
            found.rows.append({name: plain(value) for name, value in row.items()})

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return {
            "differences": self.differences,
            "checks": [
                {"id": check.id, "name": check.title, "differences": found.differences, "rows": found.rows}
                for check, found in self.found.items()
            ],
            "tenants": self.tenants,
            "last_tenant": self.last_tenant,
            "commands": self.commands,
            "entries": self.entries,
            "on_trust": self.on_trust,
            "without_order": self.without_order,
            "moved_on": self.moved_on,
            "seconds": round(self.seconds, 3),
            "commands_per_second": round(self.commands / self.seconds) if self.seconds else None,
        }


def _differing_values(kept: object, decided: object) -> tuple[object, object]:
    if not isinstance(kept, dict) or not isinstance(decided, dict):
        return kept, decided
    # `...` stands for a missing value, which differs from null.
    names = [name for name in kept | decided if kept.get(name, ...) != decided.get(name, ...)]
    return (
        {name: kept[name] for name in names if name in kept},
        {name: decided[name] for name in names if name in decided},
    )
