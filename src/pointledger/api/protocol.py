"""One connection: uvicorn's HTTP/1.1 with stricter limits, and without upgrades of the protocol."""

import asyncio
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from pointledger.api.connections import Connections
from pointledger.api.middleware import MOST_ADDRESS_BYTES, MOST_HEADER_BYTES
from pointledger.api.schemas.envelope import Problem

_HEADER_SECONDS = 10  # a client that has not sent its headers by then is stuck or hostile
_RETRY_SECONDS = 1
_MOST_PIPELINED = 16  # requests behind the current one; one read can hold 14,000, which take 30 MB


class Protocol(HttpToolsProtocol):
    """Closes connections that are idle, or whose headers take too long or are too large; ignores `Upgrade`.

    A timer runs whenever no request is in progress: for the headers after the first byte of a request, else
    for keeping the connection alive. Bytes that begin no request do not stop it, such as an empty line, or
    the rest of a body that the server does not read.

    Java's HttpClient sends `Upgrade: h2c` with its first request. RFC 9110 (7.8) allows a server to ignore
    it. The parser, however, treats it as the end of HTTP and drops the body. So a request with `Upgrade` is
    parsed twice: first for its headers, then without the `Upgrade` header.
    """

    _header_timer: asyncio.TimerHandle | None = None
    _header_bytes = 0
    _has_upgrade = False
    _is_full = False  # of pipelined requests; the connection ends after them

    def __init__(self, connections: Connections, **given: Any) -> None:
        super().__init__(**given)
        self._connections = connections

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        if not self._connections.open(self, self.client[0] if self.client else "unknown"):
            self._respond_and_close(Problem(503, "too many connections", retry_after=_RETRY_SECONDS))
            return
        self._start_header_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_header_timer()
        self._unset_keepalive_if_required()
        self._connections.close(self)
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Note that the client takes its response slowly."""
        super().pause_writing()
        self._connections.idle(self)

    def abort(self) -> None:
        """Close the connection at once, because another one needs its place."""
        self.transport.abort()

    def data_received(self, data: bytes) -> None:
        if self._is_full:
            return
        try:
            while data:
                data = self._feed(data)
        except httptools.HttpParserError:
            if not self._is_full:
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
        if len(self.pipeline) >= _MOST_PIPELINED:
            self._is_full = True
            last, _ = self.pipeline[0]  # uvicorn adds at the left
            last.keep_alive = False  # its response says `Connection: close`, so the client repeats the rest
            raise httptools.HttpParserError("too many pipelined requests")
        super().on_message_begin()
        self._unset_keepalive_if_required()
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
        self._unset_keepalive_if_required()
        self._has_upgrade = self.parser.should_upgrade()
        if not self._has_upgrade and not self.transport.is_closing():
            super().on_headers_complete()

    def on_message_complete(self) -> None:
        if self._has_upgrade:
            return
        if self.cycle is not None and not self.cycle.response_complete:
            self._connections.busy(self)
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.cycle.response_complete:
            principal = self.cycle.scope["state"].get("principal")
            self._connections.idle(self, principal.tenant_id if principal else "")

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
