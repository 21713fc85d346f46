"""Runs uvicorn with stricter limits on headers, and without upgrades of the protocol."""

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

_HEADER_SECONDS = 10  # a client that has not sent its headers by then is stuck or hostile
_GRACEFUL_SECONDS = 10  # for requests in progress when the server stops
_BACKLOG = 2048  # connections that the kernel queues; uvicorn's default


class Protocol(HttpToolsProtocol):
    """Closes connections whose headers take too long or are too large, and ignores `Upgrade`.

    Java's HttpClient sends `Upgrade: h2c` with its first request. RFC 9110 (7.8) allows a server to ignore
    it. The parser, however, treats it as the end of HTTP and drops the body. So a request with `Upgrade` is
    parsed twice: first for its headers, then without the `Upgrade` header.
    """

    _header_timer: asyncio.TimerHandle | None = None
    _header_bytes = 0
    _has_upgrade = False

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._start_header_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_header_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        try:
            while data:
                data = self._feed(data)
        except httptools.HttpParserError:
            self.send_400_response("")

    def _feed(self, data: bytes) -> bytes:
        """Parse the data. After an `Upgrade` header, return the bytes to parse next."""
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            method, version = self.parser.get_method(), self.parser.get_http_version().encode()
            if method == b"CONNECT":  # asks for a tunnel, not for an upgrade, and this server has none
                raise httptools.HttpParserError("CONNECT") from None
            self.parser = httptools.HttpRequestParser(self)
            self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as in uvicorn
            head = b" ".join((method, self.url, b"HTTP/" + version))
            return b"\r\n".join((head, *self._headers_without_upgrade(), b"", data[upgrade.args[0] :]))
        return b""

    def _headers_without_upgrade(self) -> Iterator[bytes]:
        for name, value in self.headers:
            if name != b"upgrade":  # without it `Connection: Upgrade` has no effect
                yield name + b": " + value

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._header_bytes = 0
        self._has_upgrade = False
        self._start_header_timer()

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        self._header_bytes += len(url)
        if self._header_bytes > 2 * MOST_ADDRESS_BYTES:  # the middleware answers up to twice the limit
            self._respond_and_close(Problem(414, "the URL is too long"))

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        self._header_bytes += len(name) + len(value)
        if self._header_bytes > 2 * MOST_HEADER_BYTES:
            self._respond_and_close(Problem(431, "the headers are too large"))

    def on_headers_complete(self) -> None:
        self._stop_header_timer()
        self._has_upgrade = self.parser.should_upgrade()
        if not self._has_upgrade and not self.transport.is_closing():
            super().on_headers_complete()

    def on_message_complete(self) -> None:
        if not self._has_upgrade:
            super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer malformed HTTP in the format of every other error."""
        self._respond_and_close(Problem(400, "the request is not well-formed HTTP"))

    def _start_header_timer(self) -> None:
        self._stop_header_timer()
        self._header_timer = self.loop.call_later(_HEADER_SECONDS, self.transport.close)

    def _stop_header_timer(self) -> None:
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None

    def _respond_and_close(self, problem: Problem) -> None:
        if self.transport.is_closing():
            return
        response = problem.response()
        lines = [
            f"HTTP/1.1 {response.status_code} {HTTPStatus(response.status_code).phrase}".encode(),
            b"Connection: close",
        ]
        lines += [name + b": " + value for name, value in response.raw_headers]
        self.transport.write(b"\r\n".join(lines) + b"\r\n\r\n" + bytes(response.body))
        self.transport.close()


@contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """Open a listening socket. Raises AddressTaken."""
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
    """Serve on the socket until SIGTERM or SIGINT."""
    server = server_of(settings)
    # Objects that exist now live until the end, so the garbage collector need not scan them again.
    gc.collect()
    gc.freeze()
    server.run(sockets=[bound])


def server_of(settings: Settings) -> uvicorn.Server:
    """Create the server without starting it. Raises NotConfigured without an issuer and its keys."""
    Tokens(settings)
    config = uvicorn.Config(
        create_app(settings),
        http=Protocol,
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
