"""Loads the issuer's public keys from a file or a URL. Each key is bound to one algorithm."""

import asyncio
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt
import orjson
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from pointledger.errors import NotConfigured
from pointledger.logs import Log

ALGORITHMS = ("EdDSA", "ES256", "RS256")  # asymmetric: this server can verify but not sign
_MIN_RSA_BITS = 2048
_MAX_BYTES = 256 * 1024
_CONNECT_SECONDS = 4  # for each read of the connection, too
_FETCH_SECONDS = 10.0  # for the whole answer, so that a slow issuer cannot keep callers waiting
_REFETCH_SECONDS = 30.0  # between fetches, so that tokens with unknown key ids cannot cause more
BELIEVED_SECONDS = 300.0  # how long a key that the issuer has withdrawn is believed at most
RECHECK_SECONDS = 60.0  # how long a verified token passes before its key is looked up again
_FRESH_SECONDS = 120.0  # after this the keys are fetched again, and meanwhile still used
_STALE_SECONDS = BELIEVED_SECONDS - RECHECK_SECONDS  # after this the keys are no longer used

_log = Log(__name__)


@dataclass(frozen=True, slots=True)
class VerifyingKey:
    """A public key and the algorithm it is for."""

    kid: str | None
    algorithm: str
    key: Any


class KeySet:
    """The keys of one source, refreshed as they age. Without keys, no token is valid."""

    def __init__(
        self,
        source: str,
        fetch: Callable[[str], bytes] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = source
        self._fetch = fetch or _fetch
        self._clock = clock
        self._keys: tuple[VerifyingKey, ...] = ()
        self._fetched_at = self._tried_at = float("-inf")
        self._fetching = asyncio.Lock()

    async def key(self, kid: str | None) -> VerifyingKey | None:
        """Return the key with this id, or without an id the only key. None if there is no such key."""
        now = self._clock()
        if now - self._fetched_at > _FRESH_SECONDS or self._find(kid) is None:
            await self._refetch()
        if self._clock() - self._fetched_at > _STALE_SECONDS:
            return None
        return self._find(kid)

    def _find(self, kid: str | None) -> VerifyingKey | None:
        if kid is None:
            return self._keys[0] if len(self._keys) == 1 else None
        return next((key for key in self._keys if key.kid == kid), None)

    async def _refetch(self) -> None:
        """Fetch the keys, one fetch at a time. Concurrent callers use the first one's result.

        If it fails, the keys stay in use until they are stale. Their age counts from the fetch's begin,
        because the issuer can withdraw a key while the answer is on its way.
        """
        async with self._fetching:
            began = self._clock()
            if began - self._tried_at < _REFETCH_SECONDS:
                return
            self._tried_at = began
            try:
                fetching = asyncio.to_thread(self._fetch, self._source)
                self._keys = read_keys(await asyncio.wait_for(fetching, _FETCH_SECONDS))
                self._fetched_at = began
            except (OSError, ValueError) as error:  # TimeoutError is an OSError
                left = max(0.0, self._fetched_at + _STALE_SECONDS - self._clock())
                _log.warning(
                    "keys_not_fetched",
                    action="fetch_keys",
                    error=type(error).__name__,
                    used_for_seconds=round(left),
                )


def read_keys(raw: bytes) -> tuple[VerifyingKey, ...]:
    """Parse a JWK set or a PEM, and return the usable keys. Raises ValueError."""
    if raw.lstrip().startswith(b"-----BEGIN"):
        key = load_pem_public_key(raw)
        found = [VerifyingKey(None, algorithm, key) if (algorithm := _algorithm(key)) else None]
    else:
        document = orjson.loads(raw)
        given = document.get("keys") if isinstance(document, dict) else None
        if not isinstance(given, list):
            raise ValueError("neither a PEM nor a JWK set")
        found = [_from_jwk(jwk) for jwk in given]
    return tuple(key for key in found if key)


def _from_jwk(jwk: Any) -> VerifyingKey | None:
    if not isinstance(jwk, dict) or jwk.get("use", "sig") != "sig":
        return None
    try:
        key = jwt.PyJWK(jwk).key
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
    algorithm, kid = _algorithm(key), jwk.get("kid")
    if algorithm is None or jwk.get("alg", algorithm) != algorithm or not isinstance(kid, str | None):
        return None
    return VerifyingKey(kid, algorithm, key)


def _algorithm(key: object) -> str | None:
    """Return the algorithm for this type of key, or None if it is unsupported, as all secrets are."""
    match key:
        case ed25519.Ed25519PublicKey():
            return "EdDSA"
        case ec.EllipticCurvePublicKey() if isinstance(key.curve, ec.SECP256R1):
            return "ES256"
        case rsa.RSAPublicKey() if key.key_size >= _MIN_RSA_BITS:
            return "RS256"
    return None


def _fetch(source: str) -> bytes:
    """Read the file or the URL. Raises OSError."""
    if "://" not in source:
        return Path(source).read_bytes()[:_MAX_BYTES]
    if not source.startswith(("https://", "http://127.0.0.1:", "http://localhost:")):
        raise NotConfigured("POINTLEDGER_HTTP_KEYS must be an https URL or a file")
    with urllib.request.urlopen(source, timeout=_CONNECT_SECONDS) as response:  # noqa: S310  (the scheme is checked above)
        content: bytes = response.read(_MAX_BYTES)
        return content
