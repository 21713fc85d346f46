"""Provides the facts about an event that rules evaluate."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

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
        account = self.account
        numbers = {
            f"account.{name}": getattr(account, name) if account else 0
            for name in ACCOUNT
            if name != "is_new"
        }
        return {"account.is_new": account is None, **numbers}
