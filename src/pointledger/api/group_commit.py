"""Group commit: accepts the commands of concurrent requests with one statement.

There is no timer. A single request is accepted immediately. While statements run, requests queue up, so
groups grow with the load and share the cost of a commit.
"""

import asyncio
from concurrent.futures import Executor
from typing import NamedTuple

from pointledger.api import metrics
from pointledger.client.acceptor import Acceptance
from pointledger.client.group_acceptor import Alone, GroupResult
from pointledger.client.receipts import AcceptResult
from pointledger.client.traced import accepting
from pointledger.domain.commands import AnyCommand
from pointledger.errors import LedgerError

AT_ONCE = 2  # groups in progress: one waits for the disk while the other is prepared
ALONE_AT_ONCE = 1  # commands that their group could not take; each waits half a second for its key at most
_MAX_GROUP = 500  # commands; their statement takes about 20 milliseconds


class _Pending(NamedTuple):
    command: AnyCommand
    result: asyncio.Future[GroupResult]


class GroupCommit:
    """Accepts the commands of one event loop: groups in threads of `executor`, and what they could not take
    in threads of `alone`, where it delays no group."""

    def __init__(self, acceptance: Acceptance, executor: Executor, alone: Executor) -> None:
        self._acceptance = acceptance
        self._executor = executor
        self._alone = alone
        self._pending: list[_Pending] = []
        self._tasks: set[asyncio.Task[None]] = set()  # the loop itself keeps no reference
        self._busy = 0  # tasks that look at `_pending` again; an ended one may still be in `_tasks`

    async def accept(self, command: AnyCommand) -> AcceptResult:
        """Return when the command is durable. Raises what `Acceptance.accept` raises."""
        with accepting([command]) as (traced,):
            return await self._accept(traced)

    async def _accept(self, command: AnyCommand) -> AcceptResult:
        loop = asyncio.get_running_loop()
        pending = _Pending(command, loop.create_future())
        self._pending.append(pending)
        if self._busy < AT_ONCE:
            self._busy += 1
            task = asyncio.create_task(self._accept_all())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        result = await pending.result
        if isinstance(result, Alone):
            return await loop.run_in_executor(self._alone, self._acceptance.accept_alone, command, result)
        if isinstance(result, LedgerError):
            raise result
        return result

    async def _accept_all(self) -> None:
        try:
            while self._pending:
                group, self._pending = self._pending[:_MAX_GROUP], self._pending[_MAX_GROUP:]
                metrics.GROUP_SIZE.observe(len(group))
                for pending, result in zip(group, await self._results(group), strict=True):
                    if not pending.result.done():  # or the request was canceled
                        pending.result.set_result(result)
        finally:
            self._busy -= 1

    async def _results(self, group: list[_Pending]) -> list[GroupResult]:
        commands = [pending.command for pending in group]
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._executor, self._acceptance.accept_each, commands)
        except Exception:  # alone, its cause gets it again, and no one else does
            return [Alone(maybe_done=True)] * len(group)
