"""Slots: how many requests a process works on at once, shared fairly between tenants and their callers.

A request takes a slot when its body has arrived, and gives it back when its response begins. While slots are
free, anyone may take one, so a tenant alone may have all of them. When none is free, a tenant or caller that
has fewer than another gets the slot of a request of the other that only waits: for its outcome (it gets 202
now, because its command is durable) or for a thread (it gets 429). So no slot has to stay empty for others.

If no request only waits, there is a reserve: a tenth more slots for tenants that have fewer than another, the
first half of them also for callers that have fewer than another of their tenant.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from pointledger.api import metrics
from pointledger.api.schemas.envelope import Problem

_RETRY_SECONDS = 1
_RESERVE = 10  # a tenth: while 1,000 commands are committed, 40 ms, few others ask
_WORTH_IT = 2  # below this difference, the one that takes a slot would have more than the one that gives it


class ShareTaken(Problem):
    """The tenant has its share of what all tenants use, and others need the rest."""

    def __init__(self, what: str) -> None:
        super().__init__(
            429,
            f"this tenant, or this caller, has its share of the server's {what} and others need the rest; "
            "send fewer requests at once, and retry",
            retry_after=_RETRY_SECONDS,
        )
        metrics.OVER_SHARE.labels(what).inc()


def _all_busy() -> Problem:
    return Problem(503, "too many concurrent requests", retry_after=_RETRY_SECONDS)


@dataclass(eq=False, slots=True)
class Slot:
    """A request's slot. `give_up` ends what the request waits for; None while it does not only wait."""

    tenant_id: str
    caller: str
    give_up: Callable[[], None] | None = None


@dataclass(slots=True)
class _Tenant:
    """The slots of one tenant, by caller, the oldest first."""

    count: int = 0
    callers: dict[str, dict[Slot, None]] = field(default_factory=dict)


class Slots:
    """The slots of one event loop."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._reserve = max(1, count // _RESERVE)
        self._taken = 0
        self._tenants: dict[str, _Tenant] = {}

    def __len__(self) -> int:
        return self._taken

    def take(self, tenant_id: str, caller: str) -> Slot:
        """Take a slot. Raises Problem: 429 if this tenant has its share, 503 if all slots are busy."""
        if self._taken >= self._count:
            self._make_room(tenant_id, caller)
        slot = Slot(tenant_id, caller)
        tenant = self._tenants.setdefault(tenant_id, _Tenant())
        tenant.callers.setdefault(caller, {})[slot] = None
        tenant.count += 1
        self._taken += 1
        metrics.SLOTS.set(self._taken)
        return slot

    def release(self, slot: Slot) -> None:
        """Give the slot back. A second call, and one after the slot was taken away, does nothing."""
        tenant = self._tenants.get(slot.tenant_id)
        if tenant is None or slot not in tenant.callers.get(slot.caller, ()):
            return
        del tenant.callers[slot.caller][slot]
        if not tenant.callers[slot.caller]:
            del tenant.callers[slot.caller]
        tenant.count -= 1
        if not tenant.count:
            del self._tenants[slot.tenant_id]
        self._taken -= 1
        metrics.SLOTS.set(self._taken)

    def _make_room(self, tenant_id: str, caller: str) -> None:
        own = self._tenants.get(tenant_id, _Tenant())
        biggest = max(self._tenants.values(), key=lambda tenant: tenant.count)
        if biggest.count - own.count >= _WORTH_IT:
            givers = sorted(biggest.callers.values(), key=len, reverse=True)
            if not self._take_away(givers) and self._taken >= self._count + self._reserve:
                raise _all_busy()
            return
        if not own.count:
            raise _all_busy()
        busiest = max(own.callers.values(), key=len)
        if len(busiest) - len(own.callers.get(caller, ())) < _WORTH_IT:
            raise ShareTaken("slots")
        if not self._take_away([busiest]) and self._taken >= self._count + self._reserve // 2:
            raise ShareTaken("slots")

    def _take_away(self, callers: Iterable[dict[Slot, None]]) -> bool:
        """Take the oldest slot whose request only waits. Return whether there was one."""
        slot = next((slot for slots in callers for slot in slots if slot.give_up), None)
        if slot is None:
            return False
        give_up, slot.give_up = slot.give_up, None
        self.release(slot)
        assert give_up is not None, "the slot was chosen by it"
        give_up()
        metrics.OVER_SHARE.labels("slots").inc()
        return True
