"""Turns: requests that arrived first do not delay those of another tenant or caller."""

import asyncio
import socket
import threading
from collections.abc import Callable
from contextlib import ExitStack
from itertools import pairwise
from typing import Any

import pytest

from pointledger.api.middleware import Middleware
from pointledger.api.slots import Slot, Slots
from pointledger.api.turns import PER_ROUND, Party, Turns
from tests.api.issuer import Issuer
from tests.api.shares import connected, connections, is_open, request
from tests.waiting import wait_until

OpenApi = Callable[..., Any]
CROWD = 200
HEALTHZ = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"


def order_of(*parties: Party) -> list[Party]:
    """Return the order in which the parties have their turns, if all ask at once."""

    async def play() -> list[Party]:
        turns, order = Turns(), list[Party]()

        async def run(party: Party) -> None:
            await turns.take(party)
            order.append(party)

        await asyncio.gather(*map(run, parties))
        return order

    return asyncio.run(play())


def test_tenants_take_turns_and_so_do_their_callers() -> None:
    big, other, small = Party(True, "big", "a"), Party(True, "big", "b"), Party(True, "small", "x")
    order = order_of(*[big] * 50, other, small, small)[PER_ROUND:]  # those before have found the loop free
    assert order[:4] == [big, small, other, small]
    assert order[4:] == [big] * (50 - PER_ROUND - 1)


def test_who_has_no_known_token_takes_turns_by_address_and_not_with_the_tenant_of_that_name() -> None:
    stranger, tenant = Party(False, "127.0.0.1"), Party(True, "127.0.0.1", "x")
    assert order_of(*[stranger] * 50, tenant)[PER_ROUND + 1] == tenant


def test_each_round_of_the_loop_gives_some_turns_and_one_that_was_canceled_is_passed_over() -> None:
    async def play() -> None:
        turns, party = Turns(), Party(True, "big", "a")
        tasks = [asyncio.create_task(turns.take(party)) for _ in range(4 * PER_ROUND)]
        await asyncio.sleep(0)
        done = [sum(task.done() for task in tasks)]
        tasks[-1].cancel()
        for _ in range(5):
            await asyncio.sleep(0)
            done.append(sum(task.done() and not task.cancelled() for task in tasks))
        assert max(after - before for before, after in pairwise(done)) == PER_ROUND
        await asyncio.gather(*tasks[:-1])
        await asyncio.wait_for(turns.take(party), 30)  # all is as before

    asyncio.run(play())


def test_a_request_passes_a_crowd_of_another_tenant_that_arrived_before_it(
    opened: OpenApi, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    stands, may_go, began = threading.Event(), threading.Event(), list[str]()
    check, take = Middleware._problem, Slots.take

    def check_or_stand(middleware: Middleware, scope: Any) -> Any:
        if scope["query_string"] == b"stand":
            stands.set()
            may_go.wait(60)
        return check(middleware, scope)

    def noted(slots: Slots, tenant_id: str, caller: str) -> Slot:
        began.append(tenant_id)
        return take(slots, tenant_id, caller)

    with opened() as api, ExitStack() as stack:
        asked = request("/points/ann", issuer.user("ann", "other"))
        for token in (issuer.user("ann", "other"), api.till):  # so that they are known
            api.get("/points/ann", token)
        crowd = [stack.enter_context(connected(api)) for _ in range(CROWD)]
        single, standing = stack.enter_context(connected(api)), stack.enter_context(connected(api))
        wait_until(lambda: connections() >= CROWD + 2, "all are connected")
        monkeypatch.setattr(Middleware, "_problem", check_or_stand)
        monkeypatch.setattr(Slots, "take", noted)
        standing.sendall(HEALTHZ.replace(b"healthz", b"healthz?stand"))
        assert stands.wait(60), "the event loop stands still"
        for connection in crowd:
            connection.sendall(asked)
        single.sendall(request("/points/ann", api.till))
        may_go.set()
        assert single.recv(65536).startswith(b"HTTP/1.1 404")
        for connection in crowd:
            assert connection.recv(65536).startswith(b"HTTP/1.1 404")
    assert len(began) == CROWD + 1
    assert began.index("shop") < CROWD / 4  # the loop reads some of the crowd before it reads the last


def test_the_connections_of_a_tenant_do_not_end_those_of_another_at_the_same_address(
    opened: OpenApi, issuer: Issuer
) -> None:
    with opened(http_idle_connections_per_address=6) as api, ExitStack() as stack:

        def used(token: str) -> socket.socket:
            connection = stack.enter_context(connected(api, "127.0.0.2"))
            connection.sendall(request("/points/ann", token))
            assert connection.recv(65536).startswith(b"HTTP/1.1 404")
            return connection

        ours = [used(api.till) for _ in range(2)]
        theirs = [used(issuer.user("ann", "other")) for _ in range(10)]
        wait_until(lambda: sum(map(is_open, theirs)) <= 4, "their oldest ones are closed")
        assert all(map(is_open, [*ours, *theirs[-3:]]))
