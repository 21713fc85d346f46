"""Runs the API and, in a thread with an event loop of its own, what operators ask (`admin`)."""

import gc
import resource
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import uvicorn

from pointledger.api import admin
from pointledger.api.app import create_app
from pointledger.api.auth.tokens import Tokens
from pointledger.api.connections import Connections
from pointledger.api.protocol import Protocol
from pointledger.api.starting import create_starting_app, wait_for_database
from pointledger.errors import AddressTaken
from pointledger.logs import Log
from pointledger.observability.heartbeat import Heartbeat, Process
from pointledger.settings import Settings

ADMIN_PORT = 9101
_GRACEFUL_SECONDS = 10  # for requests in progress when the server stops
# Connections that wait in the kernel, in one queue for all clients. When it is full, a client tries again a
# second later. So it is no longer than what the API accepts in a quarter of that time while it is busy.
_BACKLOG = 256
_ACCEPTED_PER_ROUND = 8  # each takes a tenth of a millisecond, little beside the turns of a round
_UNREAD_MS = 30_000  # a client that reads nothing for so long is gone; the same as for an idle connection
# A full collection while 3,000 requests wait takes 0.1 s, in which all others stand still. With Python's own
# thresholds (700, 10, 10) that was every other second, for a dozen objects (measured); now it is rare.
_GC_THRESHOLDS = (2_000, 10, 1_000)
_OTHER_DESCRIPTORS = 128  # database, Redis, broker, files, and the operators' port

_log = Log(__name__)


@contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """Open a listening socket. Raises AddressTaken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as bound:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if sys.platform == "linux":  # the kernel ends connections whose client takes no bytes
            bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNREAD_MS)
        try:
            bound.bind((host, port))
        except OSError as error:
            raise AddressTaken(f"{host}:{port}: {error.strerror}") from None
        bound.listen(_BACKLOG)
        yield bound


@contextmanager
def listening_for_operators(host: str, port: int | None) -> Iterator[socket.socket]:
    """Open the operators' socket: without a port on the usual one, or a free one if that is taken."""
    with ExitStack() as stack:
        try:
            bound = stack.enter_context(listening(host, ADMIN_PORT if port is None else port))
        except AddressTaken:
            if port is not None:
                raise
            bound = stack.enter_context(listening(host, 0))
        yield bound


def serve(
    settings: Settings, bound: socket.socket, for_operators: socket.socket, *, console: bool = False
) -> None:
    """Serve on both sockets until SIGTERM or SIGINT, with `console` also the console below /console. Until
    the database answers, that is 503.

    Raises what `wait_for_database` raises, and ConsoleNotConfigured.
    """
    settings = _with_descriptors(settings)
    heartbeat = Heartbeat(settings.health_folder, Process.API)
    server = server_of(settings, console=console)
    _notify(server, heartbeat)
    # Objects that exist now live until the end, so the garbage collector need not scan them again.
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)
    with admin.serving(admin_server_of(settings), for_operators):
        starting = _server(create_starting_app(), settings, "api")
        wait_for_database(settings, heartbeat, lambda: admin.serving(starting, bound.dup()))
        server.run(sockets=accepting(bound))


def accepting(bound: socket.socket) -> list[socket.socket]:
    """Return the socket several times, because the loop accepts one connection of each in a round."""
    return [bound, *(bound.dup() for _ in range(_ACCEPTED_PER_ROUND - 1))]


def serve_console(settings: Settings, bound: socket.socket, for_operators: socket.socket) -> None:
    """Serve the console alone, and what operators ask, until SIGTERM or SIGINT. Raises as `serve` does."""
    settings = _with_descriptors(settings)
    heartbeat = Heartbeat(settings.health_folder, Process.CONSOLE)
    server = console_server_of(settings)
    _notify(server, heartbeat)
    with admin.serving(admin_server_of(settings), for_operators):
        starting = _server(create_starting_app(), settings, "console")
        wait_for_database(settings, heartbeat, lambda: admin.serving(starting, bound.dup()))
        server.run(sockets=accepting(bound))


def server_of(settings: Settings, *, console: bool = False) -> uvicorn.Server:
    """Create the server without starting it. Raises NotConfigured without an issuer and its keys, and
    ConsoleNotConfigured."""
    Tokens(settings)
    api = create_app(settings)
    if not console:
        return _server(api, settings, "api")
    from pointledger.api.console.mounting import with_console  # noqa: PLC0415  an extra of its own

    pages = _console(settings)
    return _with_streams(pages, _server(with_console(api, pages), settings, "api"))


def console_server_of(settings: Settings) -> uvicorn.Server:
    """Create the server of the console alone, without starting it. Raises ConsoleNotConfigured."""
    pages = _console(settings)
    return _with_streams(pages, _server(pages, settings, "console"))


def _console(settings: Settings) -> Any:
    from pointledger.api.console.app import create_console  # noqa: PLC0415  an extra of its own
    from pointledger.api.console.configuration import configuration_of  # noqa: PLC0415

    configuration_of(settings)
    return create_console(settings)


def _notify(server: uvicorn.Server, heartbeat: Heartbeat) -> None:
    """Let the server's loop beat: it stands still if anything blocks it."""

    async def beat() -> None:
        heartbeat.beat()

    server.config.callback_notify, server.config.timeout_notify = beat, 1


def _with_streams(pages: Any, server: uvicorn.Server) -> uvicorn.Server:
    """Let the console's streams notice that the server stops; it would wait for them."""
    pages.state.is_stopping = lambda: server.should_exit
    return server


def admin_server_of(settings: Settings) -> uvicorn.Server:
    """Create the operators' server without starting it."""
    few = {
        "http_connections": admin.MOST_CONNECTIONS,
        "http_idle_connections_per_address": admin.MOST_CONNECTIONS,
    }
    return _server(admin.create_admin_app(settings), settings.model_copy(update=few), "operators")


def _server(app: Any, settings: Settings, port: str) -> uvicorn.Server:
    protocol: Any = partial(Protocol, Connections(settings, port))
    config = uvicorn.Config(
        app,
        http=protocol,
        loop="uvloop",
        ws="none",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,  # `api/auth/client_address.py` reads them, and only from known proxies
        backlog=_BACKLOG,
        timeout_keep_alive=settings.http_keep_alive_seconds,
        timeout_graceful_shutdown=_GRACEFUL_SECONDS,
    )
    return uvicorn.Server(config)


def _with_descriptors(settings: Settings) -> Settings:
    """Let the process open as many connections as the settings say, or as the system allows."""
    wanted = settings.http_connections + _OTHER_DESCRIPTORS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return settings
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    if allowed == wanted:
        return settings
    connections = max(2, allowed - _OTHER_DESCRIPTORS)
    _log.warning("few_descriptors", action="http", connections=connections, wanted=settings.http_connections)
    return settings.model_copy(update={"http_connections": connections})
