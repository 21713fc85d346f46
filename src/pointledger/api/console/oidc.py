"""Speaks with the OpenID Connect provider: authorization code with PKCE, state and nonce.

The provider's description is fetched at the first login and kept for an hour, so the console starts and shows
pages while the provider is away. Its keys rotate: an unknown key is fetched (`auth/jwks`).
"""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx2
import jwt
import orjson
from authlib.integrations.base_client.errors import OAuthError
from authlib.integrations.httpx_client import AsyncOAuth2Client

from pointledger.api.auth.jwks import ALGORITHMS, KeySet
from pointledger.api.console.configuration import Configuration, is_trustworthy
from pointledger.domain.values.actor import PERSON_PREFIX
from pointledger.domain.values.fields import entity_id
from pointledger.logs import Log

SCOPE = "openid profile"
_SECONDS = 10.0  # for a request to the provider: people wait for it
_RETRY_SECONDS = 5.0  # after a failure: until then callers get the same answer at once
_FRESH_SECONDS = 3_600.0  # providers rarely change their endpoints, and keep the old ones for long
_LEEWAY_SECONDS = 30  # for clocks that differ
_MOST_NAME = 100  # characters; a longer name would only be cut on the screen
_REQUIRED = ["iss", "aud", "sub", "exp", "iat", "nonce"]
_ENDPOINTS = ("authorization_endpoint", "token_endpoint", "jwks_uri")

_log = Log(__name__)


class ProviderAway(Exception):
    """The provider does not answer, or not as one does."""


class LoginRefused(Exception):
    """The provider's answer does not prove who logs in. The text says why, for the person."""


@dataclass(frozen=True, slots=True)
class Description:
    """What the provider says about itself."""

    authorization_endpoint: str
    token_endpoint: str
    keys: KeySet
    end_session_endpoint: str | None
    auth_methods: tuple[str, ...]


