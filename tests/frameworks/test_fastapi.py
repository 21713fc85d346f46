"""In FastAPI, a command belongs to the request's AsyncSession, and workers are notified at its commit."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Annotated

import pytest
from fastapi import Depends, FastAPI
from fastapi.testclient import TestClient
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from pointledger import AsyncPointsClient
from pointledger.errors import ClientClosed
from pointledger.frameworks.fastapi import Points
from pointledger.ids import show_id
from tests.client.accepting import earn, in_journal, rings
from tests.ledger import Ledger


@pytest.fixture
def points(ledger: Ledger) -> Points:
    return Points(ledger.settings)


@pytest.fixture
def requests(ledger: Ledger, points: Points) -> Iterator[TestClient]:
    """A client of an app that enqueues two commands, one in a savepoint, and ends as the path says."""
    app = FastAPI(lifespan=points.lifespan)

    async def opened_session() -> AsyncIterator[AsyncSession]:
        engine = create_async_engine(ledger.settings.database.replace("postgresql:", "postgresql+psycopg:"))
        async with AsyncSession(engine) as session:
            yield session
        await engine.dispose()

    @app.post("/{savepoint}/{transaction}")
    async def pay(
        savepoint: str,
        transaction: str,
        session: Annotated[AsyncSession, Depends(opened_session)],
        client: Annotated[AsyncPointsClient, Depends(points)],
    ) -> list[str]:
        task_ids = [await client.enqueue(earn(), session)]
        inner = await session.begin_nested()
        task_ids += await client.enqueue_many([earn()], session)
        await (inner.commit() if savepoint == "commit" else inner.rollback())
        assert (await client.outcome(task_ids[0])).state == "unknown"
        if transaction == "commit":
            await session.commit()
        return task_ids

    with TestClient(app) as opened:
        yield opened


def test_a_request_that_commits_accepts_and_rings(ledger: Ledger, requests: TestClient) -> None:
    task_ids = requests.post("/commit/commit").json()
    assert (in_journal(ledger), rings(ledger)) == (task_ids, 1)


def test_a_request_that_does_not_commit_accepts_nothing(ledger: Ledger, requests: TestClient) -> None:
    assert len(requests.post("/commit/leave").json()) == 2
    assert (in_journal(ledger), rings(ledger)) == ([], 0)


def test_a_savepoint_that_is_rolled_back_takes_only_its_own_commands(
    ledger: Ledger, requests: TestClient
) -> None:
    kept, _gone = requests.post("/leave/commit").json()
    assert in_journal(ledger) == [kept]


def test_the_client_lives_as_long_as_the_app(points: Points) -> None:
    with pytest.raises(RuntimeError, match="lifespan"):
        _ = points.client
    asyncio.run(_life(points))


async def _life(points: Points) -> None:
    task_id = show_id(earn().id)
    async with points.lifespan(FastAPI()):
        client = points.client
        assert await points() is client
        assert (await client.outcome(task_id)).state == "unknown"
    with pytest.raises(RuntimeError, match="lifespan"):
        await points()
    with pytest.raises(ClientClosed):
        await client.outcome(task_id)
