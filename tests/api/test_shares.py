"""Slots and threads of a process: what one tenant or caller does must not disturb another's request."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from pointledger.api import threads
from pointledger.api.schemas.envelope import Problem
from pointledger.api.slots import ShareTaken, Slot, Slots
from pointledger.api.threads import FairThreads
from pointledger.storage.ledger import program
from tests.api.issuer import Issuer
from tests.api.shares import (
    OpenApi,
    connected,
    request,
    slots_taken,
    under_way,
    waiting_commands,
)
from tests.waiting import wait_until

CROWD = ("ann", "bea", "cleo", "dora")


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


# ------------------------------------------------------------------------------------------------- bodies
