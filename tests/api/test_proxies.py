"""The API behind nginx and HAProxy with the guide's configurations."""

import json
import re
import secrets
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from pointledger.embedded import ServerUrls
from pointledger.settings import Settings
from tests.api import proxies
from tests.api.environment import ApiEnvironment, http_settings
from tests.api.issuer import Issuer
from tests.api.processes import api_and_worker, api_process, run
from tests.api.proxies import KINDS, connections_to, run_proxy
from tests.databases import Clones, as_worker
from tests.waiting import wait_until

pytestmark = pytest.mark.long

User = Callable[[], str]


@dataclass(frozen=True)
class Proxied:
    """A proxy, the API behind it, and a client that trusts the proxy's certificate."""

    kind: str
    url: str
    trusted: Path
    behind: ApiEnvironment

    def client(self, **more: Any) -> httpx.Client:
        context = ssl.create_default_context(cafile=str(self.trusted))
        return httpx.Client(
            base_url=self.url, transport=httpx.HTTPTransport(verify=context, **more), timeout=30
        )

    def post(self, client: httpx.Client, path: str, body: object, **headers: str) -> httpx.Response:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        return client.post(path, json=body, headers={"Authorization": f"Bearer {self.behind.till}"} | given)


@pytest.fixture(scope="module")
def behind(
    servers: ServerUrls, clones: Clones, issuer: Issuer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ApiEnvironment]:
    folder = tmp_path_factory.mktemp("api")
    with clones.one() as url:
        given: dict[str, Any] = {"database_url": as_worker(servers, url), "owner_url": url}
        own = f"http-{secrets.token_hex(4)}"
        plain = Settings(**given, redis_url=servers.redis_url, redis_prefix=own, broker_url=None)
        more = {"http_stranger_rate": 1, "http_wait_seconds": 2.0, "http_proxies": ["127.0.0.1/32"]}
        settings = Settings.model_validate(dict(http_settings(plain, issuer, folder)) | more)
        with api_and_worker(settings, issuer, folder) as api:
            api.ledger.tenant("shop")
            api.ledger.tenant("paused")
            yield api


@pytest.fixture(scope="module", params=KINDS)
def proxied(
    request: pytest.FixtureRequest, behind: ApiEnvironment, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Proxied]:
    folder = tmp_path_factory.mktemp(request.param)
    with run_proxy(behind.port, request.param, folder) as (url, trusted):
        yield Proxied(request.param, url, trusted, behind)


def test_a_command_and_its_retry_get_the_same_response(proxied: Proxied, user: User) -> None:
    anna = user()
    with proxied.client() as client:
        first, again = (
            proxied.post(client, f"/points/{anna}/earn", {"amount": 5}, X_Idempotency_Key=f"key {anna}")
            for _ in range(2)
        )
    assert (first.status_code, again.content) == (200, first.content)
    assert again.headers["idempotent-replayed"] == "true"
    assert first.json()["data"]["account"]["balance"] == 5


def test_a_clients_connection_is_reused(proxied: Proxied, user: User) -> None:
    anna, opened = user(), []
    with proxied.client() as client:
        for _ in range(20):
            answer = proxied.post(client, f"/points/{anna}/earn", {"amount": 1})
            opened.append(answer.extensions["network_stream"].get_extra_info("client_addr"))
            assert answer.status_code == 200
    assert len(set(opened)) == 1


def test_the_proxy_buffers_a_slow_body(proxied: Proxied, user: User) -> None:
    anna, port = user(), int(proxied.url.rpartition(":")[2])
    context = ssl.create_default_context(cafile=str(proxied.trusted))
    body = json.dumps({"amount": 5, "reason": "x" * 100}).encode()
    head = (
        f"POST /points/{anna}/earn HTTP/1.1\r\nHost: points.example\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {proxied.behind.till}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with (
        socket.create_connection(("127.0.0.1", port)) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as line,
    ):
        line.sendall(head.encode() + body[:50])
        metrics = httpx.get(f"{proxied.behind.for_operators}/metrics").text
        under_way = re.search(r"^pointledger_http_requests_under_way (\S+)", metrics, re.MULTILINE)
        assert under_way
        assert float(under_way[1]) == 0
        line.sendall(body[50:])
        assert line.recv(65536).split()[1] == b"200"


def test_clients_are_limited_by_their_own_address_and_cannot_forge_it(proxied: Proxied) -> None:
    def statuses(address: str, forged: str) -> set[int]:
        headers = {"Authorization": "Bearer a.b.c", "X-Forwarded-For": forged, "Forwarded": f"for={forged}"}
        with proxied.client(local_address=address) as client:
            return {client.get("/points/anna", headers=headers).status_code for _ in range(60)}

    # The tests of each proxy use their own addresses, because the API remembers their rates.
    near, far = (f"127.0.{KINDS.index(proxied.kind) + 1}.{number}" for number in (2, 3))
    assert statuses(near, "192.0.2.1") == {401, 429}
    with proxied.client(local_address=near) as client:
        answers = [
            client.get("/points/anna", headers={"X-Forwarded-For": f"192.0.2.{number}"}).status_code
            for number in range(60)
        ]
    assert 429 in answers  # forging other addresses does not help
    assert statuses(far, near) == {401, 429}  # another client is not affected: its first requests get 401


