"""Lists what services may do: over HTTP, by the settings, and by events, by their keys file. Shows no key."""

from dataclasses import dataclass
from typing import Literal

from pointledger.events.reader import load_producers
from pointledger.settings import Settings


@dataclass(frozen=True, slots=True)
class ServiceLine:
    """What one service may do for a tenant."""

    name: str
    """Its name: the `sub` of its tokens, or the producer of its events."""
    sends: Literal["requests", "events"]
    """How it sends: over HTTP, or signed events."""
    kinds: tuple[str, ...]
    """The kinds of command that it may send."""
    may_read: bool
    """Whether it may ask for everything else over HTTP."""
    is_of_all_tenants: bool
    """Whether it acts for every tenant."""
    per_minute: int | None
    """How many events a minute it may send. None: there is no bound of its own."""
    keys: tuple[str, ...]
    """The ids of its keys, whose secrets the ledger never shows."""


def services(settings: Settings, tenant_id: str) -> list[ServiceLine]:
    """Return the services that may act for the tenant, by name. Raises InvalidProducers."""
    found = [
        ServiceLine(
            name,
            "requests",
            tuple(sorted(rights.kinds - {"read"})),
            "read" in rights.kinds,
            is_of_all_tenants=False,
            per_minute=None,
            keys=(),
        )
        for name, rights in settings.http_services.items()
        if tenant_id in rights.tenants
    ]
    found += [
        ServiceLine(
            producer.name,
            "events",
            tuple(sorted(producer.kinds)),
            may_read=False,
            is_of_all_tenants=producer.tenants == "all",
            per_minute=producer.per_minute,
            keys=tuple(key.id for key in producer.keys),
        )
        for producer in load_producers(settings).producers
        if producer.tenants == "all" or tenant_id in producer.tenants
    ]
    return sorted(found, key=lambda line: (line.name, line.sends))
