"""A history: a tenant's program and what producers and administrators do, round by round, as plain values.

A history can be played against the ledger and told to the model. `repr` of each value is code that makes it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid5

_NAMESPACE = UUID("5c1f0a52-94b1-4f6b-9d3c-0d6f4f0c7a11")


def at(text: str) -> datetime:
    """A moment in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Ref:
    """The id of what the command with this label has made: an entry, or a lot; a missing id if it made
    none."""

    label: int
    nth: int = 0
    lot: bool = False

    @property
    def missing(self) -> UUID:
        """An id that nothing has."""
        return uuid5(_NAMESPACE, f"{self.label}/{self.nth}/{self.lot}")


@dataclass(frozen=True, slots=True)
class Send:
    """A command that a producer sends. `again`: under the id of the command with this label."""

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
    """The tenant's configuration changes; `at`: as if it had been saved then."""

    config: Mapping[str, Any]
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class PutRule:
    """A rule, or a new version of it; `at`: as if it had been saved then."""

    rule: Mapping[str, Any]
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class PutWallet:
    """An operator freezes a wallet, or money in it, by SQL: no command does."""

    user: str
    status: str = "active"
    frozen: int = 0


@dataclass(frozen=True, slots=True)
class Cancel:
    """The command with this label is withdrawn while it waits."""

    label: int


@dataclass(frozen=True, slots=True)
class Pause:
    """The tenant is paused, or goes on."""

    on: bool = True


Act = PutConfig | PutRule | PutWallet | Cancel | Pause


@dataclass(frozen=True, slots=True)
class Round:
    """Acts, then commands that are accepted together, then acts, then workers apply what waits."""

    before: tuple[Act, ...] = ()
    sends: tuple[Send, ...] = ()
    after: tuple[Act, ...] = ()


@dataclass(frozen=True, slots=True)
class History:
    """Everything about one tenant. `config` None: there is no such tenant."""

    config: Mapping[str, Any] | None
    rules: tuple[Mapping[str, Any], ...] = ()
    rounds: tuple[Round, ...] = ()

    def sends(self) -> Iterator[Send]:
        for each in self.rounds:
            yield from each.sends
