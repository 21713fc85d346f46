"""The client's address: that of the connection, or the one that a known proxy names."""

from pathlib import Path
from typing import Any

import pytest

from pointledger.api.auth.client_address import ClientAddresses
from pointledger.settings import Settings
from tests.api.environment import http_settings, open_api
from tests.api.issuer import Issuer

PROXIES = ["10.0.0.0/8", "fd00::/8"]


def client_address(peer: str, *values: str, header: str = "x-forwarded-for", proxies: Any = PROXIES) -> str:
    settings = Settings.model_validate({"http_proxies": proxies, "http_proxy_header": header})
    return ClientAddresses(settings).client(peer, values)


@pytest.mark.parametrize(
    ("peer", "values", "expected"),
    [
        ("192.0.2.1", (), "192.0.2.1"),
        ("192.0.2.1", ("198.51.100.7",), "192.0.2.1"),  # not a known proxy, so the header may be forged
        ("10.0.0.1", ("198.51.100.7",), "198.51.100.7"),
        ("10.0.0.1", ("6.6.6.6, 198.51.100.7",), "198.51.100.7"),  # the client forged the first address
        ("10.0.0.1", ("6.6.6.6", "198.51.100.7"), "198.51.100.7"),  # in two headers
        ("10.0.0.1", ("6.6.6.6, 198.51.100.7, 10.0.0.2",), "198.51.100.7"),  # behind a load balancer
        ("10.0.0.1", ("10.0.0.9, 10.0.0.2",), "10.0.0.9"),  # a client in the proxies' network
        ("10.0.0.1", (), "10.0.0.1"),
        ("10.0.0.1", ("",), "10.0.0.1"),
        ("10.0.0.1", ("198.51.100.7, unknown",), "10.0.0.1"),  # reading stops at an unknown address
        ("10.0.0.1", ("198.51.100.7:4711",), "198.51.100.7"),
        ("10.0.0.1", ("[2001:db8:0:7::1]:4711",), "2001:db8:0:7::/64"),
        ("fd00::1", ("2001:db8:0:7:ffff::1",), "2001:db8:0:7::/64"),
        ("2001:db8::5", ("198.51.100.7",), "2001:db8::/64"),
        ("::ffff:10.0.0.1", ("198.51.100.7",), "198.51.100.7"),
        ("unknown", ("198.51.100.7",), "unknown"),
    ],
)
def test_only_addresses_from_known_proxies_count(peer: str, values: tuple[str, ...], expected: str) -> None:
    assert client_address(peer, *values) == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (("for=198.51.100.7",), "198.51.100.7"),
        (("for=6.6.6.6, for=198.51.100.7;proto=https;by=10.0.0.1",), "198.51.100.7"),
        (('Proto=https;FOR="[2001:db8:0:7::1]:4711"',), "2001:db8:0:7::/64"),
        (('for="198.51.100.7:80"', "for=10.0.0.2"), "198.51.100.7"),
        (("for=_hidden",), "10.0.0.1"),
        (("proto=https",), "10.0.0.1"),
    ],
)
def test_the_forwarded_header_works_the_same_way(values: tuple[str, ...], expected: str) -> None:
    assert client_address("10.0.0.1", *values, header="forwarded") == expected


def test_without_known_proxies_the_header_is_ignored() -> None:
    assert client_address("10.0.0.1", "198.51.100.7", proxies=[]) == "10.0.0.1"


def test_the_header_that_is_not_configured_is_ignored(
    settings: Settings, issuer: Issuer, folder: Path
) -> None:
    """Unauthenticated clients behind one proxy each have their own rate limit."""
    given = http_settings(settings, issuer, folder, http_stranger_rate=1, http_proxies=["127.0.0.0/8"])
    with open_api(Settings.model_validate(dict(given)), issuer) as api:
        api.ledger.tenant()

        def statuses(**headers: str) -> set[int]:
            return {api.get("/points/anna", "a.b.c", **headers).status_code for _ in range(60)}

        assert statuses(X_Forwarded_For="198.51.100.7") == {401, 429}
        codes = set()
        for number in range(60):  # each would be a new client's first request if the header counted
            forged = {"Forwarded": f"for=192.0.2.{number}", "X-Forwarded-For": "198.51.100.7"}
            codes.add(api.client.get("/points/anna", headers=forged).status_code)
        assert 429 in codes
        assert statuses(X_Forwarded_For="6.6.6.6, 198.51.100.8") == {401, 429}
        assert api.get("/points/anna", "a.b.c", X_Forwarded_For="6.6.6.6").status_code == 401
