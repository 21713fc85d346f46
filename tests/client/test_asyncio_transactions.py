"""The client for asyncio accepts commands in the caller's own transaction."""

import psycopg
import pytest
import sqlalchemy as sa
from psycopg.rows import dict_row
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.pool import NullPool

from pointledger import AsyncPointsClient
from pointledger.errors import (
    IdempotencyKeyReused,
)
from pointledger.settings import Settings
from tests.client.accepting import earn, rings
from tests.client.in_a_loop import run
from tests.ledger import Ledger


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
