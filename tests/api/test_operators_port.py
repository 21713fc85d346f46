"""The operators' port: it answers whatever happens to the API, and what is asked often costs no more."""

import asyncio
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from pointledger.api import cached, server
from pointledger.api.cached import Cached
from pointledger.api.routes import health
from pointledger.api.schemas.envelope import data_response
from pointledger.errors import AddressTaken
from pointledger.settings import Settings
from tests.api.environment import http_settings, open_api, open_for_operators
from tests.api.issuer import Issuer
from tests.api.processes import api_process, environ_of
from tests.api.test_middleware import database_refusing_connections, wait_for
from tests.waiting import wait_until


@pytest.fixture
def given(settings: Settings, issuer: Issuer, folder: Path) -> Settings:
    return http_settings(settings, issuer, folder)


@contextmanager
def standing_still(url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Block the API's event loop within the block."""
    stands, goes_on, answer = threading.Event(), threading.Event(), data_response

    def block(data: object, **more: Any) -> Any:
        stands.set()
        goes_on.wait(60)
        return answer(data, **more)

    monkeypatch.setattr(health, "data_response", block)
    with ThreadPoolExecutor(1) as thread:
        asked = thread.submit(httpx.get, f"{url}/healthz", timeout=60)
        wait_until(stands.is_set, "the event loop stands still")
        try:
            yield
        finally:
            goes_on.set()
            assert asked.result().status_code == 200


def test_the_operators_port_answers_while_the_api_stands_still(
    given: Settings, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        open_api(given, issuer) as api,
        open_for_operators(given) as url,
        standing_still(api.url, monkeypatch),
    ):
        for path in ("/healthz", "/readyz"):
            answer = httpx.get(f"{url}{path}")
            assert (answer.status_code, answer.json()["data"]) == (200, {"status": "ok"})
        assert "pointledger_up" in httpx.get(f"{url}/metrics").text


def test_the_operators_port_says_what_is_missing(given: Settings) -> None:
    with open_for_operators(given) as url, httpx.Client(base_url=url) as client:
        assert client.get("/readyz").status_code == 200
        assert client.head("/readyz").content == b""
        with database_refusing_connections(given.owner):
            wait_for(lambda: client.get("/readyz"), 503)
            wait_for(lambda: client.get("/healthz"), 200)
            wait_until(
                lambda: 'pointledger_up{server="postgres"} 0.0' in client.get("/metrics").text, "it says so"
            )
        wait_for(lambda: client.get("/readyz"), 200)
        missing = client.get("/points/anna")
        assert (missing.status_code, missing.json()["code"]) == (404, 404)
        assert "/metrics" in missing.json()["message"]
        assert client.post("/metrics").status_code == 405


def test_the_operators_port_has_the_limits_of_the_other(given: Settings) -> None:
    with open_for_operators(given) as url, ExitStack() as stack:
        port = int(url.rpartition(":")[2])
        for _ in range(100):
            stack.enter_context(socket.create_connection(("127.0.0.1", port)))
        assert httpx.get(f"{url}/healthz").status_code == 200, "it takes the place of the oldest"


def test_serve_prints_both_addresses_and_metrics_are_on_one_only(given: Settings, folder: Path) -> None:
    with api_process(given, folder) as (url, for_operators):
        assert httpx.get(f"{url}/metrics").status_code == 404
        assert httpx.get(f"{for_operators}/metrics").status_code == 200
        taken = for_operators.rpartition(":")[2]
        again = [sys.executable, "-m", "pointledger.cli", "serve", "--port", "0", "--admin-port", taken]
        done = subprocess.run(again, check=False, capture_output=True, text=True, env=environ_of(given))
        assert done.returncode == 1
        assert "Another program listens on this address" in done.stderr
        assert f"127.0.0.1:{taken}" in done.stderr


def test_the_usual_port_is_not_needed() -> None:
    with (
        server.listening_for_operators("127.0.0.1", None) as first,
        server.listening_for_operators("127.0.0.1", None) as second,
    ):
        assert first.getsockname()[1] != second.getsockname()[1]
        with (
            pytest.raises(AddressTaken),
            server.listening_for_operators("127.0.0.1", second.getsockname()[1]),
        ):
            pass


def test_a_thousand_who_ask_at_once_cost_one_query(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    def function() -> int:
        calls.append(1)
        return len(calls)

    async def ask(function: Callable[[], int]) -> list[Any]:
        with ThreadPoolExecutor(4) as threads:
            answer = Cached(function, threads)
            at_once = await asyncio.gather(*(answer.get() for _ in range(1000)))
            soon = await answer.get()
            monkeypatch.setattr(cached, "SECONDS", 0.0)
            later = await Cached(function, threads).get()
        return [set(at_once), soon, later]

    assert asyncio.run(ask(function)) == [{1}, 1, 2]


def test_an_error_is_told_to_all_who_ask_and_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cached, "SECONDS", 0.0)
    results: list[Any] = [OSError("away"), True]

    def function() -> bool:
        result = results.pop(0)
        if isinstance(result, OSError):
            raise result
        return bool(result)

    async def ask() -> list[Any]:
        with ThreadPoolExecutor(1) as thread:
            answer = Cached(function, thread)
            failed = await asyncio.gather(answer.get(), answer.get(), return_exceptions=True)
            return [*map(type, failed), await answer.get()]

    assert asyncio.run(ask()) == [OSError, OSError, True]
