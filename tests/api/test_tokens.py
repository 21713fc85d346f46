"""Tokens: cases 1 to 20 and 22 of the corpus. Every invalid token gets the same 401."""

import base64
import time
from collections.abc import Callable
from typing import Any

import httpx
import joserfc.jwt
import jwt
import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from jwt.algorithms import OKPAlgorithm

from pointledger.api.auth.jwks import read_keys
from tests.api.environment import ApiEnvironment
from tests.api.issuer import AUDIENCE, ISSUER, KID, Issuer


def _b64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _unsigned(issuer: Issuer, **header: Any) -> str:
    return f"{_b64(orjson.dumps(header))}.{_b64(orjson.dumps(issuer.claims('anna')))}."


def _hs256_with_the_public_key(issuer: Issuer) -> str:
    """Algorithm confusion: the public key as a shared secret."""
    public = issuer.key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return jwt.encode(issuer.claims("anna"), public, "HS256", {"kid": KID})


def _own_key(issuer: Issuer, **header: Any) -> str:
    """Return a token that an attacker has signed."""
    return jwt.encode(issuer.claims("anna"), Ed25519PrivateKey.generate(), "EdDSA", {"kid": KID} | header)


def _with_own_jwk(issuer: Issuer) -> str:
    key = Ed25519PrivateKey.generate()
    jwk = OKPAlgorithm.to_jwk(key.public_key(), as_dict=True)
    return jwt.encode(issuer.claims("anna"), key, "EdDSA", {"jwk": jwk, "jku": "http://127.0.0.1:9/"})


def _signed_raw(issuer: Issuer, payload: bytes, **header: Any) -> str:
    head = {"alg": "EdDSA", "typ": "JWT", "kid": KID} | header
    signed = f"{_b64(orjson.dumps(head))}.{_b64(payload)}"
    return f"{signed}.{_b64(issuer.key.sign(signed.encode()))}"


def _claims(**changed: Any) -> Callable[[Issuer], str]:
    return lambda issuer: issuer.signed(issuer.claims("anna") | changed)


def _without(name: str) -> Callable[[Issuer], str]:
    return lambda issuer: issuer.signed(
        {key: value for key, value in issuer.claims("anna").items() if key != name}
    )


def _header(**changed: Any) -> Callable[[Issuer], str]:
    return lambda issuer: issuer.signed(issuer.claims("anna"), **changed)


NOW = int(time.time())  # when the module is imported; tests may run much later
BAD: dict[str, Callable[[Issuer], str]] = {
    "3 alg none": lambda issuer: _unsigned(issuer, alg="none", typ="JWT", kid=KID),
    "4 HS256 with the public key": _hs256_with_the_public_key,
    "5 own jwk and jku": _with_own_jwk,
    "5 own key under the issuer's kid": _own_key,
    "6 unknown crit": _header(crit=["surprise"], surprise=True),
    "7 unknown kid": _header(kid="another"),
    "8 kid as a path": _header(kid="../../etc/passwd"),
    "8 kid as SQL": _header(kid="' OR 1=1--"),
    "8 kid not a text": lambda issuer: _signed_raw(issuer, orjson.dumps(issuer.claims("anna")), kid=7),
    "9 expired": _claims(iat=NOW - 600, exp=NOW - 31),
    "10 not yet": _claims(nbf=NOW + 43_200),
    "10 issued tomorrow": _claims(iat=NOW + 86_400, exp=NOW + 86_500),
    "11 no aud": _without("aud"),
    "11 no iss": _without("iss"),
    "no exp": _without("exp"),
    "no iat": _without("iat"),
    "no sub": _without("sub"),
    "no tenant": _without("tenant_id"),
    "12 wrong aud": _claims(aud="somebody"),
    "13 iss with more behind": _claims(iss=ISSUER + "/evil"),
    "13 iss with less": _claims(iss=ISSUER[:-1]),
    "14 aud of others": _claims(aud=["somebody", AUDIENCE + "/"]),
    "14 aud with a number": _claims(aud=[AUDIENCE, 7]),
    "15 iat 1970": _claims(iat=0),
    "15 iat 1e309": lambda issuer: _signed_raw(
        issuer, orjson.dumps(issuer.claims("anna")).replace(b'"iat":', b'"iat":1e309,"old":')
    ),
    "15 iat text": _claims(iat="x"),
    "exp true": _claims(exp=True),
    "exp in a thousand years": _claims(exp=NOW + 31_557_600_000),
    "sub not an id": _claims(sub="an\nna"),
    "sub with a lone surrogate": lambda issuer: _signed_raw(
        issuer, orjson.dumps(issuer.claims("anna")).replace(b'"anna"', b'"\\ud800"')
    ),
    "sub too long": _claims(sub="x" * 256),
    **{
        f"sub not a person's: {name}": _claims(sub=name, scope="points:admin")
        for name in ("service", "job", "policy", "sweep", "operator", "svc:unlisted", "cli:root", "erased:00")
    },
    "sub a number": _claims(sub=7),
    "tenant not an id": _claims(tenant_id="shop\x00"),
    "scopes not a list": _claims(scopes={"points:admin": True}),
    "typ of another token": _header(typ="id+jwt"),
    "16 a long one": _claims(more="x" * 8192),
    "17 nested": lambda issuer: _signed_raw(issuer, b"[" * 3000),
    "18 JWE": lambda _: ".".join(["eyJhbGciOiJkaXIifQ"] * 5),
    "19 no signature": lambda issuer: issuer.admin().rpartition(".")[0] + ".",
    "19 signature of zeros": lambda issuer: issuer.admin().rpartition(".")[0] + "." + _b64(bytes(64)),
    "20 another algorithm": lambda issuer: _signed_raw(
        issuer, orjson.dumps(issuer.claims("anna")), alg="ES256"
    ),
    "not base64": lambda _: "a.b.c",
    "payload not an object": lambda issuer: _signed_raw(issuer, b"[]"),
    "payload not JSON": lambda issuer: _signed_raw(issuer, b"\xff"),
}


