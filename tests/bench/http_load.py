"""Requests over HTTP that cost their sender little: made beforehand, sent on connections that stay open, each
of which has one request under way; of an answer no more is read than whether it is the right one."""

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple

import uvloop

_GIVE_UP_SECONDS = 120.0  # for one answer; a gateway that works gives it within seconds
_END_OF_HEAD = b"\r\n\r\n"
_LENGTH = b"content-length: "


class Request(NamedTuple):
    """`sent`, to the byte; the answer begins with `status` and has `told` in it."""

    sent: bytes
    status: bytes
    told: bytes


class Found(NamedTuple):
    """`latencies` in seconds, of right answers only, in no order; `seconds`: from the first request to the
    last answer; `sender_seconds`: of them, what the sender itself kept a core busy."""

    latencies: list[float]
    wrong: int
    seconds: float
    sender_seconds: float


def at_once(port: int, requests: Sequence[Request], connections: int) -> Found:
    """Each connection sends its next request when it has its answer: as many under way as connections."""
    return _run(port, requests, [0.0] * len(requests), connections)


def by_timetable(port: int, requests: Sequence[Request], rate: float, connections: int) -> Found:
    """So many a second, whether or not answers come; a latency counts from the moment that was planned."""
    return _run(port, requests, [number / rate for number in range(len(requests))], connections)


def _run(port: int, requests: Sequence[Request], moments: Sequence[float], connections: int) -> Found:
    return uvloop.run(_Load(requests, moments).run(port, connections))


class _Load:
    """Requests, each with its moment in seconds after the beginning. Those of moment 0 come when they can."""

    def __init__(self, requests: Sequence[Request], moments: Sequence[float]) -> None:
        self._requests = requests
        self._moments = moments
        self._next = 0
        self._idle: deque[_Connection] = deque()
        self._latencies: list[float] = []
        self._wrong = 0
        self._done = asyncio.Event()
        self._began = 0.0

    async def run(self, port: int, connections: int) -> Found:
        loop = asyncio.get_running_loop()
        for _ in range(connections):
            _, connection = await loop.create_connection(lambda: _Connection(self), "127.0.0.1", port)
            self._idle.append(connection)
        self._began, busy = time.perf_counter(), time.process_time()
        self._send_what_is_due()
        async with asyncio.timeout(_GIVE_UP_SECONDS + self._moments[-1] + len(self._requests) / 20):
            await self._done.wait()
        took = time.perf_counter() - self._began
        for connection in self._idle:
            connection.close()
        return Found(self._latencies, self._wrong, took, time.process_time() - busy)

    def answered(self, connection: "_Connection", planned_at: float, right: bool) -> None:
        if right:
            self._latencies.append(time.perf_counter() - planned_at)
        else:
            self._wrong += 1
        self._idle.append(connection)
        if len(self._latencies) + self._wrong == len(self._requests):
            self._done.set()
        elif not self._moments[-1]:
            self._send_what_is_due()

    def _send_what_is_due(self) -> None:
        """What finds no connection waits for one, and that counts."""
        elapsed = time.perf_counter() - self._began
        while self._idle and self._next < len(self._requests) and self._moments[self._next] <= elapsed:
            moment = self._moments[self._next]
            planned_at = self._began + moment if moment else time.perf_counter()
            self._idle.popleft().send(self._requests[self._next], planned_at)
            self._next += 1
        if self._moments[-1] and self._next < len(self._requests):
            wait = max(self._began + self._moments[self._next] - time.perf_counter(), 0.0005)
            asyncio.get_running_loop().call_later(wait, self._send_what_is_due)


class _Connection(asyncio.Protocol):
    """Sends one request at a time and reads its answer."""

    _transport: Any
    _request: Request

    def __init__(self, load: _Load) -> None:
        self._load = load
        self._received = b""
        self._planned_at = 0.0

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def send(self, request: Request, planned_at: float) -> None:
        self._request, self._planned_at = request, planned_at
        self._transport.write(request.sent)

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
        right = received.startswith(self._request.status) and self._request.told in received
        self._load.answered(self, self._planned_at, right)
