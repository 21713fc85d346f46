"""A history: a tenant's program, and what producers and administrators do per round, as plain values.

A history can be played on the ledger and on the model. The `repr` of each value is code that makes it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid5

_NAMESPACE = UUID("5c1f0a52-94b1-4f6b-9d3c-0d6f4f0c7a11")


def at(text: str) -> datetime:
    """Parse a moment in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Ref:
    """The id of an entry or lot that the command with this label made, or an unknown id if it made none."""

    label: int
    nth: int = 0
    lot: bool = False

    @property
    def missing(self) -> UUID:
        """An unknown id."""
        return uuid5(_NAMESPACE, f"{self.label}/{self.nth}/{self.lot}")


@dataclass(frozen=True, slots=True)
class Send:
    """A command that a producer sends. `again` is the label of the command whose id it repeats."""

    label: int
    kind: str
    user: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    at: datetime | None = None
    actor: str = "service"
    key: str | None = None
    again: int | None = None


@dataclass(frozen=True, slots=True)
class PutConfig:
    """A change of the tenant's configuration; `at` backdates it."""

    config: Mapping[str, Any]
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class PutRule:
    """A rule, or a new version of it; `at` backdates it."""

    rule: Mapping[str, Any]
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class PutWallet:
    """An operator freezes a wallet, or money in it, by SQL, because no command does."""

    user: str
    status: str = "active"
    frozen: int = 0


@dataclass(frozen=True, slots=True)
class Cancel:
    """Cancels the command with this label while it is pending."""

    label: int


@dataclass(frozen=True, slots=True)
class Pause:
    """Pauses or resumes the tenant."""

    on: bool = True


Action = PutConfig | PutRule | PutWallet | Cancel | Pause


@dataclass(frozen=True, slots=True)
class Round:
    """Actions, commands that are accepted together, and more actions; then workers apply the commands."""

    before: tuple[Action, ...] = ()
    sends: tuple[Send, ...] = ()
    after: tuple[Action, ...] = ()


@dataclass(frozen=True, slots=True)
class History:
    """Everything about one tenant. Without a `config` the tenant does not exist."""

    config: Mapping[str, Any] | None
    rules: tuple[Mapping[str, Any], ...] = ()
    rounds: tuple[Round, ...] = ()

    def sends(self) -> Iterator[Send]:
        for each in self.rounds:
            yield from each.sends
