"""A gateway on a real port, with workers beside it: what a client meets."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from pointledger.api import server
from pointledger.domain.commands import KINDS
from pointledger.settings import ServiceRights, Settings
from tests.api.described import check_described
from tests.api.issuer import ISSUER, Issuer
from tests.ledger import Ledger
from tests.waiting import wait_until

SERVICES = {
    "svc:till": ServiceRights(tenants=frozenset({"shop"}), kinds=frozenset({*KINDS, "read"})),
    "svc:mute": ServiceRights(tenants=frozenset({"shop"}), kinds=frozenset({"expire"})),
}
_LOOK_SECONDS = 0.002


class Served:
    """`call` asks as somebody; `ledger` is what stands behind the gateway."""

    def __init__(self, ledger: Ledger, issuer: Issuer, url: str) -> None:
        self.ledger = ledger
        self.issuer = issuer
        self.url = url
        self.port = int(url.rpartition(":")[2])
        # Every answer that a test gets is held against the description, to the last field.
        self.client = httpx.Client(base_url=url, timeout=30, event_hooks={"response": [check_described]})
        self.admin = issuer.admin()
        self.till = issuer.token("svc:till")

    def call(
        self,
        method: str,
        path: str,
        token: str | None = None,
        json: Any = None,
        key: str | None = None,
        **headers: str,
    ) -> httpx.Response:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        if token:
            given["Authorization"] = f"Bearer {token}"
        if key:
            given["X-Idempotency-Key"] = key
        return self.client.request(method, path, headers=given, json=json)

    def get(self, path: str, token: str | None = None, **headers: str) -> httpx.Response:
        return self.call("GET", path, token, **headers)

    def post(self, path: str, token: str | None = None, json: Any = None, **more: Any) -> httpx.Response:
        return self.call("POST", path, token, {} if json is None else json, **more)

    def earn(self, user_id: str, amount: int) -> None:
        done = self.post(f"/points/{user_id}/earn", self.till, {"amount": amount})
        assert done.status_code == 200, done.text

    def raw(self, sent: bytes) -> bytes:
        """What is answered to these bytes, until the connection ends."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as connection:
            connection.sendall(sent)
            received = b""
            while chunk := connection.recv(65536):
                received += chunk
            return received


def http_settings(settings: Settings, issuer: Issuer, folder: Path, **more: Any) -> Settings:
    given = {"http_issuer": ISSUER, "http_keys": issuer.write(folder), "http_services": SERVICES}
    return settings.model_copy(update=given | {"http_user_rate": 10_000, "http_stranger_rate": 10_000} | more)


@contextmanager
def serving(settings: Settings, issuer: Issuer, *, working: bool = True) -> Iterator[Served]:
    """A gateway with these settings; `working`: commands are applied."""
    stop = threading.Event()
    with Ledger(settings) as ledger, server.listening("127.0.0.1", 0) as bound:
        running = server.server_of(settings)
        threads = [threading.Thread(target=running.run, kwargs={"sockets": [bound]}, daemon=True)]
        if working:
            threads.append(threading.Thread(target=_work, args=(ledger, stop), daemon=True))
        for thread in threads:
            thread.start()
        wait_until(lambda: running.started or not threads[0].is_alive(), "the gateway serves")
        assert running.started
        served = Served(ledger, issuer, f"http://127.0.0.1:{bound.getsockname()[1]}")
        try:
            yield served
        finally:
            served.client.close()
            running.should_exit = True
            stop.set()
            for thread in threads:
                thread.join(20)
                assert not thread.is_alive()


def _work(ledger: Ledger, stop: threading.Event) -> None:
    while not stop.wait(_LOOK_SECONDS):
        for lane in ledger.waiting_lanes():
            ledger.engine.drain(lane)
