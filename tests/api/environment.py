"""The API on a real port, with a ledger whose commands are applied."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from pointledger.api import admin, server
from pointledger.domain.commands import KINDS
from pointledger.settings import Settings
from pointledger.settings.http_api import ServiceRights
from tests.api.issuer import ISSUER, Issuer
from tests.api.openapi import check_response
from tests.ledger import Ledger
from tests.waiting import wait_until

SERVICES = {
    "svc:till": ServiceRights(tenants=frozenset({"shop"}), kinds=frozenset({*KINDS, "read"})),
    "svc:mute": ServiceRights(tenants=frozenset({"shop"}), kinds=frozenset({"expire"})),
}
_POLL_SECONDS = 0.002


class ApiEnvironment:
    """A running API: its URL, a client, tokens, and the ledger behind it."""

    def __init__(self, ledger: Ledger, issuer: Issuer, url: str, for_operators: str = "") -> None:
        self.ledger = ledger
        self.issuer = issuer
        self.url = url
        self.for_operators = for_operators  # the URL of their port
        self.port = int(url.rpartition(":")[2])
        # Every response is checked against the OpenAPI document.
        self.client = httpx.Client(base_url=url, timeout=30, event_hooks={"response": [check_response]})
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
        all_headers = {name.replace("_", "-"): value for name, value in headers.items()}
        if token:
            all_headers["Authorization"] = f"Bearer {token}"
        if key:
            all_headers["X-Idempotency-Key"] = key
        return self.client.request(method, path, headers=all_headers, json=json)

    def get(self, path: str, token: str | None = None, **headers: str) -> httpx.Response:
        return self.call("GET", path, token, **headers)

    def post(self, path: str, token: str | None = None, json: Any = None, **more: Any) -> httpx.Response:
        return self.call("POST", path, token, {} if json is None else json, **more)

    def earn(self, user_id: str, amount: int) -> None:
        done = self.post(f"/points/{user_id}/earn", self.till, {"amount": amount})
        assert done.status_code == 200, done.text

    def raw(self, sent: bytes) -> bytes:
        """Send bytes, and return all bytes that come back until the connection closes."""
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
def open_for_operators(settings: Settings) -> Iterator[str]:
    """Serve what operators ask, in this process, and yield the URL."""
    with server.listening("127.0.0.1", 0) as bound:
        uvicorn_server = server.admin_server_of(settings)
        with admin.serving(uvicorn_server, bound):
            wait_until(lambda: uvicorn_server.started, "the operators' port is served")
            yield f"http://127.0.0.1:{bound.getsockname()[1]}"


@contextmanager
def open_api(settings: Settings, issuer: Issuer, *, worker: bool = True) -> Iterator[ApiEnvironment]:
    """Run the API in this process. With `worker`, a thread applies commands."""
    stop = threading.Event()
    with Ledger(settings) as ledger, server.listening("127.0.0.1", 0) as bound:
        uvicorn_server = server.server_of(settings)
        threads = [
            threading.Thread(
                target=uvicorn_server.run, kwargs={"sockets": server.accepting(bound)}, daemon=True
            )
        ]
        if worker:
            threads.append(threading.Thread(target=_work, args=(ledger, stop), daemon=True))
        for thread in threads:
            thread.start()
        wait_until(lambda: uvicorn_server.started or not threads[0].is_alive(), "the API serves")
        assert uvicorn_server.started
        api = ApiEnvironment(ledger, issuer, f"http://127.0.0.1:{bound.getsockname()[1]}")
        try:
            yield api
        finally:
            api.client.close()
            uvicorn_server.should_exit = True
            stop.set()
            for thread in threads:
                thread.join(60)
                assert not thread.is_alive()


def _work(ledger: Ledger, stop: threading.Event) -> None:
    while not stop.wait(_POLL_SECONDS):
        for lane in ledger.waiting_lanes():
            ledger.engine.drain(lane)
