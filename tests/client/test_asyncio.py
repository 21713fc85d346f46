"""The client for asyncio does what the other one does, for the tasks of one event loop."""

import asyncio
import copy
import gc
import inspect
import os
import pickle
import re
import sys
import threading
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from psycopg.rows import dict_row
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.pool import NullPool

from pointledger import AsyncPointsClient, PointsClient, Receipt
from pointledger.client import acceptor, backlog
from pointledger.client.encoding import encode
from pointledger.embedded import ServerUrls
from pointledger.errors import (
    AsyncNotInstalled,
    ClientClosed,
    ClientNotCopied,
    ClientOfAnotherLoop,
    DatabaseNotMigrated,
    IdempotencyKeyReused,
    LedgerError,
    WaitTimedOut,
)
from pointledger.ids import show_id
from pointledger.messaging.notifications import channel_of
from pointledger.settings import Settings
from pointledger.storage.queue import journal
from tests.client.accepting import earn, rings
from tests.client.calls import CALLS, methods
from tests.databases import Clones, settings_of
from tests.ledger import Ledger
from tests.working import working

USERS = 100


def run(ledger: Ledger, use: Callable[[AsyncPointsClient], Awaitable[Any]]) -> Any:
    """Use a client in an event loop of its own."""

    async def main() -> Any:
        async with AsyncPointsClient(ledger.settings) as client:
            return await use(client)

    return asyncio.run(main())


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


async def answer(given: Any) -> Any:
    """Return the result of a call, or its error."""
    try:
        if isinstance(given, AsyncIterator):
            return [each async for each in given]
        return await given
    except LedgerError as error:
        return type(error), str(error)


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


# --------------------------------------------------------------------------- the caller's transaction


@pytest.fixture
def engine(settings: Settings) -> AsyncEngine:
    url = make_url(settings.database).set(drivername="postgresql+psycopg_async")
    return create_async_engine(url, poolclass=NullPool)


def test_a_command_in_the_callers_transaction_is_accepted_at_its_commit(
    ledger: Ledger, engine: AsyncEngine
) -> None:
    async def use(client: AsyncPointsClient) -> list[str]:
        async with engine.connect() as connection:
            gone = await client.enqueue(earn(), connection)
            await connection.rollback()
            receipt = await client.accept([earn()], connection)
            assert (await client.outcome(receipt.task_ids[0])).state == "unknown"
            assert (receipt.new, rings(ledger)) == (1, 0)
            await connection.commit()
        await client.ring(receipt)
        return [one.state for one in await client.outcomes([gone, *receipt.task_ids])]

    assert run(ledger, use) == ["unknown", "pending"]
    assert rings(ledger) == 1


def test_a_session_rings_after_its_commit_and_not_after_a_rollback(
    ledger: Ledger, engine: AsyncEngine
) -> None:
    async def use(client: AsyncPointsClient) -> list[str]:
        async with AsyncSession(engine) as session:
            [gone] = await client.enqueue_many([earn()], session)
            await session.rollback()
            assert rings(ledger) == 0
            [kept] = await client.enqueue_many([earn()], session)
            assert rings(ledger) == 0
            await session.commit()
            assert rings(ledger) == 1
        return [one.state for one in await client.outcomes([gone, kept])]

    assert run(ledger, use) == ["unknown", "pending"]


def test_a_command_in_a_psycopg_connection_belongs_to_its_transaction(ledger: Ledger) -> None:
    async def use(client: AsyncPointsClient) -> list[str]:
        async with await psycopg.AsyncConnection.connect(
            ledger.settings.database, row_factory=dict_row
        ) as connection:
            gone = await client.enqueue(earn(), connection)
            await connection.rollback()
            kept = await client.enqueue(earn(idempotency_key="k"), connection)
            again = await client.enqueue(earn(idempotency_key="k"), connection)
            with pytest.raises(IdempotencyKeyReused):
                await client.enqueue(earn(6, idempotency_key="k"), connection)
        return [one.state for one in await client.outcomes([gone, kept, again])]

    assert run(ledger, use) == ["unknown", "pending", "pending"]
    assert ledger.counts("journal", "pending") == [1, 1]


