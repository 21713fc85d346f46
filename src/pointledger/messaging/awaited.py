"""What `Doorbells` and `LaneNotifications` are for threads, for the tasks of one event loop.

Call these within a greenlet, as `storage/awaiting.py` says.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context
from typing import Any

import redis
import redis.asyncio
from celery import Celery
from sqlalchemy.util import await_only as wait_for

from pointledger.messaging.doorbell import Doorbells
from pointledger.messaging.notifications import PAUSE_SECONDS, READ_SECONDS, LaneNotifications, lanes_in
from pointledger.settings import Settings


class AwaitedRedis(redis.Redis):
    """redis-py's commands over its client for asyncio."""

    def __init__(self, in_loop: redis.asyncio.Redis) -> None:
        super().__init__()  # opens no connection
        self.in_loop = in_loop

    def __del__(self) -> None:
        """Do nothing, because nothing can be awaited here."""

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """Send the command, and let other tasks run until the reply is there."""
        sending = self.in_loop.execute_command(*args, **options)  # type: ignore[no-untyped-call]  # redis-py
        return wait_for(sending)

    def close(self) -> None:
        """Close the connections."""
        wait_for(self.in_loop.aclose())


class AwaitedDoorbells(Doorbells):
    """Rings lanes. kombu knows no asyncio, so a thread sends the doorbells. Most rings only ask Redis,
    because one doorbell on its way suffices."""

    def __init__(self, client: AwaitedRedis, app: Celery, settings: Settings) -> None:
        """Connect on first use."""
        super().__init__(client, app, settings)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="doorbells")

    def _publish(self, lanes: list[int]) -> None:
        self._in_thread(super()._publish, lanes)

    def _hang_up(self) -> None:
        self._in_thread(super()._hang_up)
        self._thread.shutdown(wait=False)

    def _in_thread(self, call: Callable[..., None], *given: Any) -> None:
        wait_for(asyncio.get_running_loop().run_in_executor(self._thread, call, *given))


class AwaitedNotifications(LaneNotifications):
    """Notifications about every lane, read by a task that starts with the first caller that waits."""

    def __init__(self, client: AwaitedRedis, settings: Settings) -> None:
        super().__init__(client, settings)
        self._in_loop = client.in_loop
        self._task: asyncio.Task[None] | None = None

    def listen(self, on_processed: Callable[[set[int]], None]) -> None:
        """Start the task, unless it runs: it calls `on_processed` with the lanes of its notifications."""
        if self._task is None:
            listening = self._listen_until_canceled(on_processed)
            # Without the context of the first caller: its spans and limits are not those of the others.
            self._task = asyncio.get_running_loop().create_task(
                listening, name="notifications", context=Context()
            )

    def stop(self) -> None:
        """End the subscription. Any thread may call this, also when the loop has ended."""
        self._closed.set()
        if self._task and not (loop := self._task.get_loop()).is_closed():
            loop.call_soon_threadsafe(self._task.cancel)

    async def _listen_until_canceled(self, on_processed: Callable[[set[int]], None]) -> None:
        while not self._closed.is_set():
            try:
                await self._read_all(on_processed)
            except Exception as error:  # the only reader must not end
                self._redis.noticed(error)
                await asyncio.sleep(PAUSE_SECONDS)

    async def _read_all(self, on_processed: Callable[[set[int]], None]) -> None:
        async with self._in_loop.pubsub() as subscription:
            await subscription.subscribe(self._channel)
            while True:
                if message := await subscription.get_message(timeout=READ_SECONDS):
                    self._redis.over()
                    self._note(lanes_in(message, len(self._sequence)), on_processed)
