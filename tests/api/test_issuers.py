"""Access tokens as issuers make them, signed with joserfc: their shapes are believed, their keys expire."""

import asyncio
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import joserfc.jwt
import orjson
import pytest
from joserfc.jwk import ECKey, KeySet, OKPKey, RSAKey

from pointledger.api.auth import jwks
from pointledger.api.auth.permissions import Principal
from pointledger.api.auth.tokens import Tokens, Unauthenticated
from pointledger.settings import Settings
from pointledger.settings.http_api import ServiceRights

AUDIENCE = "pointledger"
NOW = int(time.time())
TIMES = {"iat": NOW, "exp": NOW + 7_200}  # longer than the whole suite takes
KEYS: dict[str, RSAKey | ECKey | OKPKey] = {
    "RS256": RSAKey.generate_key(2048, {"kid": "rsa", "use": "sig", "alg": "RS256"}, private=True),
    "ES256": ECKey.generate_key("P-256", {"kid": "ec", "use": "sig", "alg": "ES256"}, private=True),
    "EdDSA": OKPKey.generate_key("Ed25519", {"kid": "okp", "use": "sig", "alg": "EdDSA"}, private=True),
}
SERVICE = "7Yh2kLq0@clients"

Token = tuple[str, dict[str, Any], dict[str, Any]]

# Issuer, header and claims, as their manuals show them.
ISSUERS: dict[str, Token] = {
    "Auth0": (
        "https://shop.eu.auth0.com/",
        {"alg": "RS256", "typ": "JWT"},
        {
            "sub": "auth0|507f1f77bcf86cd799439020",
            "aud": [AUDIENCE, "https://shop.eu.auth0.com/userinfo"],
            "azp": "7Yh2kLq0",
            "scope": "openid profile points:read",
            "permissions": ["points:read"],
        },
    ),
    "Auth0, through Google": (
        "https://shop.eu.auth0.com/",
        {"alg": "RS256", "typ": "at+jwt"},
        {
            "sub": "google-oauth2|103547991597142817347",
            "aud": AUDIENCE,
            "jti": "x",
            "client_id": "7Yh2kLq0",
            "scope": "points:read",
        },
    ),
    "Keycloak": (
        "https://sso.example/realms/shop",
        {"alg": "RS256", "typ": "JWT"},
        {
            "sub": "f:1f0d3c6e-2c63-4a8f-9d5c-0d3f8a0f8a11:anna+points@example.org",
            "aud": [AUDIENCE, "account"],
            "typ": "Bearer",
            "azp": "web",
            "session_state": "5b1a",
            "realm_access": {"roles": ["offline_access"]},
            "scope": "openid email points:read",
        },
    ),
    "Entra ID": (
        "https://login.microsoftonline.com/0f1e/v2.0",
        {"alg": "RS256", "typ": "JWT", "x5t": "abc"},
        {
            "sub": "AAAAAAAAAAAAAAAAAAAAAIkzqFVrSaSaFHy782bbtaQ",
            "aud": AUDIENCE,
            "nbf": NOW - 5,
            "ver": "2.0",
            "tid": "0f1e",
            "scp": "User.Read points:read",
        },
    ),
    "Okta": (
        "https://dev-1.okta.com/oauth2/default",
        {"alg": "RS256"},
        {
            "sub": "anna.o'neill@example.org",
            "aud": AUDIENCE,
            "ver": 1,
            "cid": "0oa",
            "uid": "00u",
            "scp": ["openid", "points:read"],
        },
    ),
    "Cognito": (
        "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_aB",
        {"alg": "RS256"},
        {
            "sub": "9f8c2b1e-1111-4a4a-9d9d-aaaaaaaaaaaa",
            "aud": AUDIENCE,
            "token_use": "access",
            "version": 2,
            "auth_time": NOW - 60,
            "scope": "aws.cognito.signin.user.admin points:read",
        },
    ),
    "another, RFC 9068": (
        "https://login.example",
        {"alg": "ES256", "typ": "application/at+JWT"},
        {"sub": "https://login.example/users/7", "aud": AUDIENCE, "scope": ["points:read", "email"]},
    ),
    "another, with Ed25519": (
        "https://login.example",
        {"alg": "EdDSA", "typ": "AT+JWT"},
        {"sub": "änne", "aud": [AUDIENCE], "scope": "points:read", "scp": None},
    ),
}


@pytest.fixture
def key_file(tmp_path: Path) -> str:
    path = tmp_path / "jwks.json"
    path.write_bytes(orjson.dumps(KeySet(list(KEYS.values())).as_dict(private=False)))
    return str(path)


def token(header: dict[str, Any], claims: dict[str, Any]) -> str:
    key = KEYS[header["alg"]]
    claims = TIMES | {"tenant_id": "shop"} | claims
    return str(joserfc.jwt.encode(header | {"kid": key.kid}, claims, key, algorithms=list(KEYS)))


def principal(key_file: str, issuer: str, header: dict[str, Any], claims: dict[str, Any]) -> Principal:
    services = {SERVICE: ServiceRights(tenants=frozenset({"shop"}), kinds=frozenset({"earn"}))}
    settings = Settings(http_issuer=issuer, http_keys=key_file, http_services=services)
    given = token(header, {"iss": issuer} | claims)
    return asyncio.run(Tokens(settings).principal([f"Bearer {given}"]))


