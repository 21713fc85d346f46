"""Shares of a process: what one tenant, caller or address does must not disturb another's request."""

import asyncio
import resource
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from pointledger.api import metrics, server, threads
from pointledger.api.schemas.envelope import Problem
from pointledger.api.slots import ShareTaken, Slot, Slots
from pointledger.api.threads import FairThreads
from pointledger.settings import Settings
from pointledger.storage.ledger import program
from tests.api.environment import ApiEnvironment, http_settings, open_api
from tests.api.issuer import Issuer
from tests.waiting import wait_until

OpenApi = Callable[..., Any]
CROWD = ("ann", "bea", "cleo", "dora")


@pytest.fixture
def opened(settings: Settings, issuer: Issuer, folder: Path) -> Callable[..., Any]:
    """A function that opens an API with settings, and with the tenants `shop` and `other`."""

    @contextmanager
    def open_with(**changes: Any) -> Iterator[ApiEnvironment]:
        with open_api(http_settings(settings, issuer, folder, **changes), issuer) as api:
            api.ledger.tenant("shop")
            api.ledger.tenant("other")
            yield api

    return open_with


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


# -------------------------------------------------------------------------------------------------- slots


def test_a_crowd_of_one_tenant_takes_every_slot_and_another_tenants_request_is_served(
    opened: OpenApi, issuer: Issuer
) -> None:
    count = 20
    with opened(http_concurrency=count, http_wait_seconds=60) as api, ExitStack() as stack:
        api.ledger.client.pause("other")
        crowd = stack.enter_context(ThreadPoolExecutor(count))

        def send(number: int) -> httpx.Response:
            user = CROWD[number % len(CROWD)]
            token = issuer.token(user, "other", scope="points:write")
            with httpx.Client(base_url=api.url, timeout=50) as client:
                headers = {"Authorization": f"Bearer {token}"}
                return client.post(f"/points/{user}/spend", json={"amount": 1}, headers=headers)

        answers = [crowd.submit(send, number) for number in range(count)]
        try:
            wait_until(lambda: slots_taken() == count, "one tenant has every slot")
            assert api.get("/points/anna", issuer.user("anna")).status_code == 404
            api.earn("anna", 5)
            assert api.get("/points/anna", issuer.user("anna")).json()["data"]["balance"] == 5
            wait_until(lambda: any(answer.done() for answer in answers), "a slot was taken from the crowd")
        finally:
            api.ledger.client.resume("other")
        statuses = [answer.result().status_code for answer in answers]
        assert 202 in statuses, "who gave a slot learns where the outcome will be"
        assert set(statuses) <= {202, 404}, "every command of the crowd was accepted"


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


def test_one_user_of_a_tenant_does_not_keep_out_another(opened: OpenApi, issuer: Issuer) -> None:
    with opened(http_concurrency=20, http_wait_seconds=60) as api, waiting_commands(api, issuer, 20):
        for _ in range(3):
            assert api.get("/points/bea", issuer.user("bea", "other")).status_code == 404


def test_who_has_the_most_slots_gets_429_and_a_reason(opened: OpenApi, issuer: Issuer) -> None:
    with opened(http_concurrency=2, http_wait_seconds=60) as api, waiting_commands(api, issuer, 2):
        refused = api.get("/points/ann", issuer.user("ann", "other"))
        assert refused.status_code == 429
        assert refused.headers["retry-after"] == "1"
        assert "share of the server's slots" in refused.json()["message"]


def test_a_body_that_arrives_slowly_holds_no_slot(opened: OpenApi) -> None:
    with opened(http_concurrency=1) as api, ExitStack() as stack:
        for _ in range(5):
            slow = stack.enter_context(connected(api))
            slow.sendall(request("/points/anna/earn", api.till, "POST", b"{", length=100))
        wait_until(lambda: under_way() == 5, "the API reads five bodies")
        api.earn("anna", 5)
        assert api.get("/points/anna", api.till).status_code == 200


def taken(slots: Slots, *callers: str) -> list[Slot]:
    """Take slots for callers like `tenant/user`, whose requests only wait."""
    found = []
    for caller in callers:
        slot = slots.take(*caller.split("/"))
        slot.give_up = lambda: None
        found.append(slot)
    return found


def test_slots_converge_to_equal_shares_of_tenants_and_of_their_callers() -> None:
    slots = Slots(12)
    taken(slots, *["big/a"] * 12)
    for tenant in ("b", "c"):
        taken(slots, *[f"{tenant}/x"] * 4)
    with pytest.raises(Problem) as refused:
        taken(slots, "c/x")
    assert refused.value.status == 429
    taken(slots, "big/b", "big/b")  # from big/a
    with pytest.raises(ShareTaken):
        taken(slots, "big/b")
    assert len(slots) == 12


