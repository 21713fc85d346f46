"""Gives the routes of a FastAPI app a client: a lifespan and a dependency."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from pointledger.client.async_client import AsyncPointsClient
from pointledger.client.queries import late
from pointledger.settings import Settings, from_environment


class Points:
    """The ledger, for an app: `points = Points()`, `FastAPI(lifespan=points.lifespan)` and `Depends(points)`.

    The dependency is an `AsyncPointsClient`. Its `enqueue` takes the AsyncSession of the request, and the
    command then exists if and only if that commits. Settings are the given ones, else the environment's.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        late.load()  # before a server forks, as its processes then share it
        self._settings = settings
        self._client: AsyncPointsClient | None = None

    @asynccontextmanager
    async def lifespan(self, _app: FastAPI) -> AsyncIterator[None]:
        """Open the client for the life of an app, and close it. The servers may be down meanwhile.

        A lifespan of yours can enter this one. Raises NotConfigured, SettingsInvalid and AsyncNotInstalled.
        """
        assert self._client is None, "each app has its own Points"
        async with AsyncPointsClient(self._settings or from_environment()) as client:
            self._client = client
            try:
                yield
            finally:
                self._client = None

    @property
    def client(self) -> AsyncPointsClient:
        """The client, for background tasks and the like. Raises RuntimeError outside the lifespan."""
        if self._client is None:
            raise RuntimeError("pointledger: the app's lifespan does not run; see FastAPI(lifespan=...)")
        return self._client

    async def __call__(self) -> AsyncPointsClient:
        """Return the client of the app that serves the request."""
        return self.client
