"""HTTP/1.1 on one connection: uvicorn's protocol, with less patience and a deaf ear for offers to upgrade."""

import asyncio
import gc
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

import httptools
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from pointledger.api.app import create_app
from pointledger.api.auth.tokens import Tokens
from pointledger.api.middleware import MOST_ADDRESS_BYTES, MOST_HEADER_BYTES
from pointledger.api.schemas.envelope import Problem
from pointledger.errors import AddressTaken
from pointledger.settings import Settings

_HEADER_SECONDS = 10  # a client that has not said by then what it wants, wants nothing


class Protocol(HttpToolsProtocol):
    """Ends connections whose headers do not come to an end, in time or in size.

    An offer to upgrade (`Upgrade: h2c`, which Java's HttpClient makes with its first request) is ignored, as
    RFC 9110 (7.8) allows. The parser, however, takes it for the end of HTTP and drops the body. So a request
    with an offer is parsed twice: the first time for its headers, the second time without the offer.
    """

    _patience: asyncio.TimerHandle | None = None
    _header_bytes = 0
    _offers_upgrade = False

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._wait_for_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        self._headers_are_there()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        try:
            while data:
                data = self._feed(data)
        except httptools.HttpParserError:
            self.send_400_response("")

    def _feed(self, data: bytes) -> bytes:
        """Parses; gives what is to be parsed next, after an offer to upgrade."""
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as offer:
            method, version = self.parser.get_method(), self.parser.get_http_version().encode()
            if method == b"CONNECT":  # no offer: what follows is a tunnel, and there is none here
                raise httptools.HttpParserError("CONNECT") from None
            self.parser = httptools.HttpRequestParser(self)
            self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn has it
            head = b" ".join((method, self.url, b"HTTP/" + version))
            return b"\r\n".join((head, *self._headers_without_offer(), b"", data[offer.args[0] :]))
        return b""

    def _headers_without_offer(self) -> Iterator[bytes]:
        for name, value in self.headers:
            if name != b"upgrade":  # without it `Connection: Upgrade` offers nothing
                yield name + b": " + value

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._header_bytes = 0
        self._offers_upgrade = False
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
        self._offers_upgrade = self.parser.should_upgrade()
        if not self._offers_upgrade and not self.transport.is_closing():
            super().on_headers_complete()

    def on_message_complete(self) -> None:
        if not self._offers_upgrade:
            super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP is answered in the form of every other answer."""
        self._end(Problem(400, "the request is not well-formed HTTP"))

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
        lines = [
            f"HTTP/1.1 {answer.status_code} {HTTPStatus(answer.status_code).phrase}".encode(),
            b"Connection: close",
        ]
        lines += [name + b": " + value for name, value in answer.raw_headers]
        self.transport.write(b"\r\n".join(lines) + b"\r\n\r\n" + bytes(answer.body))
        self.transport.close()


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
        proxy_headers=False,  # `api/auth/client_address.py` looks at them, where they may matter
        backlog=_BACKLOG,
        timeout_keep_alive=settings.http_keep_alive_seconds,
        timeout_graceful_shutdown=_GRACEFUL_SECONDS,
    )
    return uvicorn.Server(config)
