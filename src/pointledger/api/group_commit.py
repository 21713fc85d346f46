"""Group commit: accepts the commands of concurrent requests with one statement.

There is no timer. A single request is accepted immediately. While statements run, requests queue up, so
groups grow with the load and share the cost of a commit.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import NamedTuple

from pointledger.api import metrics
from pointledger.client.receipts import AcceptResult
from pointledger.domain.commands import AnyCommand
from pointledger.errors import BacklogFull, LedgerError
from pointledger.storage.errors import is_transient

AT_ONCE = 2  # groups in progress: one waits for the disk while the other is prepared
_MAX_GROUP = 500  # commands; their statement takes about 20 milliseconds

AcceptEach = Callable[[Sequence[AnyCommand]], list[AcceptResult | LedgerError]]


class _Pending(NamedTuple):
    command: AnyCommand
    result: asyncio.Future[AcceptResult]


class GroupCommit:
    """Accepts the commands of one event loop in the threads of an executor."""

    def __init__(self, accept_each: AcceptEach, executor: Executor) -> None:
        self._accept_each = accept_each
        self._executor = executor
        self._pending: list[_Pending] = []
        self._groups: set[asyncio.Task[None]] = set()

    async def accept(self, command: AnyCommand) -> AcceptResult:
        """Return when the command is durable. Raises the errors of `Acceptance.accept_each`."""
        pending = _Pending(command, asyncio.get_running_loop().create_future())
        self._pending.append(pending)
        if len(self._groups) < AT_ONCE:
            group = asyncio.create_task(self._accept_all())
            self._groups.add(group)
            group.add_done_callback(self._groups.discard)
        return await pending.result

    async def _accept_all(self) -> None:
        while self._pending:
            group, self._pending = self._pending[:_MAX_GROUP], self._pending[_MAX_GROUP:]
            metrics.GROUP_SIZE.observe(len(group))
            for pending, result in zip(group, await self._results(group), strict=True):
                if pending.result.done():  # the request was canceled
                    continue
                if isinstance(result, AcceptResult):
                    pending.result.set_result(result)
                else:
                    pending.result.set_exception(result)

    async def _results(self, group: list[_Pending]) -> list[AcceptResult | BaseException]:
        """Return one result for each command.

        If a group fails for a reason other than an outage or a full backlog, try its commands one by one.
        """
        loop = asyncio.get_running_loop()
        commands = [pending.command for pending in group]
        try:
            return list(await loop.run_in_executor(self._executor, self._accept_each, commands))
        except Exception as error:
            if len(group) == 1 or is_transient(error) or isinstance(error, BacklogFull):
                return [error] * len(group)
        return [result for pending in group for result in await self._results([pending])]
