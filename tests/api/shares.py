"""Opens an API with small limits, takes its slots and connections, and reads how many are taken."""

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from pointledger.api import metrics
from tests.api.environment import ApiEnvironment
from tests.api.issuer import Issuer
from tests.waiting import wait_until

OpenApi = Callable[..., Any]


def under_way() -> float:
    return float(metrics.UNDER_WAY._value.get())


def slots_taken() -> float:
    return float(metrics.SLOTS._value.get())


def connections() -> float:
    return float(metrics.CONNECTIONS.labels("api")._value.get())


def is_open(connection: socket.socket) -> bool:
    """Read what came, and return whether the other side has not closed the connection."""
    connection.setblocking(False)
    try:
        while connection.recv(65536):
            pass
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def connected(api: ApiEnvironment, address: str = "127.0.0.1") -> socket.socket:
    return socket.create_connection(("127.0.0.1", api.port), timeout=30, source_address=(address, 0))


def request(
    path: str, token: str, method: str = "GET", body: bytes = b"", length: int | None = None
) -> bytes:
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
    if method == "POST":
        head += f"Content-Type: application/json\r\nContent-Length: {length or len(body)}\r\n"
    return head.encode() + b"\r\n" + body


@contextmanager
def waiting_commands(api: ApiEnvironment, issuer: Issuer, count: int) -> Iterator[list[socket.socket]]:
    """Let one user of a paused tenant send commands, which wait for their outcomes within the block."""
    api.ledger.client.pause("other")
    token = issuer.token("ann", "other", scope="points:write")
    with ExitStack() as stack:
        held = []
        for number in range(1, count + 1):
            held.append(stack.enter_context(connected(api, "127.0.0.2")))
            held[-1].sendall(request("/points/ann/spend", token, "POST", b'{"amount": 1}'))
            wait_until(lambda number=number: slots_taken() == number, "it has a slot")  # type: ignore[misc]
        wait_until(lambda: api.ledger.counts("pending") == [count], "all wait for their outcomes")
        try:
            yield held
        finally:
            api.ledger.client.resume("other")
            wait_until(lambda: slots_taken() == 0, "all have their outcomes")
