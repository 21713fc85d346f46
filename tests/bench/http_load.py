"""Sends HTTP requests at little cost: they are built beforehand and sent on connections that stay open.

Each connection has one request in flight. The sender checks a response only for its status and one part of
its body.
"""

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from itertools import cycle
from typing import Any, NamedTuple

import uvloop

_TIMEOUT_SECONDS = 120.0  # for one response; a working API responds within seconds
_END_OF_HEAD = b"\r\n\r\n"
_LENGTH = b"content-length: "


class LoadRequest(NamedTuple):
    """The bytes of a request. The expected response begins with `status` and contains `body_part`."""

    content: bytes
    status: bytes
    body_part: bytes


class LoadResult(NamedTuple):
    """The measurements of a load.

    `latencies` are in seconds, unordered, and of expected responses only. `seconds` is the time from the
    first request to the last response, and `sender_seconds` the sender's CPU time within it.
    """

    latencies: list[float]
    unexpected: int
    seconds: float
    sender_seconds: float


def send_concurrently(ports: Sequence[int], requests: Sequence[LoadRequest], connections: int) -> LoadResult:
    """Send the next request on a connection as soon as it has its response.

    The ports have equally many of the connections, or one more.
    """
    return _run(ports, requests, [0.0] * len(requests), connections)


def send_at_rate(
    ports: Sequence[int], requests: Sequence[LoadRequest], rate: float, connections: int
) -> LoadResult:
    """Send requests at a rate per second, whether or not responses come. Latencies count from the plan."""
    return _run(ports, requests, [number / rate for number in range(len(requests))], connections)


def _run(
    ports: Sequence[int], requests: Sequence[LoadRequest], planned_times: Sequence[float], connections: int
) -> LoadResult:
    return uvloop.run(_Load(requests, planned_times).run(ports, connections))


class _Load:
    """Requests with their planned times, in seconds after the start. If all are 0, there is no plan."""

    def __init__(self, requests: Sequence[LoadRequest], planned_times: Sequence[float]) -> None:
        self._requests = requests
        self._planned_times = planned_times
        self._next = 0
        self._idle: deque[_Connection] = deque()
        self._latencies: list[float] = []
        self._unexpected = 0
        self._done = asyncio.Event()
        self._began = 0.0

    async def run(self, ports: Sequence[int], connections: int) -> LoadResult:
        loop = asyncio.get_running_loop()
        for _, port in zip(range(connections), cycle(ports), strict=False):
            _, connection = await loop.create_connection(lambda: _Connection(self), "127.0.0.1", port)
            self._idle.append(connection)
        self._began, busy = time.perf_counter(), time.process_time()
        self._send_due()
        async with asyncio.timeout(_TIMEOUT_SECONDS + self._planned_times[-1] + len(self._requests) / 20):
            await self._done.wait()
        took = time.perf_counter() - self._began
        for connection in self._idle:
            connection.close()
        return LoadResult(self._latencies, self._unexpected, took, time.process_time() - busy)

    def response_received(self, connection: "_Connection", planned_at: float, is_expected: bool) -> None:
        if is_expected:
            self._latencies.append(time.perf_counter() - planned_at)
        else:
            self._unexpected += 1
        self._idle.append(connection)
        if len(self._latencies) + self._unexpected == len(self._requests):
            self._done.set()
        elif not self._planned_times[-1]:
            self._send_due()

    def _send_due(self) -> None:
        """Send the requests that are due. One that waits for a connection is late, and the wait counts."""
        elapsed = time.perf_counter() - self._began
        while self._idle and self._next < len(self._requests) and self._planned_times[self._next] <= elapsed:
            planned = self._planned_times[self._next]
            planned_at = self._began + planned if planned else time.perf_counter()
            self._idle.popleft().send(self._requests[self._next], planned_at)
            self._next += 1
        if self._planned_times[-1] and self._next < len(self._requests):
            wait = max(self._began + self._planned_times[self._next] - time.perf_counter(), 0.0005)
            asyncio.get_running_loop().call_later(wait, self._send_due)


class _Connection(asyncio.Protocol):
    """Sends one request at a time and reads its response."""

    _transport: Any
    _request: LoadRequest

    def __init__(self, load: _Load) -> None:
        self._load = load
        self._received = b""
        self._planned_at = 0.0

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def send(self, request: LoadRequest, planned_at: float) -> None:
        self._request, self._planned_at = request, planned_at
        self._transport.write(request.content)

    def close(self) -> None:
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        received = self._received = self._received + data if self._received else data
        head = received.find(_END_OF_HEAD)
        if head < 0:
            return
        length = received.index(_LENGTH) + len(_LENGTH)
        if len(received) < head + len(_END_OF_HEAD) + int(received[length : received.index(b"\r", length)]):
            return
        self._received = b""
        is_expected = received.startswith(self._request.status) and self._request.body_part in received
        self._load.response_received(self, self._planned_at, is_expected)
