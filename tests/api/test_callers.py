"""Who asks: whoever connects, or whom a proxy of ours names. Nobody else's word counts."""

from pathlib import Path
from typing import Any

import pytest

from pointledger.api.auth.client_address import Callers
from pointledger.settings import Settings
from tests.api.issuer import Issuer
from tests.api.served import http_settings, serving

PROXIES = ["10.0.0.0/8", "fd00::/8"]


def caller(peer: str, *values: str, header: str = "x-forwarded-for", proxies: Any = PROXIES) -> str:
    settings = Settings.model_validate({"http_proxies": proxies, "http_proxy_header": header})
    return Callers(settings).caller(peer, values)


@pytest.mark.parametrize(
    ("peer", "values", "asks"),
    [
        ("192.0.2.1", (), "192.0.2.1"),
        ("192.0.2.1", ("198.51.100.7",), "192.0.2.1"),  # no proxy of ours: anybody may say so
        ("10.0.0.1", ("198.51.100.7",), "198.51.100.7"),
        ("10.0.0.1", ("6.6.6.6, 198.51.100.7",), "198.51.100.7"),  # what came from outside stands before
        ("10.0.0.1", ("6.6.6.6", "198.51.100.7"), "198.51.100.7"),  # in two lines
        ("10.0.0.1", ("6.6.6.6, 198.51.100.7, 10.0.0.2",), "198.51.100.7"),  # a balancer before the proxy
        ("10.0.0.1", ("10.0.0.9, 10.0.0.2",), "10.0.0.9"),  # from within
        ("10.0.0.1", (), "10.0.0.1"),
        ("10.0.0.1", ("",), "10.0.0.1"),
        ("10.0.0.1", ("198.51.100.7, unknown",), "10.0.0.1"),  # not further than what is known
        ("10.0.0.1", ("198.51.100.7:4711",), "198.51.100.7"),
        ("10.0.0.1", ("[2001:db8:0:7::1]:4711",), "2001:db8:0:7::/64"),
        ("fd00::1", ("2001:db8:0:7:ffff::1",), "2001:db8:0:7::/64"),
        ("2001:db8::5", ("198.51.100.7",), "2001:db8::/64"),
        ("::ffff:10.0.0.1", ("198.51.100.7",), "198.51.100.7"),
        ("unknown", ("198.51.100.7",), "unknown"),
    ],
)
def test_of_what_is_forwarded_our_own_proxies_word_counts_and_no_more(
    peer: str, values: tuple[str, ...], asks: str
) -> None:
    assert caller(peer, *values) == asks


@pytest.mark.parametrize(
    ("values", "asks"),
    [
        (("for=198.51.100.7",), "198.51.100.7"),
        (("for=6.6.6.6, for=198.51.100.7;proto=https;by=10.0.0.1",), "198.51.100.7"),
        (('Proto=https;FOR="[2001:db8:0:7::1]:4711"',), "2001:db8:0:7::/64"),
        (('for="198.51.100.7:80"', "for=10.0.0.2"), "198.51.100.7"),
        (("for=_hidden",), "10.0.0.1"),
        (("proto=https",), "10.0.0.1"),
    ],
)
def test_so_it_is_with_the_standards_header(values: tuple[str, ...], asks: str) -> None:
    assert caller("10.0.0.1", *values, header="forwarded") == asks


def test_without_proxies_nobody_is_believed() -> None:
    assert caller("10.0.0.1", "198.51.100.7", proxies=[]) == "10.0.0.1"


def test_a_proxy_of_the_other_header_is_not_believed_in_this_one(
    settings: Settings, issuer: Issuer, folder: Path
) -> None:
    """And strangers behind one proxy have each a rate of their own."""
    given = http_settings(settings, issuer, folder, http_stranger_rate=1, http_proxies=["127.0.0.0/8"])
    with serving(Settings.model_validate(dict(given)), issuer) as served:
        served.ledger.tenant()

        def statuses(**headers: str) -> set[int]:
            return {served.get("/points/anna", "a.b.c", **headers).status_code for _ in range(60)}

        assert statuses(X_Forwarded_For="198.51.100.7") == {401, 429}
        told = set()
        for number in range(60):  # each would be a stranger's first, were it believed
            forged = {"Forwarded": f"for=192.0.2.{number}", "X-Forwarded-For": "198.51.100.7"}
            told.add(served.client.get("/points/anna", headers=forged).status_code)
        assert 429 in told
        assert statuses(X_Forwarded_For="6.6.6.6, 198.51.100.8") == {401, 429}
        assert served.get("/points/anna", "a.b.c", X_Forwarded_For="6.6.6.6").status_code == 401
