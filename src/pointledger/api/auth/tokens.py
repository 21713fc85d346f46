"""Authenticates requests by bearer token. Every invalid token gets the same response."""

import math
import re
import time
from typing import Any

import jwt

from pointledger.api.auth.jwks import ALGORITHMS, RECHECK_SECONDS, KeySet
from pointledger.api.auth.permissions import SCOPES, Principal
from pointledger.api.schemas.envelope import Problem
from pointledger.domain.values.actor import is_machine_name
from pointledger.domain.values.fields import entity_id
from pointledger.errors import NotConfigured
from pointledger.settings import Settings

MOST_TOKEN_BYTES = 8 * 1024  # checked before decoding
LEEWAY_SECONDS = 30  # for clocks that differ
_TYPES = ("at+jwt", "application/at+jwt", "jwt", "application/jwt")  # or none, as many issuers send
_CACHE_SIZE = 10_000  # tokens; verifying a signature takes a fifth of a millisecond
_CACHE_SECONDS = RECHECK_SECONDS  # how long the tokens of a key that is gone can still pass
_SCOPE_CLAIMS = ("scope", "scp", "scopes")
_REQUIRED = ["exp", "iat", "iss", "aud", "sub"]
_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")


class Unauthenticated(Problem):
    """The token is missing or invalid."""

    def __init__(self) -> None:
        super().__init__(401, "a valid bearer token is required", headers={"WWW-Authenticate": "Bearer"})


class Tokens:
    """Verifies tokens of one issuer for one audience."""

    def __init__(self, settings: Settings, keys: KeySet | None = None) -> None:
        if not (settings.http_issuer and settings.http_keys):
            raise NotConfigured(
                "set POINTLEDGER_HTTP_ISSUER and POINTLEDGER_HTTP_KEYS: the issuer of tokens and its keys"
            )
        self._keys = keys or KeySet(settings.http_keys)
        self._issuer = settings.http_issuer
        self._audience = settings.http_audience
        self._most_seconds = settings.http_token_seconds
        self._services = settings.http_services
        self._cache: dict[str, tuple[Principal, float]] = {}

    async def principal(self, headers: list[str]) -> Principal:
        """Return the principal of the Authorization header. Raises Unauthenticated."""
        token = _token(headers)
        now = time.time()
        cached = self._cache.get(token)
        if cached and now < cached[1]:
            return cached[0]
        claims = await self._claims(token)
        principal = self._principal(claims)
        if len(self._cache) >= _CACHE_SIZE:
            self._cache.clear()
        self._cache[token] = principal, min(float(claims["exp"]), now + _CACHE_SECONDS)
        return principal

    def remembered(self, header: str) -> Principal | None:
        """Return the principal of an Authorization header whose token was checked before, else None."""
        cached = self._cache.get(header.partition(" ")[2])
        return cached[0] if cached else None

    async def _claims(self, token: str) -> dict[str, Any]:
        try:
            header = jwt.get_unverified_header(token)
            if str(header.get("typ", "jwt")).lower() not in _TYPES or "crit" in header:
                raise Unauthenticated
            kid = header.get("kid")
            key = await self._keys.key(kid) if isinstance(kid, str | None) else None
            if key is None or key.algorithm not in ALGORITHMS or header.get("alg") != key.algorithm:
                raise Unauthenticated
            claims = jwt.decode(
                token,
                key.key,
                algorithms=[key.algorithm],
                issuer=self._issuer,
                audience=self._audience,
                leeway=LEEWAY_SECONDS,
                options={"require": _REQUIRED},
            )
        except (jwt.PyJWTError, ValueError, TypeError, ArithmeticError, RecursionError):
            raise Unauthenticated from None
        self._check_claims(claims)
        return claims

    def _check_claims(self, claims: dict[str, Any]) -> None:
        """Check what PyJWT does not: finite numbers, a bounded lifetime."""
        moments = [claims["exp"], claims["iat"], claims.get("nbf", 0)]
        is_valid = (
            all(type(moment) in (int, float) and math.isfinite(moment) for moment in moments)
            and 0 < claims["exp"] - claims["iat"] <= self._most_seconds
        )
        if not is_valid:
            raise Unauthenticated

    def _principal(self, claims: dict[str, Any]) -> Principal:
        """Return who the claims name. The settings alone decide who is a service, and what it may do."""
        subject, tenant_id = _id(claims["sub"]), _id(claims.get("tenant_id"))
        rights = self._services.get(subject)
        if rights is not None:
            kinds = rights.kinds if tenant_id in rights.tenants else frozenset()
            return Principal(subject, tenant_id, kinds=kinds, is_service=True)
        if is_machine_name(subject):  # issuers sign names that their users may choose
            raise Unauthenticated
        return Principal(subject, tenant_id, scopes=_scopes(claims))


def _id(claim: object) -> str:
    try:
        return entity_id(claim if isinstance(claim, str) else "")
    except ValueError:
        raise Unauthenticated from None


def _token(headers: list[str]) -> str:
    scheme, _, token = headers[0].partition(" ") if len(headers) == 1 else ("", "", "")
    if scheme.lower() != "bearer" or len(token) > MOST_TOKEN_BYTES or not _COMPACT.fullmatch(token):
        raise Unauthenticated
    return token


def _scopes(claims: dict[str, Any]) -> frozenset[str]:
    """Return the known scopes from `scope` (RFC 9068), `scp` and `scopes`: text or a list, as issuers differ.

    Only a space separates two scopes of a text. An entry of a list is one scope.
    """
    found: set[str] = set()
    for name in _SCOPE_CLAIMS:
        given = claims.get(name)
        if isinstance(given, str):
            given = given.split(" ")
        if not isinstance(given, list | None):
            raise Unauthenticated
        found.update(scope for scope in given or () if isinstance(scope, str))
    return SCOPES & found
