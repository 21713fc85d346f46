"""Uses the client for asyncio from threads, so that tests of the other client are tests of this one, too."""

import asyncio
import inspect
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

from pointledger import AsyncPointsClient
from pointledger.settings import Settings

SECONDS = 120  # far more than any call takes


class Bridged:
    """An `AsyncPointsClient` with an event loop of its own. Its methods wait, as `PointsClient`'s do."""

    def __init__(self, settings: Settings) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="bridged", daemon=True)
        self._thread.start()
        try:
            self._client: AsyncPointsClient = self._wait(AsyncPointsClient.connect(settings))
        except BaseException:
            self._end()
            raise

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._client, name)

        def call(*given: Any, **named: Any) -> Any:
            found = method(*given, **named)
            return self._wait(found if inspect.isawaitable(found) else _listed(found))

        return call

    def __enter__(self) -> "Bridged":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def _own(self) -> Any:
        return self._client._client._own

    def close(self) -> None:
        if self._thread.is_alive():
            self._wait(self._client.close())
            self._end()

    def _wait(self, awaited: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(awaited, self._loop).result(SECONDS)

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(SECONDS)
        self._loop.close()


async def _listed(found: AsyncIterator[Any]) -> list[Any]:
    return [each async for each in found]
