"""Behind nginx and HAProxy, with the configurations of the README: clients see what they are to see."""

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
from tests.api.issuer import Issuer
from tests.api.proxies import KINDS, connections_to, in_front_of
from tests.api.running import gateway, run, running
from tests.api.served import Served, http_settings
from tests.databases import Clones, as_worker
from tests.waiting import wait_until

pytestmark = pytest.mark.long

User = Callable[[], str]


@dataclass(frozen=True)
class Proxied:
    """A proxy, the gateway behind it, and a client that believes the proxy's certificate."""

    kind: str
    url: str
    trusted: Path
    behind: Served

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
) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("gateway")
    with clones.one() as url:
        given: dict[str, Any] = {"database_url": as_worker(servers, url), "owner_url": url}
        own = f"http-{secrets.token_hex(4)}"
        plain = Settings(**given, redis_url=servers.redis_url, redis_prefix=own, broker_url=None)
        more = {"http_stranger_rate": 1, "http_wait_seconds": 2.0, "http_proxies": ["127.0.0.1/32"]}
        settings = Settings.model_validate(dict(http_settings(plain, issuer, folder)) | more)
        with running(settings, issuer, folder) as served:
            served.ledger.tenant("shop")
            served.ledger.tenant("paused")
            yield served


@pytest.fixture(scope="module", params=KINDS)
def proxied(
    request: pytest.FixtureRequest, behind: Served, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Proxied]:
    folder = tmp_path_factory.mktemp(request.param)
    with in_front_of(behind.port, request.param, folder) as (url, trusted):
        yield Proxied(request.param, url, trusted, behind)


def test_a_command_and_its_repetition_are_answered_as_without_a_proxy(proxied: Proxied, user: User) -> None:
    anna = user()
    with proxied.client() as client:
        first, again = (
            proxied.post(client, f"/points/{anna}/earn", {"amount": 5}, X_Idempotency_Key=f"key {anna}")
            for _ in range(2)
        )
    assert (first.status_code, again.content) == (200, first.content)
    assert again.headers["idempotent-replayed"] == "true"
    assert first.json()["data"]["account"]["balance"] == 5


def test_a_clients_connection_is_kept_and_used_again(proxied: Proxied, user: User) -> None:
    anna, opened = user(), []
    with proxied.client() as client:
        for _ in range(20):
            answer = proxied.post(client, f"/points/{anna}/earn", {"amount": 1})
            opened.append(answer.extensions["network_stream"].get_extra_info("client_addr"))
            assert answer.status_code == 200
    assert len(set(opened)) == 1


def test_a_slow_body_waits_in_the_proxy_and_comes_whole(proxied: Proxied, user: User) -> None:
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
        figures = proxied.behind.get("/metrics").text
        under_way = re.search(r"^pointledger_http_requests_under_way (\S+)", figures, re.MULTILINE)
        assert under_way
        assert float(under_way[1]) <= 1  # the question itself
        line.sendall(body[50:])
        assert line.recv(65536).split()[1] == b"200"


def test_callers_have_an_address_of_their_own_each_and_cannot_make_one_up(proxied: Proxied) -> None:
    def statuses(address: str, forged: str) -> set[int]:
        headers = {"Authorization": "Bearer a.b.c", "X-Forwarded-For": forged, "Forwarded": f"for={forged}"}
        with proxied.client(local_address=address) as client:
            return {client.get("/points/anna", headers=headers).status_code for _ in range(60)}

    # Each proxy in this test has callers of its own: the gateway remembers them.
    near, far = (f"127.0.{KINDS.index(proxied.kind) + 1}.{number}" for number in (2, 3))
    assert statuses(near, "192.0.2.1") == {401, 429}
    with proxied.client(local_address=near) as client:
        answers = [
            client.get("/points/anna", headers={"X-Forwarded-For": f"192.0.2.{number}"}).status_code
            for number in range(60)
        ]
    assert 429 in answers  # another name in front makes nobody another
    assert statuses(far, near) == {401, 429}  # and nobody else is meant: its first requests are answered