def test_a_slot_whose_request_works_is_never_taken_away_but_there_is_a_reserve() -> None:
    slots = Slots(20)
    working = [slots.take("big", "a") for _ in range(20)]
    slots.take("big", "b")
    with pytest.raises(ShareTaken):
        slots.take("big", "b")
    slots.take("small", "x")
    with pytest.raises(Problem) as refused:
        slots.take("small", "x")
    assert refused.value.status == 503
    assert len(slots) == 22
    for slot in [*working[:3], working[0]]:  # the second time has no effect
        slots.release(slot)
    assert len(slots) == 19
    slots.take("big", "a")


# ------------------------------------------------------------------------------------------------ threads


def test_a_tenant_leaves_a_thread_for_the_next_and_its_callers_take_turns() -> None:
    async def play() -> list[str]:
        pool, may_end, served = FairThreads("test", 2), threading.Event(), []

        async def run(tenant_id: str, caller: str, function: Callable[[], Any]) -> None:
            await pool.run(tenant_id, caller, Slot(tenant_id, caller), function)
            served.append(f"{tenant_id}/{caller}")

        long = asyncio.create_task(run("big", "a", may_end.wait))
        rest = [asyncio.create_task(run("big", caller, int)) for caller in "aaab"]
        await run("small", "x", int)
        assert served == ["small/x"], "the calls of big wait, although a thread is free"
        may_end.set()
        await asyncio.gather(long, *rest)
        pool.close()
        return served

    assert asyncio.run(play()) == ["small/x", "big/a", "big/a", "big/b", "big/a", "big/a"]


def test_a_call_that_waits_too_long_for_a_thread_is_429(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "_WAIT_SECONDS", 0.05)

    async def play() -> None:
        pool, may_end = FairThreads("test", 1), threading.Event()
        first = asyncio.create_task(pool.run("big", "a", Slot("big", "a"), may_end.wait))
        await asyncio.sleep(0)
        with pytest.raises(ShareTaken):
            await pool.run("big", "b", Slot("big", "b"), int)
        may_end.set()
        assert await first
        assert await pool.run("big", "b", Slot("big", "b"), int) == 0
        pool.close()

    asyncio.run(play())


def test_reports_of_one_tenant_delay_neither_look_ups_nor_another_tenants_report(
    opened: OpenApi, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_end, read = threading.Event(), threads.FairThreads.run

    async def slow_for_other(pool: Any, tenant_id: str, caller: str, slot: Slot, function: Any) -> Any:
        if tenant_id == "other":
            await read(pool, tenant_id, caller, slot, lambda: may_end.wait(60))
        return await read(pool, tenant_id, caller, slot, function)

    monkeypatch.setattr(FairThreads, "run", slow_for_other)
    with opened() as api, ThreadPoolExecutor(8) as crowd:
        api.earn("anna", 5)
        headers = {"Authorization": f"Bearer {issuer.admin('other')}"}
        asked = [
            crowd.submit(httpx.get, f"{api.url}/admin/points/stats", headers=headers, timeout=50)
            for _ in range(8)
        ]
        try:
            wait_until(lambda: under_way() == 8, "eight reports are under way")
            assert api.get("/points/anna", api.till).status_code == 200
            assert api.get("/admin/points/stats", api.admin).status_code == 200
        finally:
            may_end.set()
        assert {each.result().status_code for each in asked} <= {200, 429}


def test_a_query_beyond_its_time_is_canceled_with_a_reason(opened: OpenApi) -> None:
    with opened(http_query_seconds=0.2) as api:
        with api.ledger.owner.begin() as connection:
            connection.exec_driver_sql("LOCK TABLE accounts IN ACCESS EXCLUSIVE MODE")
            refused = api.get("/admin/points/stats", api.admin)
        assert refused.status_code == 503
        assert "took too long" in refused.json()["message"]
        assert api.get("/admin/points/stats", api.admin).status_code == 200


def test_a_change_of_rules_that_waits_for_a_strangers_lock_gives_up(opened: OpenApi) -> None:
    rule = {"name": "visit", "event_type": "visit", "points": 1}
    with opened(lock_timeout_ms=200) as api:
        with api.ledger.owner.begin() as connection:
            program.lock_program(connection, "shop")
            refused = api.post("/admin/point-rules", api.admin, rule)
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert api.post("/admin/point-rules", api.admin, rule).status_code == 201


# -------------------------------------------------------------------------------------------- connections


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


# ------------------------------------------------------------------------------------------------- bodies


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