class Provider:
    """The provider that the settings name."""

    def __init__(self, configuration: Configuration) -> None:
        self._configuration = configuration
        self._known: Description | None = None
        self._known_at = self._failed_at = float("-inf")
        self._fetching = asyncio.Lock()
        # One for all: making one reads the certificates of all authorities, which takes 30 ms.
        self._client = AsyncOAuth2Client(
            configuration.client_id,
            configuration.client_secret,
            scope=SCOPE,
            redirect_uri=configuration.callback,
            code_challenge_method="S256",
            timeout=_SECONDS,
        )

    async def close(self) -> None:
        """Close its connections."""
        await self._client.aclose()

    async def login_url(self, state: str, nonce: str, verifier: str) -> str:
        """Return the address at which a person logs in. Raises ProviderAway."""
        known = await self.description()
        url, _ = self._client.create_authorization_url(
            known.authorization_endpoint, state=state, nonce=nonce, code_verifier=verifier
        )
        return str(url)

    async def logout_url(self) -> str | None:
        """Return the address at which a person logs out of the provider, too, if it has one."""
        try:
            known = await self.description()
        except ProviderAway:
            return None
        if known.end_session_endpoint is None:
            return None
        wanted = {
            "client_id": self._configuration.client_id,
            "post_logout_redirect_uri": f"{self._configuration.origin}/console",
        }
        return str(httpx2.URL(known.end_session_endpoint).copy_merge_params(wanted))

    async def claims(self, code: str, nonce: str, verifier: str) -> dict[str, Any]:
        """Return the claims of the verified ID token for a code. Raises ProviderAway and LoginRefused."""
        known = await self.description()
        try:
            token = await self._client.fetch_token(
                known.token_endpoint,
                auth=self._client.client_auth(self._auth_method(known)),
                grant_type="authorization_code",
                code=code,
                code_verifier=verifier,
                redirect_uri=self._configuration.callback,
            )
        except OAuthError as error:
            _log.warning("code_refused", action="login", error=str(error.error)[:100])
            raise LoginRefused("the login took too long, or was used before") from None
        except (httpx2.HTTPError, ValueError) as error:
            raise _away("token_not_fetched", error) from None
        id_token = token.get("id_token") if isinstance(token, dict) else None
        if not isinstance(id_token, str):
            raise LoginRefused("the provider sent no ID token; it must support OpenID Connect")
        return await self._verified(known, id_token, nonce)

    async def _verified(self, known: Description, id_token: str, nonce: str) -> dict[str, Any]:
        """Verify signature, algorithm, issuer, audience, time and nonce."""
        client_id = self._configuration.client_id
        try:
            header = jwt.get_unverified_header(id_token)
            kid = header.get("kid")
            key = await known.keys.key(kid) if isinstance(kid, str | None) else None
            if key is None or key.algorithm not in ALGORITHMS or header.get("alg") != key.algorithm:
                raise LoginRefused("the ID token is not signed by a key of the provider")
            claims: dict[str, Any] = jwt.decode(
                id_token,
                key.key,
                algorithms=[key.algorithm],
                issuer=self._configuration.issuer,
                audience=client_id,
                leeway=_LEEWAY_SECONDS,
                options={"require": _REQUIRED},
            )
        except (jwt.PyJWTError, ValueError, TypeError, ArithmeticError, RecursionError) as error:
            _log.warning("id_token_refused", action="login", error=type(error).__name__)
            raise LoginRefused("the ID token is not valid, or not for this console") from None
        if claims["nonce"] != nonce:
            raise LoginRefused("the ID token belongs to another login")
        if isinstance(claims["aud"], list) and len(claims["aud"]) > 1 and claims.get("azp") != client_id:
            raise LoginRefused("the ID token was issued to another program")
        return claims

    async def description(self) -> Description:
        """Return what the provider says about itself, at most an hour old. Raises ProviderAway."""
        async with self._fetching:
            if self._known is not None and time.monotonic() - self._known_at < _FRESH_SECONDS:
                return self._known
            try:
                if time.monotonic() - self._failed_at < _RETRY_SECONDS:
                    raise ProviderAway
                found = await self._fetch()
            except ProviderAway:
                if time.monotonic() - self._failed_at >= _RETRY_SECONDS:
                    self._failed_at = time.monotonic()
                if self._known is None:
                    raise
                return self._known  # an older one is better than no login
            self._known, self._known_at = found, time.monotonic()
            return found

    async def _fetch(self) -> Description:
        issuer = self._configuration.issuer
        url = f"{issuer.rstrip('/')}/.well-known/openid-configuration"
        try:
            answer = await self._client.request("GET", url, withhold_token=True)
            document = orjson.loads(answer.raise_for_status().content)
        except (httpx2.HTTPError, ValueError) as error:
            raise _away("provider_not_described", error) from None
        if not isinstance(document, dict) or document.get("issuer") != issuer:
            raise _away("provider_has_another_issuer", None)
        given = {name: document.get(name) for name in _ENDPOINTS}
        if not all(isinstance(each, str) and is_trustworthy(each) for each in given.values()):
            raise _away("provider_has_no_safe_endpoints", None)
        ends = document.get("end_session_endpoint")
        methods = document.get("token_endpoint_auth_methods_supported")
        return Description(
            str(given["authorization_endpoint"]),
            str(given["token_endpoint"]),
            KeySet(str(given["jwks_uri"])),
            ends if isinstance(ends, str) and is_trustworthy(ends) else None,
            tuple(map(str, methods)) if isinstance(methods, list) else ("client_secret_basic",),
        )

    def _auth_method(self, known: Description) -> str:
        if not self._configuration.client_secret:
            return "none"
        supports_basic = "client_secret_basic" in known.auth_methods
        return "client_secret_basic" if supports_basic else "client_secret_post"


def _away(event: str, error: Exception | None) -> ProviderAway:
    _log.warning(event, action="login", error=type(error).__name__ if error else "none")
    return ProviderAway()


def subject_of(claims: Mapping[str, Any]) -> str:
    """Return the person's id at the provider. Raises LoginRefused if no command could have it as actor."""
    subject = claims["sub"]
    try:
        entity_id(PERSON_PREFIX + subject if isinstance(subject, str) and subject else "")
    except ValueError:
        raise LoginRefused("the person's id (sub) is too long or has control characters") from None
    return str(subject)


def name_of(claims: Mapping[str, Any]) -> str:
    """Return how the console greets the person."""
    for claim in ("name", "preferred_username", "email", "sub"):
        text = claims.get(claim)
        name = "".join(filter(str.isprintable, text)).strip() if isinstance(text, str) else ""
        if name:
            return name[:_MOST_NAME]
    raise AssertionError("`sub` was checked before")


def texts_of(claims: Mapping[str, Any], claim: str) -> tuple[str, ...]:
    """Return the texts of a claim: a list, or a text with spaces. A dot leads into an object."""
    found: Any = claims.get(claim)
    if found is None and "." in claim:
        found = claims
        for part in claim.split("."):
            found = found.get(part) if isinstance(found, Mapping) else None
    if isinstance(found, str):
        found = found.split()
    if not isinstance(found, list):
        return ()
    return tuple(dict.fromkeys(each for each in found if isinstance(each, str)))
