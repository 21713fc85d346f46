"""Lists a call of each method of the client that uses a server."""

import inspect
from collections.abc import Callable, Iterator
from typing import Any

from pointledger import Actor, ApplyRule, Earn, PointsClient, Receipt
from pointledger.ids import new_id, show_id
from pointledger.storage.queue.failures import DeadCommandFilter

Call = Callable[[PointsClient], Any]

_COMMAND = Earn(tenant_id="shop", user_id="anna", amount=1)
_EVENT = ApplyRule(tenant_id="shop", user_id="anna", event_type="visit")
_ID = show_id(new_id())


def _listed(found: Any) -> Any:
    """Return what was found as a list. The client for asyncio yields it to `async for` instead."""
    return list(found) if isinstance(found, Iterator) else found


CALLS: dict[str, Call] = {
    "accept": lambda client: client.accept([_COMMAND]),
    "account": lambda client: client.account("shop", "anna"),
    "accounts": lambda client: client.accounts("shop"),
    "audit_log": lambda client: client.audit_log("shop"),
    "batch_earn": lambda client: client.batch_earn("shop", [("anna", 1)], idempotency_key="k"),
    "batch_outcome": lambda client: client.batch_outcome(_ID),
    "batch_outcomes": lambda client: _listed(client.batch_outcomes(_ID)),
    "cancel": lambda client: client.cancel(_ID),
    "count_outcomes": lambda client: client.count_outcomes([_ID]),
    "dry_run": lambda client: client.dry_run(_EVENT),
    "enqueue": lambda client: client.enqueue(_COMMAND),
    "enqueue_many": lambda client: client.enqueue_many([_COMMAND]),
    "entries": lambda client: client.entries("shop", "anna"),
    "entry": lambda client: client.entry("shop", _ID),
    "expiring": lambda client: client.expiring("shop", "anna"),
    "export_user": lambda client: client.export_user("shop", "anna"),
    "has_room": lambda client: client.has_room([1]),
    "hold": lambda client: client.hold("shop", _ID),
    "holds": lambda client: client.holds("shop", "anna"),
    "outcome": lambda client: client.outcome(_ID),
    "outcomes": lambda client: client.outcomes([_ID]),
    "pause": lambda client: client.pause("shop"),
    "points_by_expiry": lambda client: client.points_by_expiry("shop", "anna"),
    "preview_expiry": lambda client: client.preview_expiry("shop"),
    "resume": lambda client: client.resume("shop"),
    "retry": lambda client: client.retry(_ID),
    "retry_all": lambda client: _listed(client.retry_all(DeadCommandFilter(tenant="shop"), Actor())),
    "ring": lambda client: client.ring(Receipt([], 0, frozenset([1]))),
    "shared_limits": lambda client: client.shared_limits("shop"),
    "tenant_statistics": lambda client: client.tenant_statistics("shop"),
    "try_command": lambda client: client.try_command(_COMMAND),
    "user_statistics": lambda client: client.user_statistics("shop", "anna"),
    "verify": lambda client: client.verify("shop", Actor()),
    "value": lambda client: client.value("shop", "anna"),
    "wait": lambda client: client.wait(_ID, timeout=0),
    "wallet": lambda client: client.wallet("shop", "anna"),
    "wallet_entries": lambda client: client.wallet_entries("shop", "anna"),
    "explain_entry": lambda client: client.explain_entry("shop", _ID),
}

_WITHOUT_SERVER = {"close", "connect"}


def methods() -> Iterator[str]:
    """Yield the names of the client's public methods that use a server."""
    for name, _ in inspect.getmembers(PointsClient, callable):
        if not name.startswith("_") and name not in _WITHOUT_SERVER:
            yield name