def is_refused(answer: httpx.Response) -> bool:
    return answer.status_code == 401 and answer.headers["www-authenticate"] == "Bearer"


@pytest.fixture(scope="module")
def protected_path(api: ApiEnvironment) -> str:
    """A path that an invalid token must not reach."""
    api.earn("anna", 1)
    return "/points/anna"


def test_clocks_may_differ_by_thirty_seconds(api: ApiEnvironment, protected_path: str) -> None:
    now = int(time.time())
    for moments in ({"exp": now - 10, "iat": now - 600}, {"iat": now + 20}):
        token = api.issuer.signed(api.issuer.claims("anna", scope="points:read") | moments)
        assert api.get(protected_path, token).status_code == 200


@pytest.mark.parametrize("name", BAD)
def test_an_invalid_token_is_401(api: ApiEnvironment, protected_path: str, name: str) -> None:
    token = BAD[name](api.issuer)
    answer = api.get(protected_path, token)

    assert is_refused(answer), answer.text
    assert token[:50] not in answer.text


@pytest.mark.parametrize("scheme", ["", "Bearer", "Basic YTpi", "Token x", "Bearer a b"])
def test_1_2_a_missing_token_is_401(api: ApiEnvironment, protected_path: str, scheme: str) -> None:
    headers = {"Authorization": scheme} if scheme else {}
    assert is_refused(api.client.get(protected_path, headers=headers))


def test_2_two_tokens_are_401(api: ApiEnvironment, protected_path: str) -> None:
    header = ("Authorization", f"Bearer {api.issuer.user('anna')}")
    assert api.client.get(protected_path, headers=[header]).status_code == 200
    assert is_refused(api.client.get(protected_path, headers=[header, header]))


@pytest.mark.parametrize(
    "given",
    [
        {"aud": [AUDIENCE]},
        {"scope": "", "scopes": ["points:read"]},
        {"nbf": NOW - 1},
        {"iat": float(NOW) + 0.5},
    ],
    ids=["audiences as a list", "scopes as a list", "valid since a second", "issued at a fraction of one"],
)
def test_a_valid_token_is_accepted(api: ApiEnvironment, protected_path: str, given: dict[str, Any]) -> None:
    token = api.issuer.signed(api.issuer.claims("anna", scope="points:read") | given)
    assert api.get(protected_path, token).status_code == 200


STRICTER_CHECKS = (
    "iat 1970",
    "thousand years",
    "sub not",
    "sub with",
    "sub too",
    "tenant",
    "scopes",
    "typ of",
    "aud with",
    "long",
)


@pytest.mark.filterwarnings("ignore:EdDSA is deprecated")
@pytest.mark.parametrize("name", [name for name in BAD if not any(part in name for part in STRICTER_CHECKS)])
def test_another_library_rejects_the_same_tokens(api: ApiEnvironment, name: str) -> None:
    """joserfc also rejects them, except for checks that only this API makes."""
    registry = joserfc.jwt.JWTClaimsRegistry(
        leeway=30,
        iss={"essential": True, "value": ISSUER},
        aud={"essential": True, "value": AUDIENCE},
        sub={"essential": True},
        exp={"essential": True},
        iat={"essential": True},
    )
    keys = KeySet.import_key_set(orjson.loads(api.issuer.jwks()))
    with pytest.raises((JoseError, ValueError, TypeError, OverflowError, AttributeError, RecursionError)):
        registry.validate(joserfc.jwt.decode(BAD[name](api.issuer), keys, algorithms=["EdDSA"]).claims)


def test_keys_are_bound_to_one_algorithm_and_secrets_are_ignored(issuer: Issuer) -> None:
    curve = ec.generate_private_key(ec.SECP256R1()).public_key()
    other_curve = ec.generate_private_key(ec.SECP384R1()).public_key()
    short, long = (rsa.generate_private_key(65537, bits).public_key() for bits in (1024, 2048))

    def pem(key: Any) -> bytes:
        content: bytes = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        return content

    assert [key.algorithm for key in read_keys(pem(curve))] == ["ES256"]
    assert [key.algorithm for key in read_keys(pem(long))] == ["RS256"]
    assert [key.algorithm for key in read_keys(pem(issuer.key.public_key()))] == ["EdDSA"]
    assert read_keys(pem(short)) == read_keys(pem(other_curve)) == ()
    own = issuer.jwk()
    secret = {"kty": "oct", "k": "c2VjcmV0", "kid": "s", "alg": "HS256"}
    unusable = [own | {"alg": "RS256"}, own | {"use": "enc"}, own | {"kid": 7}, secret, "x", {"kty": "OKP"}]
    assert read_keys(orjson.dumps({"keys": unusable})) == ()
    assert [key.kid for key in read_keys(issuer.jwks())] == [KID]
