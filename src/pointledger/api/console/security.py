"""Middleware of the console: sizes, the session, rate limits and origins before a page; headers after it."""

import time

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pointledger.api import metrics
from pointledger.api.console import problems
from pointledger.api.console.addresses import ROOT
from pointledger.api.console.session import Session
from pointledger.api.console.state import ConsoleState
from pointledger.api.middleware import MOST_ADDRESS_BYTES, MOST_HEADER_BYTES
from pointledger.api.paths import path_for_routing
from pointledger.logs import Log

_SAFE = ("GET", "HEAD")
_METHODS = (*_SAFE, "POST")
_STATIC = f"{ROOT}/-/static/"
_SERVER_ERROR = 500

# Scripts, styles and data come from this server only, none of them inline. A form goes to this server only:
# what leads to the provider is a link. No other page may frame the console.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # addresses have ids; and `no-referrer` would make forms' Origin null
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "X-Frame-Options": "DENY",
}
_ONE_YEAR = "max-age=31536000"

_log = Log(__name__)


class Security:
    """Refuses what no page has asked for, and puts the session into the request's state."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        console: ConsoleState = scope["app"].state.console
        is_head = scope["method"] == "HEAD"
        inner = {**scope, "method": "GET"} if is_head else {**scope}
        inner["state"] = {**scope.get("state", {})}

        began = time.monotonic()

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                _add_headers(message, is_secure=console.configuration.is_secure)
                _count(inner["method"], message["status"], time.monotonic() - began)
            elif is_head:
                message = {**message, "body": b""}
            await send(message)

        problem = _malformed(inner) or await _unwelcome(console, inner)
        if problem:
            await problems.respond(console, inner, problem)(inner, receive, send_guarded)
        else:
            await self._app(inner, receive, send_guarded)


def _count(method: str, status: int, seconds: float) -> None:
    """Count an answer as the HTTP API does, all pages under one name."""
    metrics.REQUESTS.labels(method if method in _METHODS else "other", ROOT, str(status)).inc()
    metrics.SECONDS.labels(ROOT).observe(seconds)
    if status >= _SERVER_ERROR:
        _log.warning("answered", action="console", status=status, duration_ms=round(seconds * 1000))


def _add_headers(message: Message, *, is_secure: bool) -> None:
    headers = MutableHeaders(scope=message)
    for name, value in _HEADERS.items():
        headers[name] = value
    headers.setdefault("Cache-Control", "no-store")  # pages have personal data
    if is_secure:
        headers["Strict-Transport-Security"] = _ONE_YEAR


def _malformed(scope: Scope) -> problems.Shown | None:
    address = len(scope.get("raw_path") or b"") + len(scope["query_string"])
    if address > MOST_ADDRESS_BYTES:
        return problems.Shown(414, f"The address is longer than {MOST_ADDRESS_BYTES} bytes.")
    if sum(len(name) + len(value) for name, value in scope["headers"]) > MOST_HEADER_BYTES:
        return problems.Shown(431, f"The request's headers are larger than {MOST_HEADER_BYTES} bytes.")
    try:
        scope["path"] = path_for_routing(scope.get("raw_path") or b"/")
    except ValueError:  # UnicodeDecodeError
        return problems.Shown(400, "The address must be percent-encoded UTF-8.")
    return None


async def _unwelcome(console: ConsoleState, scope: Scope) -> problems.Shown | None:
    headers = Headers(scope=scope)
    session = await _session(console, headers)
    scope["state"]["session"] = session
    if scope["path"].startswith(_STATIC):
        return None
    if session:
        seconds = await console.by_session.take(session.id)
    elif scope["path"] in (ROOT, f"{ROOT}/-/login", f"{ROOT}/-/callback", f"{ROOT}/-/goodbye"):
        peer = scope["client"][0] if scope["client"] else "unknown"
        forwarded = headers.getlist(console.client_addresses.header)
        seconds = await console.by_address.take(console.client_addresses.client(peer, forwarded))
    else:
        seconds = None  # it only leads to the login, which is limited
    if seconds is not None:
        return problems.Shown(
            429, f"You ask faster than a person clicks. Try again in {seconds} s.", retry_after=seconds
        )
    if scope["method"] in _SAFE or _is_from_here(headers, console.configuration.origin):
        return None
    return problems.Shown(403, "This form was not sent from a page of the console, so nothing was changed.")


async def _session(console: ConsoleState, headers: Headers) -> Session | None:
    session = console.sessions.read(cookie_of(headers, console.sessions.cookie))
    return None if session is None or await console.sessions.is_ended(session) else session


def cookie_of(headers: Headers, name: str) -> str | None:
    """Return a cookie of the request."""
    for line in headers.getlist("cookie"):
        for part in line.split(";"):
            key, _, value = part.strip().partition("=")
            if key == name:
                return value
    return None


def _is_from_here(headers: Headers, origin: str) -> bool:
    """Return whether a page of the console has sent the request, as browsers say it.

    All of them send `Origin` with a form. Newer ones also send `Sec-Fetch-Site`, which no script can set.
    """
    if headers.get("sec-fetch-site", "same-origin") != "same-origin":
        return False
    return headers.getlist("origin") == [origin]
