"""Threads for blocking work, shared fairly between tenants and their callers.

A call that runs cannot be stopped, so no tenant may use the last free thread of a pool that it alone has
filled: the next tenant's call starts at once. Tenants take turns, and so do the callers of a tenant.

Each kind of work has a pool of its own, so a query by key never waits for a report.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from contextvars import copy_context
from dataclasses import dataclass
from enum import Enum
from functools import partial
from types import TracebackType
from typing import Any, TypeVar

from pointledger import tracing
from pointledger.api.slots import ShareTaken, Slot

_WAIT_SECONDS = 5.0  # for a thread; a caller that waited longer would have given up

Result = TypeVar("Result")


class Pool(Enum):
    """A kind of work."""

    QUERIES = "queries"
    REPORTS = "reports"
    WRITES = "writes"


# With 3 threads that accept, 1 for outcomes and 1 that measures the backlog, fewer than the connections of
# the database's pool (15). Reports: each can keep a core of the database busy.
THREADS = {Pool.QUERIES: 5, Pool.REPORTS: 2, Pool.WRITES: 2}


@dataclass(eq=False, slots=True)
class _Call:
    function: Callable[[], Any]
    tenant_id: str
    caller: str
    slot: Slot
    result: "asyncio.Future[Any]"


class FairThreads:
    """A pool of threads, for one event loop."""

    def __init__(self, name: str, count: int) -> None:
        self._executor = ThreadPoolExecutor(count, name)
        self._free = count
        self._most_of_tenant = max(1, count - 1)
        self._running: Counter[str] = Counter()
        # Tenants, their callers, and the callers' calls. Who was served goes to the end.
        self._waiting: dict[str, dict[str, dict[_Call, None]]] = {}

    async def run(self, tenant_id: str, caller: str, slot: Slot, function: Callable[[], Result]) -> Result:
        """Run a function in a thread when it is this caller's turn. Raises ShareTaken after five seconds."""
        loop = asyncio.get_running_loop()
        if tracing.is_on():  # the thread goes on in the request's span
            function = partial(copy_context().run, function)
        call = _Call(function, tenant_id, caller, slot, loop.create_future())
        self._waiting.setdefault(tenant_id, {}).setdefault(caller, {})[call] = None
        slot.give_up = lambda: self._give_up(call)
        timer = loop.call_later(_WAIT_SECONDS, self._give_up, call)
        self._start()
        try:
            result: Result = await call.result
        finally:
            timer.cancel()
            self._forget(call)
        return result

    def close(self) -> None:
        """Wait for the threads, and end them."""
        self._executor.shutdown()

    def _start(self) -> None:
        while self._free and (call := self._next()):
            call.slot.give_up = None
            self._free -= 1
            self._running[call.tenant_id] += 1
            running = asyncio.get_running_loop().run_in_executor(self._executor, call.function)
            running.add_done_callback(lambda done, call=call: self._finished(call, done))  # type: ignore[misc]

    def _next(self) -> _Call | None:
        for tenant_id, callers in self._waiting.items():
            if self._running[tenant_id] >= self._most_of_tenant:
                continue
            caller, calls = next(iter(callers.items()))
            call = next(iter(calls))
            self._forget(call)
            if caller in callers:
                callers[caller] = callers.pop(caller)
            if tenant_id in self._waiting:
                self._waiting[tenant_id] = self._waiting.pop(tenant_id)
            return call
        return None

    def _finished(self, call: _Call, done: "asyncio.Future[Any]") -> None:
        self._free += 1
        self._running[call.tenant_id] -= 1
        if not self._running[call.tenant_id]:
            del self._running[call.tenant_id]
        error = done.exception()
        if call.result.done():  # the request was canceled
            pass
        elif error is not None:
            call.result.set_exception(error)
        else:
            call.result.set_result(done.result())
        self._start()

    def _give_up(self, call: _Call) -> None:
        """End a call that waits. One that runs goes on."""
        if self._forget(call) and not call.result.done():
            call.slot.give_up = None
            call.result.set_exception(ShareTaken("threads"))

    def _forget(self, call: _Call) -> bool:
        """Remove a call that waits. Return whether it did."""
        callers = self._waiting.get(call.tenant_id, {})
        calls = callers.get(call.caller, {})
        if call not in calls:
            return False
        del calls[call]
        if not calls:
            del callers[call.caller]
        if not callers:
            del self._waiting[call.tenant_id]
        return True


class Pools:
    """A pool for each kind of work."""

    def __init__(self) -> None:
        self._pools = {pool: FairThreads(pool.value, count) for pool, count in THREADS.items()}

    def __getitem__(self, pool: Pool) -> FairThreads:
        return self._pools[pool]

    def __enter__(self) -> "Pools":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with ExitStack() as stack:
            for threads in self._pools.values():
                stack.callback(threads.close)
