"""The gateway as a process: uvicorn, with less patience than it has by itself."""

import gc
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from pointledger.errors import AddressTaken
from pointledger.http.app import create_app
from pointledger.http.protocol import Protocol
from pointledger.http.tokens import Tokens
from pointledger.settings import Settings

_GRACEFUL_SECONDS = 10  # to answer what is under way when told to stop
_BACKLOG = 2048


@contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """A socket that listens: whoever was told its port may connect. Raises AddressTaken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as bound:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            bound.bind((host, port))
        except OSError as error:
            raise AddressTaken(f"{host}:{port}: {error.strerror}") from None
        bound.listen(_BACKLOG)
        yield bound


def serve(settings: Settings, bound: socket.socket) -> None:
    """Serves on the socket until it is told to stop."""
    server = server_of(settings)
    # What is there now stays: the collector of garbage need not look through all of it again and again.
    gc.collect()
    gc.freeze()
    server.run(sockets=[bound])


def server_of(settings: Settings) -> uvicorn.Server:
    """The server, not started yet. Raises NotConfigured where nobody's tokens would be believed."""
    Tokens(settings)
    config = uvicorn.Config(
        create_app(settings),
        http=Protocol,
        loop="uvloop",
        ws="none",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,  # `callers.py` looks at them, where they may matter
        backlog=_BACKLOG,
        timeout_keep_alive=settings.http_keep_alive_seconds,
        timeout_graceful_shutdown=_GRACEFUL_SECONDS,
    )
    return uvicorn.Server(config)
