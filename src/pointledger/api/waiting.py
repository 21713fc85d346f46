"""Waits for outcomes, for all requests together.

The process has one subscription to the notifications of finished batches. One statement reads the outcomes
of all commands in the notified lanes. Notifications can be lost, so the process also polls all of them.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from typing import Any
from uuid import UUID

import redis.asyncio
from redis.exceptions import RedisError

from pointledger.logs import Log, Outage
from pointledger.messaging.notifications import channel_of, lanes_in
from pointledger.settings import Settings
from pointledger.storage.queries.outcomes import Result

_POLL_SECONDS = 0.25  # in case a notification is lost
_CHUNK = 1_000  # outcomes read by one statement
_PAUSE_SECONDS = 1.0  # after an error of Redis or the database

Read = Callable[[list[UUID]], Awaitable[dict[UUID, Result]]]

_log = Log(__name__)


class OutcomeWaiter:
    """The waiting requests of one event loop. `read` returns the results of command ids."""

    def __init__(self, client: redis.asyncio.Redis, settings: Settings, read: Read) -> None:
        self._client = client
        self._channel = channel_of(settings)
        self._lanes = settings.lanes
        self._read = read
        self._futures: dict[UUID, list[asyncio.Future[Result]]] = {}
        self._by_lane: dict[int, set[UUID]] = defaultdict(set)
        self._to_read: set[UUID] = set()  # commands that may have an outcome by now
        self._wake = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._redis = Outage(_log, "listen")

    def start(self) -> None:
        """Start the subscription and the reader."""
        self._tasks = [
            asyncio.create_task(self._subscribe()),
            asyncio.create_task(self._read_until_canceled()),
        ]

    async def stop(self) -> None:
        """Cancel both tasks and wait for them."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def __len__(self) -> int:
        return len(self._futures)

    def expect(self, command_id: UUID, lane: int) -> asyncio.Future[Result]:
        """Return a future for the result.

        Call this before the command is accepted, so that no notification is missed. Always call `forget`
        afterwards.
        """
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._futures.setdefault(command_id, []).append(future)
        self._by_lane[lane].add(command_id)
        return future

    def check(self, command_id: UUID) -> None:
        """Read the outcome soon, because the command may have one already."""
        self._to_read.add(command_id)
        self._wake.set()

    def forget(self, command_id: UUID, lane: int, future: asyncio.Future[Result]) -> None:
        """Cancel the future and stop reading for it."""
        future.cancel()
        futures = self._futures.get(command_id, [])
        if future in futures:
            futures.remove(future)
        if not futures:
            self._futures.pop(command_id, None)
            self._by_lane[lane].discard(command_id)

    async def _subscribe(self) -> None:
        while True:
            try:
                async with self._client.pubsub() as subscription:
                    await subscription.subscribe(self._channel)
                    async for message in subscription.listen():
                        self._redis.over()
                        self._on_notification(message)
            except (RedisError, OSError) as error:
                self._redis.noticed(error)
            await asyncio.sleep(_PAUSE_SECONDS)

    def _on_notification(self, message: dict[str, Any]) -> None:
        waiting = set[UUID]().union(*(self._by_lane.get(lane, ()) for lane in lanes_in(message, self._lanes)))
        if waiting:
            self._to_read |= waiting
            self._wake.set()

    async def _read_until_canceled(self) -> None:
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), _POLL_SECONDS)
            self._wake.clear()
            command_ids, self._to_read = self._to_read or set(self._futures), set()
            try:
                await self._read_outcomes(command_ids & self._futures.keys())
            except Exception as error:  # all waiting requests depend on this task, so it survives every error
                _log.warning("outcomes_not_read", action="read_outcomes", error=type(error).__name__)
                await asyncio.sleep(_PAUSE_SECONDS)

    async def _read_outcomes(self, command_ids: Collection[UUID]) -> None:
        ids = list(command_ids)
        for start in range(0, len(ids), _CHUNK):
            found = await self._read(ids[start : start + _CHUNK])
            for command_id, result in found.items():
                if not result.is_final:
                    continue
                for future in self._futures.get(command_id, ()):
                    if not future.done():
                        future.set_result(result)
