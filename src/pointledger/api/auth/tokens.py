"""Who asks: bearer tokens, checked to the letter. Whatever is wrong with one, the answer is the same."""

import math
import re
import time
from typing import Any

import jwt

from pointledger.api.auth.jwks import ALGORITHMS, Keys
from pointledger.api.auth.permissions import Principal
from pointledger.api.schemas.envelope import Problem
from pointledger.domain.values.fields import ENTITY_ID
from pointledger.errors import NotConfigured
from pointledger.settings import ServiceRights, Settings

MOST_TOKEN_BYTES = 8 * 1024  # looked at before anything is decoded
LEEWAY_SECONDS = 30  # clocks differ
_TYPES = ("at+jwt", "application/at+jwt", "jwt")
_SERVICE = "svc:"
_REMEMBERED = 10_000  # tokens; checking a signature again costs a fifth of a millisecond
_REMEMBERED_SECONDS = 60.0  # a key that was withdrawn is believed no longer
_REQUIRED = ["exp", "iat", "iss", "aud", "sub"]
_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")


class Unauthenticated(Problem):
    """No token, or one that is not believed."""

    def __init__(self) -> None:
        super().__init__(401, "a valid bearer token is needed", headers={"WWW-Authenticate": "Bearer"})


class Tokens:
    """Believes tokens of one issuer for one audience."""

    def __init__(self, settings: Settings, keys: Keys | None = None) -> None:
        if not (settings.http_issuer and settings.http_keys):
            raise NotConfigured("POINTLEDGER_HTTP_ISSUER and POINTLEDGER_HTTP_KEYS: whose tokens to believe")
        self._keys = keys or Keys(settings.http_keys)
        self._issuer = settings.http_issuer
        self._audience = settings.http_audience
        self._most_seconds = settings.http_token_seconds
        self._services = settings.http_services
        self._known: dict[str, tuple[Principal, float]] = {}

    async def principal(self, headers: list[str]) -> Principal:
        """Whom the Authorization headers name. Raises Unauthenticated."""
        token = _token(headers)
        now = time.time()
        known = self._known.get(token)
        if known and now < known[1]:
            return known[0]
        claims = await self._claims(token)
        principal = self._principal(claims)
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        self._known[token] = principal, min(float(claims["exp"]), now + _REMEMBERED_SECONDS)
        return principal

    async def _claims(self, token: str) -> dict[str, Any]:
        try:
            header = jwt.get_unverified_header(token)
            if str(header.get("typ", "")).lower() not in _TYPES or "crit" in header:
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
        self._check(claims)
        return claims

    def _check(self, claims: dict[str, Any]) -> None:
        """What PyJWT leaves open: an audience beside ours, numbers that are none, tokens without an end."""
        moments = [claims["exp"], claims["iat"], claims.get("nbf", 0)]
        sound = (
            claims["aud"] in (self._audience, [self._audience])
            and all(type(moment) in (int, float) and math.isfinite(moment) for moment in moments)
            and 0 < claims["exp"] - claims["iat"] <= self._most_seconds
        )
        if not sound:
            raise Unauthenticated

    def _principal(self, claims: dict[str, Any]) -> Principal:
        subject, tenant_id = claims["sub"], claims.get("tenant_id")
        for name in (subject, tenant_id):
            if not isinstance(name, str) or not ENTITY_ID.fullmatch(name):
                raise Unauthenticated
        assert isinstance(tenant_id, str)
        if subject.startswith(_SERVICE):
            rights = self._services.get(subject, ServiceRights(tenants=frozenset(), kinds=frozenset()))
            kinds = rights.kinds if tenant_id in rights.tenants else frozenset()
            return Principal(subject, tenant_id, kinds=kinds, is_service=True)
        return Principal(subject, tenant_id, scopes=_scopes(claims))


def _token(headers: list[str]) -> str:
    scheme, _, token = headers[0].partition(" ") if len(headers) == 1 else ("", "", "")
    if scheme.lower() != "bearer" or len(token) > MOST_TOKEN_BYTES or not _COMPACT.fullmatch(token):
        raise Unauthenticated
    return token


def _scopes(claims: dict[str, Any]) -> frozenset[str]:
    """`scope`, words in one text (RFC 9068), or `scopes`, a list."""
    listed = claims.get("scopes", [])
    told = claims.get("scope", "")
    if not isinstance(told, str) or not isinstance(listed, list):
        raise Unauthenticated
    return frozenset(told.split()) | {scope for scope in listed if isinstance(scope, str)}
