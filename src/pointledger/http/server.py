"""The gateway as a process: uvicorn, with less patience than it has by itself."""

import asyncio
import gc
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from pointledger.errors import AddressTaken
from pointledger.http.app import create_app
from pointledger.http.edge import MOST_ADDRESS_BYTES, MOST_HEADER_BYTES
from pointledger.http.envelope import Problem
from pointledger.http.tokens import Tokens
from pointledger.settings import Settings

_HEADER_SECONDS = 10  # whoever has not said by then what they want, wants nothing
_KEEP_ALIVE_SECONDS = 30
_GRACEFUL_SECONDS = 10  # to answer what is under way when told to stop
_BACKLOG = 2048


class ImpatientProtocol(HttpToolsProtocol):
    """Ends connections whose headers do not come to an end, in time or in size."""

    _patience: asyncio.TimerHandle | None = None
    _header_bytes = 0

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._wait_for_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        self._headers_are_there()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._header_bytes = 0
        self._wait_for_headers()

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        self._header_bytes += len(url)
        if self._header_bytes > 2 * MOST_ADDRESS_BYTES:  # the edge answers what is only a little too long
            self._end(Problem(414, "the address is too long"))

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        self._header_bytes += len(name) + len(value)
        if self._header_bytes > 2 * MOST_HEADER_BYTES:
            self._end(Problem(431, "the headers are too large"))

    def on_headers_complete(self) -> None:
        self._headers_are_there()
        if not self.transport.is_closing():
            super().on_headers_complete()

    def _wait_for_headers(self) -> None:
        self._headers_are_there()
        self._patience = self.loop.call_later(_HEADER_SECONDS, self.transport.close)

    def _headers_are_there(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _end(self, problem: Problem) -> None:
        if self.transport.is_closing():
            return
        answer = problem.answer()
        lines = [f"HTTP/1.1 {answer.status_code} Too Large".encode(), b"Connection: close"]
        lines += [name + b": " + value for name, value in answer.raw_headers]
        self.transport.write(b"\r\n".join(lines) + b"\r\n\r\n" + bytes(answer.body))
        self.transport.close()


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
        http=ImpatientProtocol,
        loop="uvloop",
        ws="none",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,  # whoever connects is who it is
        backlog=_BACKLOG,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=_GRACEFUL_SECONDS,
    )
    return uvicorn.Server(config)
