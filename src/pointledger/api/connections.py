"""Bounds the connections of a process: the idle ones of a client address, and all.

A connection is idle while the server works on no request of it: it says nothing, it sends a request slowly,
or it takes its response slowly. Requests that are worked on are bounded by slots, and by tenant instead of
address, because many people can share an address.

At a bound, an idle connection is closed: of that address, or, when all are taken, of the address that has the
most. It is the one that has been idle longest of the tenant that has the most of them, so one tenant does not
end the connections of another that shares its address. Only if none is idle, the new one is refused.

Proxies that the settings name are bounded only by the whole, because all their clients share one address.
"""

from dataclasses import dataclass, field
from typing import Protocol

from pointledger.api import metrics
from pointledger.api.auth.client_address import ClientAddresses
from pointledger.settings import Settings

_WORTH_IT = 2  # below this difference, the address that gains would have more than the one that loses


class Connection(Protocol):
    """What this module needs of a connection."""

    def abort(self) -> None:
        """Close it at once."""


@dataclass(eq=False, slots=True)
class _Address:
    """The connections of one address, and those that are idle: by tenant, the oldest first."""

    name: str
    most_idle: int
    count: int = 0
    idle_count: int = 0
    idle: dict[str, dict[Connection, None]] = field(default_factory=dict)

    def add(self, connection: Connection, tenant_id: str) -> None:
        self.idle.setdefault(tenant_id, {})[connection] = None
        self.idle_count += 1

    def remove(self, connection: Connection, tenant_id: str) -> None:
        connections = self.idle.get(tenant_id, {})
        if connection in connections:
            del connections[connection]
            self.idle_count -= 1
            if not connections:
                del self.idle[tenant_id]

    def oldest(self) -> Connection | None:
        """Return the connection that has been idle longest, of the tenant that has the most."""
        return next(iter(max(self.idle.values(), key=len, default=())), None)


@dataclass(slots=True)
class _Open:
    """A connection: its address, and the tenant of its last request, `""` before the first one."""

    address: _Address
    tenant_id: str = ""


class Connections:
    """The connections of one event loop. `port` is what metrics call it: `api` or `operators`."""

    def __init__(self, settings: Settings, port: str) -> None:
        self._gauge = metrics.CONNECTIONS.labels(port)
        self._most = settings.http_connections
        self._most_idle = settings.http_idle_connections_per_address
        self._client_addresses = ClientAddresses(settings)
        self._addresses: dict[str, _Address] = {}
        self._open: dict[Connection, _Open] = {}

    def __len__(self) -> int:
        return len(self._open)

    def open(self, connection: Connection, peer: str) -> bool:
        """Count a new connection, which is idle. Return False if there is no room for it."""
        name = self._client_addresses.client(peer, ())
        most_idle = self._most if self._client_addresses.is_proxy(peer) else self._most_idle
        address = self._addresses.get(name) or _Address(name, most_idle)
        if len(self._open) >= self._most and not self._make_room(address):
            metrics.OVER_SHARE.labels("connections").inc()
            return False
        address = self._addresses.setdefault(name, address)
        address.count += 1
        self._open[connection] = _Open(address)
        self.idle(connection)
        self._gauge.set(len(self._open))
        return True

    def busy(self, connection: Connection) -> None:
        """Note that the server works on a request."""
        if opened := self._open.get(connection):
            opened.address.remove(connection, opened.tenant_id)

    def idle(self, connection: Connection, tenant_id: str = "") -> None:
        """Note that the server works on no request, and close another connection if these are too many.

        `tenant_id` is the tenant of the connection's request, if it had one.
        """
        if opened := self._open.get(connection):
            address = opened.address
            address.remove(connection, opened.tenant_id)
            opened.tenant_id = tenant_id or opened.tenant_id
            address.add(connection, opened.tenant_id)
            if address.idle_count > address.most_idle:
                self._end_one(address)

    def close(self, connection: Connection) -> None:
        """Forget a connection. A second call does nothing."""
        opened = self._open.pop(connection, None)
        if opened is None:
            return
        address = opened.address
        address.remove(connection, opened.tenant_id)
        address.count -= 1
        if not address.count:
            del self._addresses[address.name]
        self._gauge.set(len(self._open))

    def _make_room(self, address: _Address) -> bool:
        biggest = max(self._addresses.values(), key=lambda each: each.count)
        if biggest.count - address.count >= _WORTH_IT and self._end_one(biggest):
            return True
        return self._end_one(address)

    def _end_one(self, address: _Address) -> bool:
        connection = address.oldest()
        if connection is None:
            return False
        metrics.OVER_SHARE.labels("connections").inc()
        self.close(connection)
        connection.abort()
        return True
