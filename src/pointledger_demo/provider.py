"""A small OpenID Connect provider for `./dev run` and the tests: one click logs in as a person with a role.

It speaks the real protocol (authorization code, PKCE, signed ID tokens, a key set), and knows no passwords:
anyone who reaches it can be anyone. So it listens on loopback only.
"""

import base64
import html
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qsl, urlencode

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

CLIENT_ID = "pointledger-console"
CLIENT_SECRET = "only for development"  # noqa: S105  (it protects nothing: there are no passwords either)
_CODE_SECONDS = 60
_TOKEN_SECONDS = 300
_MOST_CODES = 1_000  # logins that were begun and not ended


@dataclass(frozen=True, slots=True)
class Person:
    """Someone who can log in."""

    subject: str
    name: str
    roles: tuple[str, ...]
    tenants: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Code:
    person: Person
    nonce: str
    challenge: str
    redirect_uri: str
    ends_at: float


class Provider:
    """The provider at `issuer`, for one client that may be sent back to `callback`."""

    def __init__(self, issuer: str, callback: str, people: Sequence[Person]) -> None:
        self.issuer = issuer
        self._callback = callback
        self._people = {person.subject: person for person in people}
        self._codes: dict[str, _Code] = {}
        self.rotate()

    def rotate(self) -> None:
        """Sign with a new key from now on. Tokens of the old one are no longer valid."""
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._kid = secrets.token_hex(8)

    def app(self) -> Starlette:
        """Return the ASGI application."""
        return Starlette(
            routes=[
                Route("/.well-known/openid-configuration", self._describe),
                Route("/keys", self._keys),
                Route("/authorize", self._authorize),
                Route("/token", self._token, methods=["POST"]),
                Route("/logout", self._logout),
            ]
        )

    async def _describe(self, _: Request) -> Response:
        return JSONResponse(
            {
                "issuer": self.issuer,
                "authorization_endpoint": f"{self.issuer}/authorize",
                "token_endpoint": f"{self.issuer}/token",
                "jwks_uri": f"{self.issuer}/keys",
                "end_session_endpoint": f"{self.issuer}/logout",
                "response_types_supported": ["code"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["ES256"],
                "code_challenge_methods_supported": ["S256"],
                "token_endpoint_auth_methods_supported": ["client_secret_basic"],
            }
        )

    async def _keys(self, _: Request) -> Response:
        public = ECAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        return JSONResponse({"keys": [public | {"kid": self._kid, "use": "sig", "alg": "ES256"}]})

    async def _authorize(self, request: Request) -> Response:
        """Show the people, or log one of them in."""
        asked = request.query_params
        expected = {
            "client_id": CLIENT_ID,
            "redirect_uri": self._callback,
            "response_type": "code",
            "code_challenge_method": "S256",
        }
        if any(asked.get(name) != value for name, value in expected.items()):
            return Response("this is no login of the console", 400)
        if "openid" not in asked.get("scope", "").split() or not asked.get("code_challenge"):
            return Response("the login needs the scope openid and PKCE", 400)
        back = {"state": asked.get("state", ""), "iss": self.issuer}
        if "cancel" in asked:
            return RedirectResponse(f"{self._callback}?{urlencode(back | {'error': 'access_denied'})}", 303)
        person = self._people.get(asked.get("person", ""))
        if person is None:
            return HTMLResponse(_page(self._people.values(), request))
        code = secrets.token_urlsafe(24)
        while len(self._codes) >= _MOST_CODES:
            self._codes.pop(next(iter(self._codes)))
        ends_at = time.monotonic() + _CODE_SECONDS
        self._codes[code] = _Code(
            person, asked.get("nonce", ""), asked["code_challenge"], self._callback, ends_at
        )
        return RedirectResponse(f"{self._callback}?{urlencode(back | {'code': code})}", 303)

    async def _token(self, request: Request) -> Response:
        """Exchange a code for an ID token, once."""
        fields = dict(parse_qsl((await request.body()).decode()))
        given = f"{CLIENT_ID}:{CLIENT_SECRET}".encode()
        if request.headers.get("authorization") != f"Basic {base64.b64encode(given).decode()}":
            return JSONResponse({"error": "invalid_client"}, 401)
        code = self._codes.pop(fields.get("code", ""), None)
        digest = sha256(fields.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        is_valid = (
            code is not None
            and fields.get("grant_type") == "authorization_code"
            and fields.get("redirect_uri") == code.redirect_uri
            and challenge == code.challenge
            and time.monotonic() < code.ends_at
        )
        if code is None or not is_valid:
            return JSONResponse({"error": "invalid_grant"}, 400)
        token = {
            "access_token": secrets.token_urlsafe(24),
            "token_type": "Bearer",
            "expires_in": _TOKEN_SECONDS,
        }
        return JSONResponse(token | {"id_token": self.id_token(code.person, code.nonce)})

    def id_token(self, person: Person, nonce: str, **claims: Any) -> str:
        """Return a signed ID token of a person. `claims` replace its own."""
        now = int(time.time())
        own = {
            "iss": self.issuer,
            "aud": CLIENT_ID,
            "sub": person.subject,
            "name": person.name,
            "roles": list(person.roles),
            "tenants": list(person.tenants),
            "nonce": nonce,
            "iat": now,
            "exp": now + _TOKEN_SECONDS,
        }
        return jwt.encode(own | claims, self._key, "ES256", {"kid": self._kid})

    async def _logout(self, request: Request) -> Response:
        """Nothing is kept about people who have logged in, so nothing has to be ended."""
        back = request.query_params.get("post_logout_redirect_uri", "")
        origin = self._callback.partition("/console/")[0]
        return RedirectResponse(back if back == f"{origin}/console" else f"{origin}/console", 303)


def _page(people: Any, request: Request) -> str:
    """Return the page on which one click logs in. What comes from the request is escaped."""
    asked = [(name, value) for name, value in request.query_params.multi_items() if name != "person"]
    links = "".join(
        f'<li><a href="?{html.escape(urlencode([*asked, ("person", person.subject)]))}">'
        f"{html.escape(person.name)}</a> {html.escape(', '.join(person.roles))}</li>"
        for person in people
    )
    cancel = html.escape(urlencode([*asked, ("cancel", "1")]))
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark"><title>Log in for development</title></head>
<body><main><h1>Who are you?</h1>
<p>This provider is for development: one click logs in, without a password.</p>
<ul>{links}</ul><p><a href="?{cancel}">Cancel</a></p></main></body></html>"""
