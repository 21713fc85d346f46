"""Answers: the shapes in which lookups tell what they found."""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class EntryPage:
    """Entries, newest first. `total`: all entries of the account, of whatever type. `next_before` goes into
    the next call; None: this is the end."""

    entries: tuple[dict[str, Any], ...]
    total: int
    next_before: int | None


@dataclass(frozen=True, slots=True)
class HoldPage:
    """Holds, the latest first. `next_before` goes into the next call; None: this is the end."""

    holds: tuple[dict[str, Any], ...]
    next_before: int | None


@dataclass(frozen=True, slots=True)
class Expiring:
    """What expires by `until`: `points` and `lots_in_all` count all, `lots` are the first ten thousand;
    `recorded_points` counts the lots as they are recorded. A lot that is not recorded yet, of points whose
    hold has timed out, has neither `id` nor `entry_id`. Points that were due already when asked, and frozen
    ones, are not in it; what waits for a notice to end (`expires_not_before`) is. Nothing goes where expiry
    is switched off, or from an exempt account."""

    user_id: str
    asked_at: datetime
    until: datetime
    expire_enabled: bool
    expiry_exempt: bool
    expires_not_before: str | None
    points: int
    lots_in_all: int
    recorded_points: int
    lots: tuple[dict[str, Any], ...]

    def as_json(self) -> dict[str, Any]:
        """The fields, moments in ISO 8601 UTC."""
        return asdict(self) | {"asked_at": iso(self.asked_at), "until": iso(self.until)}


@dataclass(frozen=True, slots=True)
class CashValue:
    """`value`: units of the tenant's currency, as text with its decimals, rounded down; `is_exact`: nothing
    was cut off. `balance`: what can be spent at `as_of`, ISO 8601; `recorded_balance`: what is recorded."""

    user_id: str
    balance: int
    exchange_rate: int
    value: str
    is_exact: bool
    currency: str
    as_of: str
    recorded_balance: int


@dataclass(frozen=True, slots=True)
class Why:
    """An entry's trace: in words, and what the words were made of."""

    told: tuple[str, ...]
    entry: dict[str, Any]
    command: dict[str, Any] | None
    rule: dict[str, Any] | None
    grant: dict[str, Any] | None
    lots_moved: tuple[dict[str, Any], ...]
    lots_arrived: tuple[dict[str, Any], ...]


def iso(moment: datetime) -> str:
    """ISO 8601 in UTC, as every answer has it."""
    return moment.isoformat().replace("+00:00", "Z")