def test_health_is_asked_through_the_proxy_and_figures_are_not(proxied: Proxied) -> None:
    with proxied.client() as client:
        for path in ("/healthz", "/readyz"):
            assert client.get(path).json()["data"] == {"status": "ok"}
            head = client.head(path)
            assert (head.status_code, head.content) == (200, b"")
        assert client.get("/metrics").status_code == 404


def test_an_answer_that_waits_for_its_outcome_is_waited_for(proxied: Proxied, user: User) -> None:
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
    told = [
        "--http2",
        "--silent",
        "--fail",
        "--cacert",
        str(proxied.trusted),
        "--write-out",
        " %{http_version}",
    ]
    assert run(["curl", *told, f"{proxied.url}/healthz"]).endswith(" 2")


@pytest.mark.parametrize("kind", KINDS)
def test_the_proxy_closes_idle_connections_before_the_gateway_does(
    behind: Served, kind: str, folder: Path, user: User
) -> None:
    keep_alive = Settings.model_fields["http_keep_alive_seconds"].default
    told = re.search(r"keepalive_timeout (\d+)s", proxies.configuration("nginx"))
    assert told
    assert int(told[1]) < keep_alive

    def shorter(text: str) -> str:
        return text.replace(told[0], "keepalive_timeout 1s")  # nobody waits for a test for twenty

    with in_front_of(behind.port, kind, folder, shorter) as (url, trusted):
        here = Proxied(kind, url, trusted, behind)
        behind.get("/healthz")  # so that a connection of our own stays
        ours = connections_to(behind.port)
        with here.client() as client:
            for _ in range(20):
                assert here.post(client, f"/points/{user()}/earn", {"amount": 1}).status_code == 200
        if kind == "nginx":  # which does keep one, and not one for each request
            assert ours < connections_to(behind.port) <= ours + 2
        wait_until(
            lambda: connections_to(behind.port) <= ours, "the proxy closes its connection", keep_alive / 2
        )


@pytest.mark.parametrize("kind", KINDS)
def test_the_proxy_waits_longer_for_an_answer_than_the_gateway_for_an_outcome(kind: str) -> None:
    pattern = {"nginx": r"proxy_read_timeout (\d+)s", "haproxy": r"timeout server (\d+)s"}[kind]
    told = re.search(pattern, proxies.configuration(kind))
    (longest,) = (
        rule.le for rule in Settings.model_fields["http_wait_seconds"].metadata if hasattr(rule, "le")
    )
    assert told
    assert int(told[1]) >= longest + 10  # and the body's ten seconds


@pytest.mark.parametrize("kind", KINDS)
def test_after_a_restart_of_the_gateway_requests_pass_again(
    settings: Settings, issuer: Issuer, folder: Path, kind: str
) -> None:
    given = http_settings(settings, issuer, folder)
    with ExitStack() as first, ExitStack() as rest:
        port = int(first.enter_context(gateway(given, folder)).rpartition(":")[2])
        url, trusted = rest.enter_context(in_front_of(port, kind, folder))
        context = ssl.create_default_context(cafile=str(trusted))
        client = rest.enter_context(httpx.Client(base_url=url, verify=context, timeout=30))
        headers = {"Authorization": f"Bearer {issuer.admin()}", "Prefer": "respond-async"}

        def accepted() -> int:
            return client.post("/points/anna/earn", json={"amount": 1}, headers=headers).status_code

        wait_until(lambda: accepted() == 202, "the proxy has found the gateway")
        first.close()
        assert accepted() in (502, 503)
        rest.enter_context(gateway(given, folder, port))
        wait_until(lambda: accepted() == 202, "the proxy has found it again")
        assert [accepted() for _ in range(20)] == [202] * 20
