"""Streams: what changes while a page is open, as server-sent events. A page has one at most.

A stream looks every few seconds in a thread and sends the part only if it has changed. It ends with its
session, when the page is closed, when the server stops, and after some minutes, from which the browser comes
back by itself. A process has so many at most, and a session a few, so that pages which people forget in tabs
cost little. Beyond that the page stays as it is, which works without scripts, too.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Literal, NamedTuple

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from pointledger.api.console import problems
from pointledger.api.console.session import Session
from pointledger.api.console.state import ConsoleState
from pointledger.api.console.visit import Visit, visit_of
from pointledger.errors import LedgerError
from pointledger.storage.errors import DATABASE_ERRORS

MOST = 100  # streams of a process: at two seconds each, fifty looks per second
MOST_OF_SESSION = 4  # tabs that a person watches at once
_LIFE_SECONDS = 600.0  # then the browser connects again, so rights and tenants are checked anew
_SILENCE_SECONDS = 15.0  # proxies close connections on which nothing comes for a minute
_STOP_SECONDS = 0.5  # within which a stream notices that the server stops

_EVENTS = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # nginx would keep the events back
}


class Part(NamedTuple):
    """What a stream shows now. `end`: nothing more will change; the page stays, or loads itself again."""

    html: str
    end: Literal["", "stay", "reload"] = ""


class StreamRoute(NamedTuple):
    """A stream at a path below the tenant's. `look` runs in a thread, every so many `seconds`."""

    path: str
    permission: str
    look: Callable[[Visit], Part]
    seconds: float


class Streams:
    """The streams of one process."""

    def __init__(self) -> None:
        self._of_session: Counter[str] = Counter()

    def take(self, session: Session) -> None:
        """Count a stream. Raises ConsoleProblem 429 if there are too many."""
        if self._of_session.total() >= MOST or self._of_session[session.id] >= MOST_OF_SESSION:
            raise problems.problem(
                429, "Too many live pages are open. This one stays as it is; load it again."
            )
        self._of_session[session.id] += 1

    def give_back(self, session: Session) -> None:
        """Count it no longer."""
        self._of_session[session.id] -= 1
        if not self._of_session[session.id]:
            del self._of_session[session.id]


def stream_endpoint(route: StreamRoute) -> Callable[[Request], Awaitable[Response]]:
    """Return Starlette's endpoint for a stream."""

    async def respond(request: Request) -> Response:
        console: ConsoleState = request.app.state.console
        session: Session | None = request.state.session
        if session is None:
            return Response(status_code=401)
        visit = await visit_of(request, session, route.permission)
        streams: Streams = request.app.state.streams
        streams.take(session)
        return StreamingResponse(_events(console, streams, visit, route), headers=_EVENTS)

    return respond


async def _events(
    console: ConsoleState, streams: Streams, visit: Visit, route: StreamRoute
) -> AsyncIterator[str]:
    try:
        sent, sent_at, began = None, time.monotonic(), time.monotonic()
        while time.monotonic() - began < _LIFE_SECONDS and await _goes_on(console, visit.session):
            part = await _look(console, visit, route)
            if part is not None and part.html != sent:
                sent, sent_at = part.html, time.monotonic()
                yield _event("part", part.html)
            elif time.monotonic() - sent_at > _SILENCE_SECONDS:
                sent_at = time.monotonic()
                yield ": still here\n\n"
            if part is not None and part.end:
                yield _event("end", part.end)
                return
            await _pause(visit.request, route.seconds)
    finally:
        streams.give_back(visit.session)


async def _goes_on(console: ConsoleState, session: Session) -> bool:
    return time.time() < session.ends_at and not await console.sessions.is_ended(session)


async def _look(console: ConsoleState, visit: Visit, route: StreamRoute) -> Part | None:
    """Return the part, or None while the ledger does not answer: the page keeps what it shows."""
    try:
        return await console.run(console.reads, lambda: route.look(visit))
    except (LedgerError, *DATABASE_ERRORS):
        return None


async def _pause(request: Request, seconds: float) -> None:
    """Wait, but not longer than the server: a stream that goes on would delay its end."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        if request.app.state.is_stopping():
            raise asyncio.CancelledError
        await asyncio.sleep(min(left, _STOP_SECONDS))


def _event(name: str, text: str) -> str:
    lines = "".join(f"data: {line}\n" for line in text.splitlines() or [""])
    return f"event: {name}\n{lines}\n"
