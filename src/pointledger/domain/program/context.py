"""Provides the facts about an event that rules evaluate."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from typing import Any, Protocol

import orjson

from pointledger.domain.program.expressions import ACCOUNT, Facts
from pointledger.domain.program.tenant import Tenant


class AccountFacts(Protocol):
    """The numbers of an account that expressions can read."""

    @property
    def balance(self) -> int: ...

    @property
    def frozen_balance(self) -> int: ...

    @property
    def pending_balance(self) -> int: ...

    @property
    def debt(self) -> int: ...

    @property
    def total_earned(self) -> int: ...

    @property
    def total_spent(self) -> int: ...

    @property
    def expired_points(self) -> int: ...

    @property
    def total_refunded(self) -> int: ...

    @property
    def total_clawed_back(self) -> int: ...


@dataclass(slots=True)
class EvaluationContext:
    """One event on one account at one moment.

    `account` is the state before any rule grants; due points have expired.
    """

    tenant: Tenant
    account: AccountFacts | None
    metadata: dict[str, Any]
    at: datetime
    _local: datetime | None = None

    @property
    def event_bytes(self) -> int:
        """The size of the event's metadata as JSON. Serializing 16 KB takes some microseconds."""
        return len(orjson.dumps(self.metadata))

    @property
    def local(self) -> datetime:
        """The moment in the tenant's local time."""
        if self._local is None:
            self._local = self.tenant.local(self.at)
        return self._local

    def facts(self, names: Iterable[str]) -> Facts:
        """Return the values of these names of expressions."""
        return {name: _FACTS[name](self) for name in names}


def _number_of_account(name: str) -> Callable[[EvaluationContext], int]:
    number_of: Callable[[AccountFacts], int] = attrgetter(name)
    return lambda context: 0 if context.account is None else number_of(context.account)


_FACTS: dict[str, Callable[[EvaluationContext], Any]] = {
    "event": lambda context: context.metadata,
    "now.hour": lambda context: context.local.hour,
    "now.minute": lambda context: context.local.minute,
    "now.weekday": lambda context: context.local.isoweekday(),
    "now.date": lambda context: context.local.date().isoformat(),
    "account.is_new": lambda context: context.account is None,
} | {f"account.{name}": _number_of_account(name) for name in ACCOUNT if name != "is_new"}
