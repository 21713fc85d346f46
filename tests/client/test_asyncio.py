"""The client for asyncio does what the other one does, for the tasks of one event loop."""

import asyncio
import inspect
import re
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pointledger import AsyncPointsClient, PointsClient, Receipt
from pointledger.client import acceptor, backlog
from pointledger.client.encoding import encode
from pointledger.embedded import ServerUrls
from pointledger.errors import (
    LedgerError,
)
from pointledger.ids import show_id
from pointledger.messaging.notifications import channel_of
from pointledger.storage.queue import journal
from tests.client.accepting import earn, rings
from tests.client.calls import CALLS, methods
from tests.client.in_a_loop import answer, run
from tests.databases import Clones, settings_of
from tests.ledger import Ledger
from tests.working import working

USERS = 100


def public(client: type) -> Iterator[tuple[str, Any]]:
    for name, method in inspect.getmembers(client, callable):
        if not name.startswith("_"):
            yield name, method


# --------------------------------------------------------------------------------------- the same client


def test_both_clients_have_the_same_methods_with_the_same_parameters() -> None:
    ours, theirs = dict(public(AsyncPointsClient)), dict(public(PointsClient))
    assert ours.keys() == theirs.keys()
    for name, method in ours.items():
        if name in ("accept", "enqueue", "enqueue_many"):  # the connection is of another type
            assert list(inspect.signature(method).parameters) == list(
                inspect.signature(theirs[name]).parameters
            )
        elif name != "connect":
            assert inspect.signature(method).parameters == inspect.signature(theirs[name]).parameters, name
        assert inspect.iscoroutinefunction(method) or inspect.isasyncgenfunction(method), name
        assert method.__doc__, name


def answer_in_thread(call: Callable[[PointsClient], Any], client: PointsClient) -> Any:
    try:
        return call(client)
    except LedgerError as error:
        return type(error), str(error)


def masked(found: Any) -> str:
    """Return what was found as text, without what differs from one database to the other."""
    moments = r"datetime\.datetime\([^()]*(\([^)]*\))?[^)]*\)|\d{4}-\d\d-\d\dT[\d:.]+Z"
    ids = r"\b[0-9A-HJKMNP-TV-Z]{26}\b|UUID\('[^']*'\)"
    return re.sub(ids, "ID", re.sub(moments, "MOMENT", repr(found)))


def prepare(ledger: Ledger) -> None:
    ledger.tenant(points_type="cash_equivalent")
    ledger.apply(earn())


def test_every_call_has_the_same_answer_or_the_same_error(
    ledger: Ledger, clones: Clones, servers: ServerUrls, redis_url: str
) -> None:
    assert set(CALLS) == set(methods())
    with clones.one() as url, Ledger(settings_of(servers, url, redis_url, redis_prefix="other")) as other:
        prepare(ledger)
        prepare(other)

        async def answers(client: AsyncPointsClient) -> dict[str, Any]:
            return {name: masked(await answer(call(client))) for name, call in CALLS.items()}  # type: ignore[arg-type]

        expected = {name: masked(answer_in_thread(call, other.client)) for name, call in CALLS.items()}
        assert run(ledger, answers) == expected
    assert sum("Error" in each or "Missing" in each for each in expected.values()) < len(expected) / 2


def test_more_tasks_than_connections_share_a_client(ledger: Ledger) -> None:
    ledger.tenant()

    async def applied(client: AsyncPointsClient, number: int) -> bool:
        task_id = await client.enqueue(earn(number + 1, f"user-{number}"))
        is_applied = (await client.wait(task_id, timeout=60)).state == "applied"
        account = await client.account("shop", f"user-{number}")
        return is_applied and bool(account["balance"] == number + 1)

    async def use(client: AsyncPointsClient) -> list[bool]:
        return await asyncio.gather(*(applied(client, number) for number in range(USERS)))

    with working(ledger):
        assert all(run(ledger, use))


def test_commands_of_tasks_that_wait_for_a_leader_share_a_statement(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    accept_each = journal.accept_each

    def counted(connection: Any, records: Any, *more: Any) -> Any:
        sizes.append(len(records))
        return accept_each(connection, records, *more)

    monkeypatch.setattr(journal, "accept_each", counted)
    monkeypatch.setattr(backlog, "_FRESH_SECONDS", 600.0)
    commands = [earn(number + 1) for number in range(20)]

    async def use(client: AsyncPointsClient) -> list[str]:
        await client.enqueue(earn())  # measures the backlog
        return await asyncio.gather(*map(client.enqueue, commands))

    assert run(ledger, use) == [show_id(command.id) for command in commands]
    assert sorted(sizes) == [1, 1, 1, 18]
    assert rings(ledger) == 1


def test_many_commands_are_encoded_in_a_thread_and_one_on_the_loop(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded_in: list[threading.Thread] = []

    def noted(command: Any, lanes: int) -> Any:
        encoded_in.append(threading.current_thread())
        return encode(command, lanes)

    monkeypatch.setattr(acceptor, "encode", noted)

    async def use(client: AsyncPointsClient) -> tuple[int, int]:
        await client.enqueue(earn())
        assert set(encoded_in) == {threading.current_thread()}
        encoded_in.clear()
        accepted = await client.accept([earn() for _ in range(101)])
        batch = await client.batch_earn("shop", [("anna", 1)] * 101, idempotency_key="k")
        assert threading.current_thread() not in encoded_in
        return accepted.new, batch.new

    assert run(ledger, use) == (101, 101)
    assert len(encoded_in) == 202


def test_more_tasks_than_connections_to_redis_ring_without_an_error(
    ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    receipt = Receipt([], 0, frozenset([1]))

    async def use(client: AsyncPointsClient) -> None:
        await asyncio.gather(*(client.ring(receipt) for _ in range(3 * USERS)))

    run(ledger, use)
    assert rings(ledger) == 1
    assert not caplog.records


# --------------------------------------------------------------------------------------------- waiting


def test_tasks_that_wait_share_one_subscription(ledger: Ledger) -> None:
    ledger.tenant()

    async def use(client: AsyncPointsClient) -> list[str]:
        task_ids = await client.enqueue_many([earn() for _ in range(30)])
        waiting = [asyncio.create_task(client.wait(task_id, timeout=60)) for task_id in task_ids]
        channel = channel_of(ledger.settings)
        while not dict(ledger.redis.pubsub_numsub(channel))[channel]:
            await asyncio.to_thread(ledger.redis.ping)
        assert dict(ledger.redis.pubsub_numsub(channel)) == {channel: 1}
        await asyncio.to_thread(ledger.drain)
        return [outcome.state for outcome in await asyncio.gather(*waiting)]

    assert set(run(ledger, use)) == {"applied"}
    assert ledger.redis.pubsub_numsub(channel_of(ledger.settings))[0][1] == 0, "it ends with the client"


def test_waiting_polls_while_redis_is_away(ledger: Ledger) -> None:
    ledger.tenant()
    away = ledger.settings.model_copy(update={"redis_url": "redis://127.0.0.1:1/0"})

    async def main() -> str:
        async with AsyncPointsClient(away) as client:
            return (await client.wait(await client.enqueue(earn()), timeout=60)).state

    with working(ledger):
        assert asyncio.run(main()) == "applied"
