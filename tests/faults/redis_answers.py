"""A proxy in front of a real Redis, which can answer like one in a state that ours cannot be brought into.

It understands enough of the protocol to tell commands apart. In such a state it answers those that the server
would refuse, and passes the others on, such as those of a login.
"""

import asyncio
from contextlib import suppress

from tests.chaos.proxy import Proxy

_OF_A_LOGIN = frozenset({b"AUTH", b"HELLO", b"CLIENT", b"SELECT", b"INFO", b"COMMAND"})
_WITHOUT_KEYS = _OF_A_LOGIN | {b"PING", b"PUBLISH", b"SUBSCRIBE", b"UNSUBSCRIBE", b"SCRIPT"}
_PASSED = {b"LOADING": _OF_A_LOGIN, b"CLUSTERDOWN": _WITHOUT_KEYS, b"TRYAGAIN": _WITHOUT_KEYS}
_ABORTED = b"-EXECABORT Transaction discarded because of previous errors.\r\n"


class RedisInFront:
    """Listens on `port`, and passes all commands on until `answer` is called."""

    def __init__(self, port_of_server: int) -> None:
        self._port_of_server = port_of_server
        self._error = b""
        self._connections: set[asyncio.StreamWriter] = set()
        self._proxy = Proxy()
        self.refused = 0  # commands
        self.port = self._proxy.do(self._listen())

    def answer(self, error: str = "") -> None:
        """Answer with this error from now on, or none. An error begins with the end of all connections."""
        self._proxy.do(self._answer(error.encode()))

    def stop(self) -> None:
        self._proxy.stop()

    async def _listen(self) -> int:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        found: int = server.sockets[0].getsockname()[1]
        return found

    async def _answer(self, error: bytes) -> None:
        self._error = error
        if error:
            for writer in self._connections:
                writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.add(writer)
        with suppress(OSError, EOFError):
            back, there = await asyncio.open_connection("127.0.0.1", self._port_of_server)
            pump = asyncio.create_task(_pump(back, writer))
            try:
                while command := await _command(reader):
                    name, raw = command
                    if self._passes(name):
                        there.write(raw)
                    else:
                        writer.write(self._refusal(name))
                    await asyncio.gather(there.drain(), writer.drain())
            finally:
                pump.cancel()
                there.close()
        self._connections.discard(writer)
        writer.close()

    def _passes(self, name: bytes) -> bool:
        return not self._error or name in _PASSED[self._error.split()[0]]

    def _refusal(self, name: bytes) -> bytes:
        """Return what a server answers: the commands of a transaction are refused, and then all of it."""
        self.refused += 1
        if name in (b"MULTI", b"DISCARD"):
            return b"+OK\r\n"
        return _ABORTED if name == b"EXEC" else b"-" + self._error + b"\r\n"


async def _command(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Return the next command's name and bytes. Raises EOFError."""
    raw = await reader.readuntil(b"\r\n")
    words = []
    for _ in range(int(raw[1:])):
        head = await reader.readuntil(b"\r\n")
        words.append(await reader.readexactly(int(head[1:]) + 2))
        raw += head + words[-1]
    return words[0].strip().upper(), raw


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    writer.close()
