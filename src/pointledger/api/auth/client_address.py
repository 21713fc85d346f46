"""Which address asks. Behind a proxy it is the one that the proxy names; nobody else is believed."""

from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from pointledger.settings import Settings

Address = IPv4Address | IPv6Address
_LINE_PREFIX = 64  # of IPv6: what one customer has; its addresses are beyond counting


class Callers:
    """Knows the proxies in front, and the one header in which they say who asks.

    Each proxy adds whom it heard at the end of that header, so it is read from its end: what our own proxies
    wrote is believed, the first address that is none of theirs asks, and what stands before it anybody may
    have made up. One header only: a proxy passes on the others as they came.
    """

    def __init__(self, settings: Settings) -> None:
        self._proxies = settings.http_proxies
        self._header = settings.http_proxy_header

    @property
    def header(self) -> str:
        """The header's name, in lower case."""
        return self._header

    def caller(self, peer: str, values: Sequence[str]) -> str:
        """Who asks, as counted: an IPv4 address, or the network of an IPv6 one. `peer`: who connected;
        `values`: the header's, in their order."""
        address = _address(peer)
        if address is None:
            return peer
        for told in self._hops(values):
            if not self._is_proxy(address):
                break
            before = _address(told)
            if before is None:  # a proxy of ours that does not know, or hides it
                break
            address = before
        return _counted(address)

    def _is_proxy(self, address: Address) -> bool:
        return any(address in network for network in self._proxies if network.version == address.version)

    def _hops(self, values: Sequence[str]) -> Iterator[str]:
        """The addresses, the last one first."""
        for hop in reversed(",".join(values).split(",")):
            yield _for(hop) if self._header == "forwarded" else hop


def _for(element: str) -> str:
    """Whom an element of `Forwarded` (RFC 7239) names."""
    for pair in element.split(";"):
        name, _, value = pair.strip().partition("=")
        if name.lower() == "for":
            return value
    return ""


def _address(text: str) -> Address | None:
    """The address, which may have a port, brackets and quotes; None where it is none."""
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


def _counted(address: Address) -> str:
    if isinstance(address, IPv4Address):
        return str(address)
    return str(ip_network((address, _LINE_PREFIX), strict=False))
