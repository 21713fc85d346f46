"""The client for asyncio from its making to its end: loops, processes, closing, and what it needs."""

import asyncio
import copy
import gc
import os
import pickle
import sys
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import psycopg
import pytest

from pointledger import AsyncPointsClient
from pointledger.errors import (
    AsyncNotInstalled,
    ClientClosed,
    ClientNotCopied,
    ClientOfAnotherLoop,
    DatabaseNotMigrated,
    WaitTimedOut,
)
from pointledger.settings import Settings
from tests.client.accepting import earn
from tests.client.calls import CALLS, methods
from tests.client.in_a_loop import answer
from tests.ledger import Ledger


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
