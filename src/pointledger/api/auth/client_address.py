"""Finds the client's address. Only known proxies may name it in a header."""

from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from pointledger.settings import Settings

Address = IPv4Address | IPv6Address
_IPV6_PREFIX = 64  # bits that identify one customer, who can use any address below them


class ClientAddresses:
    """Reads the client's address from the one header that the known proxies set.

    Each proxy appends its peer's address, so this class reads the header from the end. It skips addresses of
    known proxies. The first other address is the client's. A client can forge everything before that. Other
    headers are ignored, because a proxy passes them on unchanged.
    """

    def __init__(self, settings: Settings) -> None:
        self._proxies = settings.http_proxies
        self._header = settings.http_proxy_header

    @property
    def header(self) -> str:
        """Return the header's name in lower case."""
        return self._header

    def client(self, peer: str, values: Sequence[str]) -> str:
        """Return the client's IPv4 address or IPv6 network, as rate limits count it.

        `peer` is the address of the connection, `values` are the header's values in order.
        """
        address = _address(peer)
        if address is None:
            return peer
        for hop in self._hops(values):
            if not self._is_proxy(address):
                break
            previous = _address(hop)
            if previous is None:  # a known proxy that does not know its peer, or hides it
                break
            address = previous
        return _rate_limit_key(address)

    def is_proxy(self, peer: str) -> bool:
        """Return whether this is the address of a known proxy."""
        address = _address(peer)
        return address is not None and self._is_proxy(address)

    def _is_proxy(self, address: Address) -> bool:
        return any(address in network for network in self._proxies if network.version == address.version)

    def _hops(self, values: Sequence[str]) -> Iterator[str]:
        """Yield the addresses, last one first."""
        for hop in reversed(",".join(values).split(",")):
            yield _forwarded_for(hop) if self._header == "forwarded" else hop


def _forwarded_for(element: str) -> str:
    """Return the `for` value of an element of `Forwarded` (RFC 7239)."""
    for pair in element.split(";"):
        name, _, value = pair.strip().partition("=")
        if name.lower() == "for":
            return value
    return ""


def _address(text: str) -> Address | None:
    """Parse an address that may have a port, brackets and quotes. None if it is invalid."""
    bare = text.strip().strip('"')
    if bare.startswith("["):
        bare = bare[1:].partition("]")[0]
    elif bare.count(":") == 1:
        bare = bare.partition(":")[0]
    try:
        found = ip_address(bare)
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return mapped or found


def _rate_limit_key(address: Address) -> str:
    if isinstance(address, IPv4Address):
        return str(address)
    return str(ip_network((address, _IPV6_PREFIX), strict=False))
