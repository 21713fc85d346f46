"""Sends as much as one tenant can, in its own process: `python -m tests.bench.flood KIND ...`.

It prints `ready` when it begins, and ends with SIGTERM. Refusals because of the backlog or the rate belong to
the load.
"""

import http.client
import json
import socket
import sys
import threading
import time
from typing import Any

from pointledger import ApplyRule, PointsClient
from pointledger.errors import BacklogFull
from pointledger.settings import Settings
from tests.bench.workload import EVENT_TYPE

_CALLS_PER_SECOND = 20
_PAUSE_SECONDS = 0.1  # after a refusal
_SENDERS = 4
_BATCH_ROWS = 2_000
_MOST_CONNECTIONS = 3_000  # this process cannot open many more files


def send_commands(tenant_id: str, rate: int, metadata: dict[str, Any]) -> None:
    """Send events at a rate per second."""
    chunk_size, number = max(rate // _CALLS_PER_SECOND, 1), 0
    with PointsClient.connect(Settings()) as client:
        print("ready", flush=True)
        began = time.monotonic()
        while True:
            commands = [
                ApplyRule(
                    tenant_id=tenant_id,
                    user_id=f"user-{(number + one) % 20_000}",
                    event_type=EVENT_TYPE,
                    metadata=metadata,
                )
                for one in range(chunk_size)
            ]
            number += chunk_size
            try:
                client.enqueue_many(commands)
            except BacklogFull:
                time.sleep(_PAUSE_SECONDS)
            time.sleep(max(began + number / rate - time.monotonic(), 0))


def send_batches(port: int, token: str) -> None:
    """Send batch-earns of 2,000 rows on several connections, as fast as the API accepts them."""
    rows = json.dumps({"items": [{"user_id": f"u{n}", "amount": 1} for n in range(_BATCH_ROWS)]})

    def send(sender: int) -> None:
        number = 0
        while True:
            connection = http.client.HTTPConnection("127.0.0.1", port)
            headers = {
                "Authorization": f"Bearer {token}",
                "Content-Type": "application/json",
                "X-Idempotency-Key": f"{sender}-{number}",
            }
            try:
                connection.request("POST", "/admin/points/batch-earn", rows, headers)
                refused = connection.getresponse().status >= http.HTTPStatus.BAD_REQUEST
            except (OSError, http.client.HTTPException):
                refused = True
            finally:
                connection.close()
            number += not refused
            if refused:
                time.sleep(_PAUSE_SECONDS)

    senders = [threading.Thread(target=send, args=(number,), daemon=True) for number in range(_SENDERS)]
    for sender in senders:
        sender.start()
    print("ready", flush=True)
    for sender in senders:
        sender.join()


def hold_connections(port: int, token: str) -> None:
    """Hold as many connections as possible, each with a request that waits for its outcome."""
    body = json.dumps({"amount": 1})
    head = f"Host: x\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n"
    request = f"POST /points/anna/earn HTTP/1.1\r\n{head}Content-Length: {len(body)}\r\n\r\n{body}".encode()
    held: list[socket.socket] = []
    print("ready", flush=True)
    while True:
        try:
            connection = socket.create_connection(("127.0.0.1", port), timeout=1)
            connection.sendall(request)
            held.append(connection)
        except OSError:
            time.sleep(_PAUSE_SECONDS)
        if len(held) > _MOST_CONNECTIONS:
            held.pop(0).close()


def main(arguments: list[str]) -> None:
    match arguments:
        case ["commands", tenant_id, rate, metadata]:
            send_commands(tenant_id, int(rate), json.loads(metadata))
        case ["batches", port, token]:
            send_batches(int(port), token)
        case ["connections", port, token]:
            hold_connections(int(port), token)
        case _:
            raise SystemExit(f"flood: unknown load: {arguments[:1]}")


if __name__ == "__main__":
    main(sys.argv[1:])
