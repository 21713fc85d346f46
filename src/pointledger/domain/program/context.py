"""Provides the facts about an event that rules evaluate."""

from collections.abc import Iterable
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


_NUMBERS = [name for name in ACCOUNT if name != "is_new"]
_numbers_of = attrgetter(*_NUMBERS)
_NUMBER_FACTS = [f"account.{name}" for name in _NUMBERS]
_NEW_ACCOUNT = {"account.is_new": True} | dict.fromkeys(_NUMBER_FACTS, 0)


@dataclass(slots=True)
class EvaluationContext:
    """One event on one account at one moment. Facts are computed once, when a rule needs them.

    `account` is the state before any rule grants; due points have expired.
    """

    tenant: Tenant
    account: AccountFacts | None
    metadata: dict[str, Any]
    at: datetime
    _local: datetime | None = None
    _facts: dict[str, Facts] | None = None

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

    def facts(self, roots: Iterable[str]) -> Facts:
        """Return the facts under these roots."""
        known = self._facts = self._facts or {}
        found: Facts = {}
        for root in roots:
            if root not in known:
                known[root] = getattr(self, f"_{root}")()
            found |= known[root]
        return found

    def _event(self) -> Facts:
        return {"event": self.metadata}

    def _now(self) -> Facts:
        local = self.local
        return {
            "now.hour": local.hour,
            "now.minute": local.minute,
            "now.weekday": local.isoweekday(),
            "now.date": local.date().isoformat(),
        }

    def _account(self) -> Facts:
        if self.account is None:
            return _NEW_ACCOUNT
        return {"account.is_new": False, **dict(zip(_NUMBER_FACTS, _numbers_of(self.account), strict=True))}
