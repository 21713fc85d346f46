"""Connections of a process: an idle, slow or greedy client does not keep others out."""

import resource
import socket
from contextlib import ExitStack

import pytest

from pointledger.api import server
from pointledger.settings import Settings
from tests.api.issuer import Issuer
from tests.api.shares import (
    OpenApi,
    connected,
    connections,
    is_open,
    request,
    under_way,
    waiting_commands,
)
from tests.waiting import wait_until


def test_an_idle_connection_is_closed_whatever_it_sends_after_a_request(
    opened: OpenApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pointledger.api.protocol._HEADER_SECONDS", 1)
    with opened(http_keep_alive_seconds=1) as api, ExitStack() as stack:
        idle = []
        for then in (b"\r\n", b"\r\n" * 3, b"G", b"GET / HTTP/1.1\r\nX-Half: "):
            idle.append(stack.enter_context(connected(api)))
            idle[-1].sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            assert idle[-1].recv(65536).startswith(b"HTTP/1.1 200")
            idle[-1].sendall(then)
        wait_until(lambda: not any(map(is_open, idle)), "all are closed", 20)


def test_empty_lines_or_a_body_that_nobody_reads_do_not_keep_a_connection(opened: OpenApi) -> None:
    unread = request("/points/anna/earn", "no.such.token", "POST", b"{", length=100_000)
    with opened(http_keep_alive_seconds=1) as api:
        for first, more in ((b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", b"\r\n"), (unread, b" ")):
            with connected(api) as connection:
                connection.sendall(first)
                assert connection.recv(65536).split()[1] in (b"200", b"401")

                def is_closed(connection: socket.socket = connection, more: bytes = more) -> bool:
                    try:
                        connection.sendall(more)
                    except OSError:
                        return True
                    return not is_open(connection)

                wait_until(is_closed, "it is closed although it sends something all the time", 20)


def test_a_new_connection_takes_the_place_of_the_one_that_was_idle_longest(opened: OpenApi) -> None:
    with opened(http_connections=8, http_idle_connections_per_address=3) as api, ExitStack() as stack:

        def opened_from(address: str, count: int) -> list[socket.socket]:
            return [stack.enter_context(connected(api, address)) for _ in range(count)]

        ours = opened_from("127.0.0.2", 3)
        wait_until(lambda: connections() == 3, "three are open")
        newer = opened_from("127.0.0.2", 1)
        wait_until(lambda: not is_open(ours[0]), "the oldest of the address is closed")
        assert all(map(is_open, [*ours[1:], *newer]))

        opened_from("127.0.0.3", 3)
        opened_from("127.0.0.4", 2)
        wait_until(lambda: connections() == 8, "all are taken")
        with connected(api, "127.0.0.5") as visitor:
            visitor.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            assert visitor.recv(65536).startswith(b"HTTP/1.1 200")
            assert connections() == 8


def test_a_connection_with_a_request_in_progress_keeps_its_place(opened: OpenApi, issuer: Issuer) -> None:
    settings = {"http_connections": 2, "http_idle_connections_per_address": 1, "http_wait_seconds": 60}
    with (
        opened(**settings) as api,
        waiting_commands(api, issuer, 2) as working,
        connected(api, "127.0.0.3") as refused,
    ):
        answer = refused.recv(65536)
        assert answer.startswith(b"HTTP/1.1 503")
        assert b"retry-after: 1" in answer.lower()
        assert all(map(is_open, working))


def test_a_proxy_that_the_settings_name_may_have_all_connections(opened: OpenApi) -> None:
    settings = {"http_idle_connections_per_address": 1, "http_proxies": ("127.0.0.2/32",)}
    proxies = Settings.model_validate(settings).http_proxies
    with opened(**settings | {"http_proxies": proxies}) as api, ExitStack() as stack:
        ours = [stack.enter_context(connected(api, "127.0.0.2")) for _ in range(5)]
        wait_until(lambda: connections() >= 5, "all are open")
        assert all(map(is_open, ours))


def test_pipelined_requests_are_bounded_and_the_client_learns_where_to_go_on(opened: OpenApi) -> None:
    with opened() as api:
        answers = api.raw(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" * 2_000)
    count = answers.count(b"HTTP/1.1 200 OK")
    assert 1 < count <= 17
    assert answers.lower().count(b"connection: close") == 1
    assert b"connection: close" in answers.lower().rpartition(b"http/1.1 200")[2]


def test_a_client_that_reads_nothing_loses_its_connection(
    opened: OpenApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_UNREAD_MS", 500)
    with opened() as api, socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        deaf.connect(("127.0.0.1", api.port))
        deaf.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 16)  # four megabytes of answers
        wait_until(lambda: under_way() > 0, "the API writes")
        wait_until(lambda: connections() == 0, "its connection is gone", 30)
        wait_until(lambda: under_way() == 0, "its request has ended", 30)


@pytest.mark.parametrize(
    ("hard", "connections", "limit"), [(100_000, 4_000, 4_128), (1_024, 896, 1_024), (64, 2, 64)]
)
def test_the_process_opens_as_many_connections_as_the_system_allows(
    monkeypatch: pytest.MonkeyPatch, hard: int, connections: int, limit: int
) -> None:
    limits: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (64, hard))
    monkeypatch.setattr(resource, "setrlimit", lambda _, given: limits.append(given))
    assert server._with_descriptors(Settings()).http_connections == connections
    assert limits == [(limit, hard)]


def test_a_compressed_body_is_refused_before_it_is_read(opened: OpenApi) -> None:
    with opened() as api:
        headers = {"Authorization": f"Bearer {api.till}", "Content-Type": "application/json"}
        for encodings in (["gzip"], ["identity", "gzip"], ["br"]):
            given = [*headers.items(), *(("Content-Encoding", each) for each in encodings)]
            answer = api.client.post("/points/anna/earn", headers=given, content=b"\x1f\x8b" + b"x" * 1000)
            assert answer.status_code == 415, encodings
            assert "Content-Encoding" in answer.json()["message"]
        head = request("/points/anna/earn", api.till, "POST").replace(
            b"Content-Length: 0", b"Transfer-Encoding: gzip, chunked"
        )
        assert api.raw(head + b"5\r\nhello\r\n0\r\n\r\n").startswith(b"HTTP/1.1 415")