def test_a_reused_key_leaves_the_callers_transaction_as_it_was(ledger: Ledger, engine: AsyncEngine) -> None:
    ledger.client.enqueue(earn(idempotency_key="k"))

    async def use(client: AsyncPointsClient) -> str:
        async with engine.begin() as connection:
            with pytest.raises(IdempotencyKeyReused):
                await client.enqueue(earn(6, idempotency_key="k"), connection)
            return await client.enqueue(earn(), connection)

    assert ledger.client.outcome(run(ledger, use)).state == "pending"


def test_a_connection_that_is_not_open_or_of_another_kind_is_named(
    ledger: Ledger, engine: AsyncEngine
) -> None:
    async def use(client: AsyncPointsClient) -> None:
        with ledger.database.connect() as of_a_thread:
            for connection in (engine.connect(), of_a_thread):
                with pytest.raises(TypeError, match="an open AsyncConnection or AsyncSession"):
                    await client.enqueue(earn(), connection)  # type: ignore[arg-type]

    run(ledger, use)


def test_a_connection_of_another_driver_is_named(ledger: Ledger) -> None:
    with sa.create_engine("sqlite://").connect() as other, pytest.raises(TypeError, match="psycopg, not"):
        ledger.client.enqueue(earn(), other)


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


# ------------------------------------------------------------------------------------------- life cycle


def test_every_method_of_a_closed_client_raises(ledger: Ledger) -> None:
    async def main() -> list[Any]:
        client = await AsyncPointsClient.connect(ledger.settings)
        await client.close()
        await client.close()
        return [(await answer(CALLS[name](client)))[0] for name in methods()]  # type: ignore[arg-type]

    assert set(asyncio.run(main())) == {ClientClosed}


def test_closing_lets_waiting_tasks_raise_and_others_succeed(ledger: Ledger) -> None:
    async def main() -> list[Any]:
        client = AsyncPointsClient(ledger.settings)
        task_id = await client.enqueue(earn())
        waiting = [asyncio.create_task(client.wait(task_id, timeout=600)) for _ in range(3)]
        running = asyncio.create_task(client.enqueue(earn()))
        while not client._client._own.looks._waiters:
            await asyncio.sleep(0)
        await client.close()
        return await asyncio.gather(*waiting, running, return_exceptions=True)

    *waited, accepted = asyncio.run(main())
    assert [type(one) for one in waited] == [ClientClosed] * 3
    assert ledger.client.outcome(accepted).state == "pending"


def test_a_client_that_is_freed_ends_its_subscription(ledger: Ledger) -> None:
    async def main() -> None:
        client = AsyncPointsClient(ledger.settings)
        with pytest.raises(WaitTimedOut):
            await client.wait(await client.enqueue(earn()), timeout=0)
        [listening] = [task for task in asyncio.all_tasks() if task.get_name() == "notifications"]
        freed = weakref.ref(client)
        del client
        await asyncio.sleep(0)  # the loop lets go of the call
        gc.collect()
        assert freed() is None
        with suppress(asyncio.CancelledError):
            await listening
        assert listening.done()

    asyncio.run(main())


def test_connecting_looks_at_the_database(ledger: Ledger, owner_url: str) -> None:
    with psycopg.connect(owner_url, autocommit=True) as owner:
        owner.execute("DROP TABLE alembic_version")
    with pytest.raises(DatabaseNotMigrated):
        asyncio.run(AsyncPointsClient.connect(ledger.settings))


def test_another_loop_and_a_forked_process_get_a_clear_error(ledger: Ledger) -> None:
    client = AsyncPointsClient(ledger.settings)
    asyncio.run(client.has_room([1]))
    with pytest.raises(ClientOfAnotherLoop, match="another loop"):
        asyncio.run(client.has_room([1]))
    client._process = os.getppid()  # as after a fork
    with pytest.raises(ClientOfAnotherLoop, match="was forked"):
        asyncio.run(client.close())


def test_without_greenlet_the_error_says_what_to_install(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "greenlet", None)
    with pytest.raises(AsyncNotInstalled, match=r"pip install\s+'pointledger\[async\]'"):
        AsyncPointsClient(settings)


@pytest.mark.parametrize("made", [copy.copy, pickle.dumps])
def test_a_client_cannot_be_copied(settings: Settings, made: Callable[[Any], Any]) -> None:
    with pytest.raises(ClientNotCopied):
        made(AsyncPointsClient(settings))
