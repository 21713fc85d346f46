"""Defines what a replay compares, and reports differences."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from pointledger.domain.values.json_values import plain


class Check(Enum):
    """The comparisons, each with its id and its name in a report."""

    READABLE = "R1", "every command and every version can be read and decided"
    OUTCOME = "R2", "every command comes to the outcome that it has"
    ENTRY = "R3", "entries are those that the commands write"
    MOVE = "R4", "entries take from lots what they took"
    LOT = "R5", "lots are granted, consumed and expire as they stand"
    HOLD = "R6", "holds are opened, captured and released as they stand"
    ACCOUNT = "R7", "accounts come to the figures that they show"
    USAGE = "R8", "limits are used up as far as they are counted"
    WALLET = "R9", "wallets come to what they show, entry by entry"
    EXPIRY = "R10", "expiries were moved as it is on record"
    AUDIT_LOG = "R11", "audit records show the state before and after"

    @property
    def id(self) -> str:
        return self.value[0]

    @property
    def title(self) -> str:
        return self.value[1]


@dataclass(slots=True)
class Found:
    """The differences of one check: their number, and the first of them."""

    differences: int = 0
    rows: list[dict[str, Any]] = field(default_factory=list)


@dataclass(slots=True)
class ReplayReport:
    """What a replay has decided again, and what it found.

    `on_trust`: commands of which an erasure has taken what they rest on, or whose rules would cost too much;
    what the rules wanted for them is as recorded. `without_order`: by tenant, outcomes from before the
    order was recorded; such a tenant is not replayed. `moved_on`: users whom workers went on with
    meanwhile; what stands of them was not compared.
    """

    limit_rows: int
    found: dict[Check, Found] = field(default_factory=lambda: {check: Found() for check in Check})
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
        """Return the number of all differences, also of those that are not kept."""
        return sum(found.differences for found in self.found.values())

    def add(self, check: Check, about: Mapping[str, Any], kept: object, decided: object) -> None:
        """Add a difference about `about`. Of rows with the same columns, it shows those that differ."""
        found = self.found[check]
        found.differences += 1
        if len(found.rows) < self.limit_rows:
            kept, decided = _only_what_differs(kept, decided)
            row = {**about, "kept": kept, "decided": decided}
            found.rows.append({name: plain(value) for name, value in row.items()})

    def as_json(self) -> dict[str, Any]:
        """Return the report in the form of every entry point."""
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


def _only_what_differs(kept: object, decided: object) -> tuple[object, object]:
    if not isinstance(kept, dict) or not isinstance(decided, dict):
        return kept, decided
    names = [
        name for name in kept | decided if kept.get(name, ...) != decided.get(name, ...)
    ]  # a missing value differs from null
    return (
        {name: kept[name] for name in names if name in kept},
        {name: decided[name] for name in names if name in decided},
    )
