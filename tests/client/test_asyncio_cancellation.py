"""A canceled task leaves no command half accepted, no connection behind, and other tasks' commands alone."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from pointledger import AsyncPointsClient, Earn
from pointledger.errors import LedgerError
from pointledger.ids import show_id
from tests.client.accepting import earn, in_journal
from tests.ledger import Ledger
from tests.waiting import wait_until

Call = Callable[[AsyncPointsClient, list[Earn]], Awaitable[Any]]
MOST_STEPS = 200  # of the loop, until a call has ended

ACCEPTING: dict[str, Call] = {
    "enqueue": lambda client, commands: client.enqueue(commands[0]),
    "enqueue_many": lambda client, commands: client.enqueue_many(commands),
    "batch_earn": lambda client, _: client.batch_earn("shop", [("anna", 1)] * 2, idempotency_key="k"),
}
QUERIES: dict[str, Call] = {
    "account": lambda client, _: client.account("shop", "anna"),
    "outcome": lambda client, commands: client.outcome(show_id(commands[0].id)),
    "wait": lambda client, commands: client.wait(show_id(commands[0].id), timeout=60),
    "export_user": lambda client, _: client.export_user("shop", "anna"),
}


def pool(client: AsyncPointsClient) -> Any:
    return client._client._own.database.pool


async def canceled_after(steps: int, call: Awaitable[Any]) -> bool:
    """Cancel a call after so many steps of the loop. Return whether it had ended before."""
    task = asyncio.ensure_future(call)
    for _ in range(steps):
        await asyncio.sleep(0)
    has_ended = task.done()
    task.cancel()
    with suppress(asyncio.CancelledError, LedgerError):
        await task
    return has_ended


async def at_every_step(ledger: Ledger, call: Call) -> list[list[Earn]]:
    """Cancel the call at each step of the loop, each time with new commands. Return these."""
    sent = []
    async with AsyncPointsClient(ledger.settings) as client:
        for steps in range(MOST_STEPS):
            sent.append([earn(user_id=f"user-{number}") for number in range(3)])
            if await canceled_after(steps, call(client, sent[-1])):
                break
            for task in list(client._running):
                with suppress(asyncio.CancelledError, LedgerError):
                    await task
            assert pool(client).checkedout() == 0, f"after {steps} steps"
        assert pool(client).checkedout() == 0
    return sent


@pytest.mark.parametrize("call", ACCEPTING.values(), ids=ACCEPTING)
def test_a_call_that_is_canceled_at_any_step_accepts_all_or_nothing(ledger: Ledger, call: Call) -> None:
    ledger.tenant()
    sent = asyncio.run(at_every_step(ledger, call))
    assert len(sent) > 3, "it was canceled at several steps"
    accepted = set(in_journal(ledger))
    for commands in sent:
        found = {show_id(command.id) for command in commands} & accepted
        assert len(found) in (0, 1, 3)
    journal, pending = ledger.counts("journal", "pending")
    assert journal == pending > 0


@pytest.mark.parametrize("call", QUERIES.values(), ids=QUERIES)
def test_a_query_that_is_canceled_at_any_step_leaves_no_connection(ledger: Ledger, call: Call) -> None:
    ledger.tenant()
    ledger.apply(earn())
    assert len(asyncio.run(at_every_step(ledger, call))) > 3


def test_a_call_in_the_callers_transaction_is_canceled_with_it(ledger: Ledger) -> None:
    url = make_url(ledger.settings.database).set(drivername="postgresql+psycopg")

    async def rolled_back(client: AsyncPointsClient, engine: AsyncEngine) -> None:
        async with engine.connect() as connection:
            try:
                await client.enqueue_many([earn(), earn()], connection)
            finally:
                await connection.rollback()

    async def main() -> list[str]:
        engine = create_async_engine(url)
        async with AsyncPointsClient(ledger.settings) as client:
            for steps in range(MOST_STEPS):
                if await canceled_after(steps, rolled_back(client, engine)):
                    break
                assert isinstance(engine.pool, sa.AsyncAdaptedQueuePool)
                assert engine.pool.checkedout() == 0
            assert steps > 3
            async with engine.begin() as connection:
                kept = await client.enqueue_many([earn()], connection)
        await engine.dispose()
        return kept

    assert asyncio.run(main()) == in_journal(ledger)


def test_a_canceled_query_also_ends_in_postgres(ledger: Ledger) -> None:
    ledger.tenant()

    async def main() -> None:
        async with AsyncPointsClient(ledger.settings) as client:
            task = asyncio.create_task(client.account("shop", "anna"))
            await asyncio.to_thread(wait_until, ledger.has_lock_waiter, "the query waits")
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await asyncio.to_thread(wait_until, lambda: not ledger.has_lock_waiter(), "it ends")
            await asyncio.to_thread(wait_until, lambda: not pool(client).checkedout(), "its connection")

    with ledger.owner.begin() as locked:
        locked.exec_driver_sql("LOCK TABLE accounts")
        asyncio.run(main())


@pytest.mark.parametrize(
    "which", [slice(0, 2), slice(2, None, 2), slice(None)], ids=["leaders", "half", "all"]
)
def test_canceling_some_tasks_neither_loses_nor_cancels_commands_of_others(
    ledger: Ledger, which: slice
) -> None:
    commands = [earn(number + 1) for number in range(30)]

    async def main(transaction: sa.Transaction) -> list[Any]:
        async with AsyncPointsClient(ledger.settings) as client:
            tasks = [asyncio.create_task(client.enqueue(command)) for command in commands]
            await asyncio.to_thread(wait_until, ledger.has_lock_waiter, "the leaders wait")
            for task in tasks[which]:
                task.cancel()
            await asyncio.wait(tasks[which])
            transaction.commit()
            found = await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.wait({*client._running, asyncio.ensure_future(asyncio.sleep(0))})
            assert pool(client).checkedout() == 0
            return found

    with ledger.owner.connect() as locked:
        transaction = locked.begin()
        locked.exec_driver_sql("LOCK TABLE journal")
        found = asyncio.run(main(transaction))
    canceled = set(commands[which])
    for command, result in zip(commands, found, strict=True):
        if command in canceled:
            assert isinstance(result, asyncio.CancelledError)
        else:
            assert result == show_id(command.id)
    assert sorted(in_journal(ledger)) == sorted(show_id(command.id) for command in commands), "each goes on"


def test_a_loop_that_ends_during_a_call_ends_in_time_and_accepts_all_or_nothing(ledger: Ledger) -> None:
    command = earn()

    async def main() -> None:
        client = AsyncPointsClient(ledger.settings)
        task = asyncio.create_task(client.enqueue(command))
        await asyncio.to_thread(wait_until, ledger.has_lock_waiter, "the call waits")
        assert not task.done()

    with ledger.owner.begin() as locked:
        locked.exec_driver_sql("LOCK TABLE journal")
        asyncio.run(main())
    wait_until(lambda: not ledger.has_lock_waiter(), "its statement has ended")
    assert ledger.counts("journal", "pending") in ([0, 0], [1, 1])