@pytest.mark.filterwarnings("ignore:EdDSA is deprecated")
@pytest.mark.parametrize("name", ISSUERS)
def test_a_token_of_a_well_known_issuer_is_believed(key_file: str, name: str) -> None:
    issuer, header, claims = ISSUERS[name]
    found = principal(key_file, issuer, header, claims)
    assert found == Principal(claims["sub"], "shop", scopes=frozenset({"points:read"}))
    with pytest.raises(Unauthenticated):
        principal(key_file, issuer, header, claims | {"aud": ["account", "somebody"]})
    with pytest.raises(Unauthenticated):
        principal(key_file, issuer, header, claims | {"iss": issuer + "x"})
    with pytest.raises(Unauthenticated):
        principal(key_file, issuer, header, claims | {"iat": NOW - 700, "exp": NOW - 100})


def test_the_settings_and_not_the_name_say_who_is_a_service(key_file: str) -> None:
    issuer, header, claims = ISSUERS["Auth0"]
    machine = claims | {"sub": SERVICE, "gty": "client-credentials", "scope": "points:admin"}
    found = principal(key_file, issuer, header, machine)
    assert (found.is_service, found.is_admin, found.kinds) == (True, False, frozenset({"earn"}))


@pytest.mark.parametrize("blank", ["\u00a0", "\u2028", "\u3000", "\x1f", "\n", "\t", "\u0085", "\x0b", ","])
@pytest.mark.parametrize("claim", ["scope", "scp"])
def test_only_a_space_separates_scopes(key_file: str, claim: str, blank: str) -> None:
    issuer, header, claims = ISSUERS["Cognito"]
    given = claims | {"scope": None, claim: f"points:read{blank}points:admin points:write"}
    assert principal(key_file, issuer, header, given).scopes == {"points:write"}


@pytest.mark.parametrize(
    "given", [["points:read points:admin"], ["points:admin\n"], [["points:admin"]], [None]]
)
def test_an_entry_of_a_list_is_one_scope(key_file: str, given: list[Any]) -> None:
    issuer, header, claims = ISSUERS["Okta"]
    assert principal(key_file, issuer, header, claims | {"scp": given}).scopes == set()


@pytest.mark.parametrize("given", [7, {"points:admin": True}, True])
def test_a_scope_that_is_neither_text_nor_a_list_is_refused(key_file: str, given: Any) -> None:
    issuer, header, claims = ISSUERS["Okta"]
    with pytest.raises(Unauthenticated):
        principal(key_file, issuer, header, claims | {"scp": given})


# ------------------------------------------------------------------------------------------ keys


class Source:
    """The issuer's key set: answers, or is away. Counts the fetches."""

    def __init__(self) -> None:
        self.now, self.fetches = 0.0, 0
        self.kids: list[str] | None = ["rsa"]

    def fetch(self, _: str) -> bytes:
        self.fetches += 1
        if self.kids is None:
            raise OSError("away")
        keys = [key.as_dict(private=False) for key in KEYS.values() if key.kid in self.kids]
        return orjson.dumps({"keys": keys})

    def clock(self) -> float:
        return self.now


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def keys(source: Source) -> Iterator[jwks.KeySet]:
    yield jwks.KeySet("https://issuer.example", source.fetch, source.clock)


def knows(keys: jwks.KeySet, kid: str) -> bool:
    return asyncio.run(keys.key(kid)) is not None


def knows_at(source: Source, keys: jwks.KeySet, kid: str, second: float) -> bool:
    source.now = second
    return knows(keys, kid)


@pytest.mark.parametrize("is_away", [True, False], ids=["the issuer is away", "the issuer says so"])
def test_a_withdrawn_key_is_believed_for_five_minutes_at_most(
    source: Source, keys: jwks.KeySet, is_away: bool
) -> None:
    assert knows(keys, "rsa")
    source.kids = None if is_away else []
    seconds = [second for second in range(1_000) if knows_at(source, keys, "rsa", second)]
    assert 100 < seconds[-1] + jwks.RECHECK_SECONDS <= 300, "a verified token passes for that time, too"
    source.now = 86_400
    assert not knows(keys, "rsa")
    source.kids, source.now = ["rsa"], source.now + 31
    assert knows(keys, "rsa")


def test_a_failed_fetch_is_logged_with_the_time_that_is_left(
    source: Source, keys: jwks.KeySet, caplog: pytest.LogCaptureFixture
) -> None:
    assert knows(keys, "rsa")
    source.kids, source.now = None, 150.0
    with caplog.at_level(logging.WARNING):
        assert knows(keys, "rsa")
    assert "keys_not_fetched" in caplog.text
    assert "90" in caplog.text


def test_an_unknown_key_fetches_the_set_again_and_a_storm_of_them_once(
    source: Source, keys: jwks.KeySet
) -> None:
    assert knows(keys, "rsa")
    source.kids, source.now = ["rsa", "ec"], 31.0
    assert knows(keys, "ec")
    assert source.fetches == 2

    async def storm() -> list[Any]:
        return await asyncio.gather(*(keys.key(f"unknown {number}") for number in range(1_000)))

    source.now += 1
    assert set(asyncio.run(storm())) == {None}
    assert source.fetches == 2
    source.now += 30
    assert set(asyncio.run(storm())) == {None}
    assert source.fetches == 3


def test_the_age_of_keys_counts_from_the_begin_of_their_fetch(source: Source) -> None:
    def slow(url: str) -> bytes:
        answer = source.fetch(url)
        source.now += 8
        return answer

    keys = jwks.KeySet("https://issuer.example", slow, source.clock)
    assert knows(keys, "rsa")
    source.kids, source.now = None, 241.0
    assert not knows(keys, "rsa")
