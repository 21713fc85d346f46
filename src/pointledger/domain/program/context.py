"""A scene: one event on one account at one moment, as rules look at it."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from pointledger.domain.program.expressions import ACCOUNT, Facts
from pointledger.domain.program.tenant import Tenant


class AccountFacts(Protocol):
    """The numbers that a rule's expression may read of an account."""

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
class Scene:
    """What is worked out of it is worked out once, and only if some rule asks.

    `account` is as the event finds it: what is due has expired, and no rule has granted yet.
    """

    tenant: Tenant
    account: AccountFacts | None
    metadata: dict[str, Any]
    at: datetime
    _local: datetime | None = None
    _facts: dict[str, Facts] | None = None

    @property
    def local(self) -> datetime:
        """The moment by the tenant's clocks."""
        if self._local is None:
            self._local = self.tenant.local(self.at)
        return self._local

    def facts(self, roots: Iterable[str]) -> Facts:
        """What expressions may know under these roots."""
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
