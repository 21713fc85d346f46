"""The chaos proxy: TCP links that can be slow, refuse, break, fall silent, or lose the reply to COMMIT.

One event loop in a thread carries all links. Each connection of the system has a link of its own: a client's
to Postgres, a worker's to Valkey, and so on. `injected` counts the effects of faults.
"""

import asyncio
import re
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")

_CHUNK_BYTES = 1 << 16
_ANSWER_SECONDS = 60.0  # for the loop to run a coroutine
_COMMITTED = b"COMMIT\0"  # Postgres' reply
_INSERTED = re.compile(rb"INSERT 0 [1-9][0-9]*\x00Z\x00{3}\x05I$")  # the same for a lone statement
_BLOCKED = re.compile(rb"\x01\x00\x00.{4}\x00\x0a\x00\x3c", re.DOTALL)  # RabbitMQ's frame connection.blocked
_AT_ONCE = struct.pack("ii", 1, 0)  # linger for no time: closing sends a reset


class Proxy:
    """The event loop of all links, in a thread."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Run the coroutine in the loop, and return its result."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(_ANSWER_SECONDS)

    def stop(self) -> None:
        self.do(self._cancel_all())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(_ANSWER_SECONDS)

    async def _cancel_all(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)


class _Pair:
    """A connection through a link: the caller's side and the server's."""

    def __init__(self, caller: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self.caller, self.server = caller, server
        self.is_half_open = False

    def reset(self) -> None:
        _reset(self.caller)
        _reset(self.server)


class Link:
    """A link on a port of its own to the server that `leads_to` names. `port_of_server` may change."""

    def __init__(self, proxy: Proxy, name: str, port_of_server: int, *, leads_to: str = "") -> None:
        self.name = name
        self.leads_to = leads_to
        self.port_of_server = port_of_server
        self.injected: Counter[str] = Counter()
        self._proxy = proxy
        self._pairs: set[_Pair] = set()
        self._latency = 0.0
        self._silent: set[str] = set()  # directions in which no data pass: "there", "back"
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._healed = asyncio.Event()
        self._commits_to_cut = 0
        self._replies_to_lose = 0
        self._bytes_to_corrupt = 0
        self._refusing = False
        self._server: asyncio.Server | None = None
        self.port = proxy.do(self._listen(0))

    # ------------------------------------------------------------------------------------------ faults

    def slow(self, seconds: float) -> None:
        """Delay every piece in both directions by so many seconds; 0 heals."""
        self._latency = seconds

    def reset(self) -> int:
        """Reset every connection, and return how many there were."""
        return self._proxy.do(self._reset())

    def refuse(self, on: bool) -> None:
        """Refuse new connections and reset those that exist; False heals."""
        self._proxy.do(self._refuse(on))

    def silence(self, *directions: str) -> None:
        """Hold all data in these directions, without an error: a partition. Without directions, it ends."""
        self._proxy.do(self._silence(set(directions)))

    def half_open(self) -> int:
        """Close the server's side of each connection without notice to the caller; return how many."""
        return self._proxy.do(self._half_open())

    def cut_commits(self, count: int) -> None:
        """Lose the next replies that report a commit, and reset those connections."""
        self._commits_to_cut = count

    def lose_replies(self, count: int) -> None:
        """Reset the connection in place of each of the next replies: the request has had its effect."""
        self._replies_to_lose = count

    def corrupt(self, count: int) -> None:
        """Flip bits in each of the next pieces towards the caller."""
        self._bytes_to_corrupt = count

    def heal(self) -> None:
        """End all faults. Connections that lost data stay broken."""
        self._latency, self._commits_to_cut, self._bytes_to_corrupt = 0.0, 0, 0
        self.silence()
        self.refuse(False)
        self._proxy.do(self._heal())

    @property
    def connections(self) -> int:
        return len(self._pairs)

    @property
    def ports(self) -> set[int]:
        """The ports of its connections, as the server sees them."""
        found = set()
        for pair in list(self._pairs):
            with suppress(OSError):
                found.add(pair.server.get_extra_info("sockname")[1])
        return found

    # ------------------------------------------------------------------------------------- in the loop

    async def _listen(self, port: int) -> int:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", port, limit=_CHUNK_BYTES)
        found: int = self._server.sockets[0].getsockname()[1]
        return found

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there = await asyncio.open_connection("127.0.0.1", self.port_of_server, limit=_CHUNK_BYTES)
        except OSError:
            _reset(writer)
            return
        pair = _Pair(writer, there[1])
        self._pairs.add(pair)
        pumps = [
            asyncio.create_task(self._pump("there", pair, reader, pair.server, bytes)),
            asyncio.create_task(self._pump("back", pair, there[0], pair.caller, self._on_reply)),
        ]
        _, rest = await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        for pump in rest:
            pump.cancel()
        if pair.is_half_open:
            await self._healed.wait()  # then the caller's kernel has noticed
            pair.reset()
        self._pairs.discard(pair)
        for side in (pair.caller, pair.server):
            side.close()

    async def _pump(
        self,
        direction: str,
        pair: _Pair,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        pass_on: Callable[[bytes], bytes | None],
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(_CHUNK_BYTES):
                if self._latency:
                    self.injected["slow"] += 1
                    await asyncio.sleep(self._latency)
                while direction in self._silent:
                    self.injected["silence"] += 1
                    await self._flowing.wait()
                seen = pass_on(data)
                if seen is None:
                    pair.reset()
                    return
                writer.write(seen)
                await writer.drain()

    def _on_reply(self, data: bytes) -> bytes | None:
        if self.leads_to == "events":
            self.injected["blocked"] += len(_BLOCKED.findall(data))
        if self._commits_to_cut and _says_committed(data):
            self._commits_to_cut -= 1
            self.injected["cut"] += 1
            return None
        if self._replies_to_lose:
            self._replies_to_lose -= 1
            self.injected["lost"] += 1
            return None
        if self._bytes_to_corrupt:
            self._bytes_to_corrupt -= 1
            self.injected["corrupt"] += 1
            return data[:-1] + bytes([data[-1] ^ 0x41])
        return data

    async def _reset(self) -> int:
        found = list(self._pairs)
        for pair in found:
            pair.reset()
        self.injected["reset"] += len(found)
        return len(found)

    async def _refuse(self, on: bool) -> None:
        assert self._server is not None
        if on == self._refusing:
            return
        self._refusing = on
        if not on:
            await self._listen(self.port)
            return
        self._server.close()
        self.injected["refuse"] += await self._reset()

    async def _silence(self, directions: set[str]) -> None:
        self._silent = directions
        self._flowing.set()  # those that wait check again
        if directions:
            self._flowing = asyncio.Event()

    async def _heal(self) -> None:
        self._healed.set()

    async def _half_open(self) -> int:
        found = list(self._pairs)
        self._healed = asyncio.Event()
        for pair in found:
            pair.is_half_open = True
            _reset(pair.server)
        self.injected["half open"] += len(found)
        return len(found)


def _says_committed(reply: bytes) -> bool:
    return _COMMITTED in reply or bool(_INSERTED.search(reply))


def _reset(writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        sock: socket.socket = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
    writer.transport.abort()
