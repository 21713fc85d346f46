"""Keeps who has logged in: in a signed cookie, so every process knows it and no database does.

The cookie is `__Host-`, `Secure`, `HttpOnly` and `SameSite=Lax`, and ends after a few hours. Over http on
loopback, which only development uses, browsers refuse `__Host-` cookies, so there the name has no prefix.

A logout deletes the cookie, and notes the session in Redis until it would have ended, so that a copy of the
cookie is refused, too. While Redis is away, a copy is accepted again.
"""

import hmac
import secrets
import time
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Any

import redis.asyncio
from itsdangerous import BadData, URLSafeSerializer
from redis.exceptions import RedisError
from starlette.responses import Response

from pointledger.api.console.configuration import Configuration
from pointledger.domain.values.actor import PERSON_PREFIX
from pointledger.logs import Log, Outage

MOST_COOKIE_BYTES = 3_800  # browsers refuse cookies of more than 4,096, with name and attributes

_log = Log(__name__)


class SessionTooLarge(Exception):
    """The person has so many tenants that a browser would not keep the cookie."""


@dataclass(frozen=True, slots=True)
class Session:
    """Who has logged in, what they are, and whose pages they may see."""

    id: str
    subject: str
    name: str
    roles: tuple[str, ...]
    tenants: tuple[str, ...]
    ends_at: int
    """Seconds since 1970."""

    @property
    def actor(self) -> str:
        """The name that commands and the audit log record."""
        return PERSON_PREFIX + self.subject


class Sessions:
    """Makes, reads and ends sessions."""

    def __init__(
        self, configuration: Configuration, hours: float, client: redis.asyncio.Redis, prefix: str
    ) -> None:
        self._secure = configuration.is_secure
        self.cookie = "__Host-pointledger" if self._secure else "pointledger-console"
        self._serializer = URLSafeSerializer(configuration.key, "session", signer_kwargs=_SIGNING)
        self._key = configuration.key.encode()
        self._seconds = round(hours * 3600)
        self._client = client
        self._prefix = f"{prefix}:console-ended"
        self._redis = Outage(_log, "session")

    def begin(
        self, response: Response, *, subject: str, name: str, roles: tuple[str, ...], tenants: tuple[str, ...]
    ) -> Session:
        """Set the cookie of a new session. Raises SessionTooLarge."""
        ends_at = int(time.time()) + self._seconds
        session = Session(secrets.token_urlsafe(16), subject, name, roles, tenants, ends_at)
        text = self._serializer.dumps(asdict(session))
        content = text if isinstance(text, str) else text.decode()
        if len(content) > MOST_COOKIE_BYTES:
            raise SessionTooLarge
        set_cookie(response, self.cookie, content, self._seconds, secure=self._secure)
        return session

    def read(self, cookie: str | None) -> Session | None:
        """Return the session of a cookie, or None if it is forged, malformed or over."""
        if not cookie:
            return None
        try:
            fields: dict[str, Any] = self._serializer.loads(cookie)
            lists = {name: tuple(fields[name]) for name in ("roles", "tenants")}
            session = Session(**(fields | lists))
        except (BadData, TypeError, KeyError):
            return None
        return session if time.time() < session.ends_at else None

    async def is_ended(self, session: Session) -> bool:
        """Return whether its person has ended the session."""
        try:
            ended = bool(await self._client.exists(f"{self._prefix}:{session.id}"))
        except (RedisError, OSError) as error:
            self._redis.noticed(error)
            return False
        self._redis.over()
        return ended

    async def end(self, response: Response, session: Session) -> None:
        """Delete the cookie, and note that the session is over."""
        delete_cookie(response, self.cookie, secure=self._secure)
        seconds = max(1, session.ends_at - int(time.time()))
        try:
            await self._client.set(f"{self._prefix}:{session.id}", "1", ex=seconds)
        except (RedisError, OSError) as error:
            self._redis.noticed(error)

    def token(self, session: Session) -> str:
        """Return what a form must send along, so that only pages of this session can send one."""
        return hmac.new(self._key, f"form:{session.id}".encode(), sha256).hexdigest()

    def has_token(self, session: Session, token: str) -> bool:
        """Return whether a form has sent the session's token."""
        return hmac.compare_digest(self.token(session).encode(), token.encode())


_SIGNING = {"key_derivation": "hmac", "digest_method": sha256}


def set_cookie(response: Response, name: str, content: str, seconds: int, *, secure: bool) -> None:
    """Set a cookie that scripts cannot read, and that other sites' forms do not send."""
    response.set_cookie(name, content, seconds, path="/", secure=secure, httponly=True, samesite="lax")


def delete_cookie(response: Response, name: str, *, secure: bool) -> None:
    """Delete such a cookie."""
    response.delete_cookie(name, path="/", secure=secure, httponly=True, samesite="lax")
