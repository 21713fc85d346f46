"""Waiting for outcomes, all requests together: one subscription to what batches announce, one statement for
everybody whom an announcement may concern. Announcements may be lost, so now and then all are looked at."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from typing import Any
from uuid import UUID

import redis.asyncio
from redis.exceptions import RedisError

from pointledger.logs import Log, Outage
from pointledger.messaging.notifications import channel_of
from pointledger.settings import Settings
from pointledger.storage.queries.outcomes import Answered

_LOOK_SECONDS = 0.25  # should an announcement be lost
_AT_ONCE = 1_000  # outcomes read by one statement
_PAUSE_SECONDS = 1.0  # after Redis, or the database, failed

Read = Callable[[list[UUID]], Awaitable[dict[UUID, Answered]]]

_log = Log(__name__)


class Waiting:
    """Those who wait for outcomes in one event loop. `read`: the answers of command ids."""

    def __init__(self, client: redis.asyncio.Redis, settings: Settings, read: Read) -> None:
        self._client = client
        self._channels = [channel_of(settings, lane) for lane in range(settings.lanes)]
        self._read = read
        self._futures: dict[UUID, list[asyncio.Future[Answered]]] = {}
        self._by_lane: dict[int, set[UUID]] = defaultdict(set)
        self._wanted: set[UUID] = set()  # of these there may be news
        self._news = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._redis = Outage(_log, "listen")

    def start(self) -> None:
        """Begins to listen and to look."""
        self._tasks = [asyncio.create_task(self._listen()), asyncio.create_task(self._look_for_ever())]

    async def stop(self) -> None:
        """Ends both."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def __len__(self) -> int:
        return len(self._futures)

    def expect(self, command_id: UUID, lane: int) -> asyncio.Future[Answered]:
        """Will hold the answer. To be called before the command is accepted, so that no announcement is
        missed; `forget` it afterwards, in any case."""
        future: asyncio.Future[Answered] = asyncio.get_running_loop().create_future()
        self._futures.setdefault(command_id, []).append(future)
        self._by_lane[lane].add(command_id)
        return future

    def look_at(self, command_id: UUID) -> None:
        """Its outcome may be there already."""
        self._wanted.add(command_id)
        self._news.set()

    def forget(self, command_id: UUID, lane: int, future: asyncio.Future[Answered]) -> None:
        """Nobody waits with this future any more."""
        future.cancel()
        futures = self._futures.get(command_id, [])
        if future in futures:
            futures.remove(future)
        if not futures:
            self._futures.pop(command_id, None)
            self._by_lane[lane].discard(command_id)

    async def _listen(self) -> None:
        while True:
            try:
                async with self._client.pubsub() as subscription:
                    await subscription.subscribe(*self._channels)
                    async for message in subscription.listen():
                        self._redis.over()
                        self._heard(message)
            except (RedisError, OSError) as error:
                self._redis.noticed(error)
            await asyncio.sleep(_PAUSE_SECONDS)

    def _heard(self, message: dict[str, Any]) -> None:
        lane = int(message["channel"].rpartition(":")[2])
        if waiting := self._by_lane.get(lane):
            self._wanted |= waiting
            self._news.set()

    async def _look_for_ever(self) -> None:
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), _LOOK_SECONDS)
            self._news.clear()
            wanted, self._wanted = self._wanted or set(self._futures), set()
            try:
                await self._look(wanted & self._futures.keys())
            except Exception as error:  # nobody else looks: it goes on, whatever the database says
                _log.warning("outcomes_not_read", action="look", error=type(error).__name__)
                await asyncio.sleep(_PAUSE_SECONDS)

    async def _look(self, wanted: Collection[UUID]) -> None:
        ids = list(wanted)
        for start in range(0, len(ids), _AT_ONCE):
            found = await self._read(ids[start : start + _AT_ONCE])
            for command_id, answered in found.items():
                if not answered.is_final:
                    continue
                for future in self._futures.get(command_id, ()):
                    if not future.done():
                        future.set_result(answered)
