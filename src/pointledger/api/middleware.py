"""Middleware: size limits and the turn before the application; metrics, logs and the slot after it."""

import time
from typing import Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pointledger.api import metrics
from pointledger.api.paths import path_for_routing
from pointledger.api.schemas.envelope import Problem
from pointledger.api.state import ApiState
from pointledger.api.turns import Party
from pointledger.logs import Log

MOST_ADDRESS_BYTES = 8 * 1024
MOST_HEADER_BYTES = 32 * 1024  # a token may have 8 KiB
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_SERVER_ERROR = 500

_log = Log(__name__)


class Middleware:
    """Limits sizes, records metrics, logs failures, and gives back the slot that `guard` has taken.

    The slot ends with the beginning of the response, so that a client that reads slowly holds none.
    Answers HEAD as GET without the body.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._under_way = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = _SERVER_ERROR
        began = time.monotonic()
        is_head = scope["method"] == "HEAD"
        inner = {**scope, "method": "GET"} if is_head else {**scope}
        state = inner.setdefault("state", {})

        async def send_counted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                _release(state)
            elif is_head:
                message = {**message, "body": b""}
            await send(message)

        self._under_way += 1
        metrics.UNDER_WAY.set(self._under_way)
        try:
            if problem := self._problem(inner):
                await problem.response()(scope, receive, send_counted)
            else:
                await _turn(inner)
                await self._app(inner, receive, send_counted)
        finally:
            _release(state)
            self._under_way -= 1
            metrics.UNDER_WAY.set(self._under_way)
            self._count(scope["method"], inner, status, time.monotonic() - began)

    def _problem(self, scope: Scope) -> Problem | None:
        address = len(scope.get("raw_path") or b"") + len(scope["query_string"])
        if address > MOST_ADDRESS_BYTES:
            return Problem(414, f"the URL is longer than {MOST_ADDRESS_BYTES} bytes")
        if sum(len(name) + len(value) for name, value in scope["headers"]) > MOST_HEADER_BYTES:
            return Problem(431, f"the headers are larger than {MOST_HEADER_BYTES} bytes")
        return _route_by_segments(scope)

    def _count(self, method: str, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "none")
        label = method if method in _METHODS else "other"  # a client can send any method name
        metrics.REQUESTS.labels(label, route, str(status)).inc()
        metrics.SECONDS.labels(route).observe(seconds)
        if status >= _SERVER_ERROR:
            duration_ms = round(seconds * 1000)
            _log.warning("answered", action="http", route=route, status=status, duration_ms=duration_ms)


def _route_by_segments(scope: Scope) -> Problem | None:
    """Let the router see the borders of the segments that the client has sent."""
    raw_path = scope.get("raw_path") or b""
    if b"%" not in raw_path:
        return None
    try:
        scope["path"] = path_for_routing(raw_path)
    except ValueError:  # UnicodeDecodeError
        return Problem(400, "path: must be UTF-8, percent-encoded")
    return None


async def _turn(scope: Scope) -> None:
    """Wait until it is this request's turn to begin."""
    api: ApiState = scope["app"].state.api
    headers = Headers(scope=scope)
    principal = api.tokens.remembered(headers.get("authorization", ""))
    if principal:
        party = Party(True, principal.tenant_id, principal.subject)
    else:
        peer = scope["client"][0] if scope["client"] else "unknown"
        forwarded = headers.getlist(api.client_addresses.header)
        party = Party(False, api.client_addresses.client(peer, forwarded))
    await api.turns.take(party)


def _release(state: dict[str, Any]) -> None:
    """Give back the slot. It knows its place, so a second call does nothing."""
    if "release" in state:
        state.pop("release")()