def test_health_checks_pass_the_proxy_and_metrics_do_not(proxied: Proxied) -> None:
    with proxied.client() as client:
        for path in ("/healthz", "/readyz"):
            assert client.get(path).json()["data"] == {"status": "ok"}
            head = client.head(path)
            assert (head.status_code, head.content) == (200, b"")
        assert client.get("/metrics").status_code == 404


def test_the_proxy_waits_for_a_response_that_waits_for_its_outcome(proxied: Proxied, user: User) -> None:
    client_of_ledger, admin = proxied.behind.ledger.client, proxied.behind.issuer.admin("paused")
    client_of_ledger.pause("paused")
    try:
        with proxied.client() as client:
            headers = {"Authorization": f"Bearer {admin}"}
            answer = client.post(f"/points/{user()}/earn", json={"amount": 5}, headers=headers)
    finally:
        client_of_ledger.resume("paused")
    assert (answer.status_code, answer.json()["data"]["state"]) == (202, "pending")
    assert answer.headers["location"].startswith("/tasks/")


def test_clients_speak_http2_with_the_proxy(proxied: Proxied) -> None:
    timeout = [
        "--http2",
        "--silent",
        "--fail",
        "--cacert",
        str(proxied.trusted),
        "--write-out",
        " %{http_version}",
    ]
    assert run(["curl", *timeout, f"{proxied.url}/healthz"]).endswith(" 2")


@pytest.mark.parametrize("kind", KINDS)
def test_the_proxy_closes_idle_connections_before_the_api_does(
    behind: ApiEnvironment, kind: str, folder: Path, user: User
) -> None:
    keep_alive = Settings.model_fields["http_keep_alive_seconds"].default
    timeout = re.search(r"keepalive_timeout (\d+)s", proxies.configuration("nginx"))
    assert timeout
    assert int(timeout[1]) < keep_alive

    def shorter(text: str) -> str:
        return text.replace(timeout[0], "keepalive_timeout 1s")  # a test should not wait for twenty seconds

    with run_proxy(behind.port, kind, folder, shorter) as (url, trusted):
        here = Proxied(kind, url, trusted, behind)
        behind.get("/healthz")  # keeps one direct connection open
        own_connections = connections_to(behind.port)
        with here.client() as client:
            for _ in range(20):
                assert here.post(client, f"/points/{user()}/earn", {"amount": 1}).status_code == 200
        if kind == "nginx":  # nginx keeps a connection and does not open one per request
            assert own_connections < connections_to(behind.port) <= own_connections + 2
        wait_until(
            lambda: connections_to(behind.port) <= own_connections,
            "the proxy closes its connection",
            keep_alive / 2,
        )


@pytest.mark.parametrize("kind", KINDS)
def test_the_proxy_waits_longer_than_the_api(kind: str) -> None:
    pattern = {"nginx": r"proxy_read_timeout (\d+)s", "haproxy": r"timeout server (\d+)s"}[kind]
    timeout = re.search(pattern, proxies.configuration(kind))
    (longest,) = (
        rule.le for rule in Settings.model_fields["http_wait_seconds"].metadata if hasattr(rule, "le")
    )
    assert timeout
    assert int(timeout[1]) >= longest + 10  # and ten seconds for the body


@pytest.mark.parametrize("kind", KINDS)
def test_requests_pass_again_after_a_restart_of_the_api(
    settings: Settings, issuer: Issuer, folder: Path, kind: str
) -> None:
    given = http_settings(settings, issuer, folder)
    with ExitStack() as first, ExitStack() as rest:
        port = int(first.enter_context(api_process(given, folder))[0].rpartition(":")[2])
        url, trusted = rest.enter_context(run_proxy(port, kind, folder))
        context = ssl.create_default_context(cafile=str(trusted))
        client = rest.enter_context(httpx.Client(base_url=url, verify=context, timeout=30))
        headers = {"Authorization": f"Bearer {issuer.admin()}", "Prefer": "respond-async"}

        def accepted() -> int:
            return client.post("/points/anna/earn", json={"amount": 1}, headers=headers).status_code

        wait_until(lambda: accepted() == 202, "the proxy reaches the API")
        first.close()
        assert accepted() in (502, 503)
        rest.enter_context(api_process(given, folder, port))
        wait_until(lambda: accepted() == 202, "the proxy reaches it again")
        assert [accepted() for _ in range(20)] == [202] * 20
