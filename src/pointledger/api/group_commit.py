"""Accepting together: what waits when a statement is free goes into the journal with it.

No timer: a request that comes alone goes alone, at once. While statements are under way requests gather, so
groups grow with the load, and the cost of a commit is shared.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import NamedTuple

from pointledger.api import metrics
from pointledger.client.receipts import Verdict
from pointledger.domain.commands import AnyCommand
from pointledger.errors import BacklogFull, LedgerError
from pointledger.storage.errors import is_transient

AT_ONCE = 2  # groups under way: one waits for the disk while the other is made ready
_MOST = 500  # of one group: its statement takes some 20 milliseconds

AcceptEach = Callable[[Sequence[AnyCommand]], list[Verdict | LedgerError]]


class _Waiting(NamedTuple):
    command: AnyCommand
    verdict: asyncio.Future[Verdict]


class Accepting:
    """Accepts commands of one event loop, in the threads of an executor."""

    def __init__(self, accept_each: AcceptEach, executor: Executor) -> None:
        self._accept_each = accept_each
        self._executor = executor
        self._waiting: list[_Waiting] = []
        self._groups: set[asyncio.Task[None]] = set()

    async def accept(self, command: AnyCommand) -> Verdict:
        """Returns when the command is durable. Raises what `Acceptance.accept_each` gives or raises."""
        waiting = _Waiting(command, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        if len(self._groups) < AT_ONCE:
            group = asyncio.create_task(self._accept_all())
            self._groups.add(group)
            group.add_done_callback(self._groups.discard)
        return await waiting.verdict

    async def _accept_all(self) -> None:
        while self._waiting:
            group, self._waiting = self._waiting[:_MOST], self._waiting[_MOST:]
            metrics.GROUP_SIZE.observe(len(group))
            for waiting, verdict in zip(group, await self._verdicts(group), strict=True):
                if waiting.verdict.done():  # its request was given up
                    continue
                if isinstance(verdict, Verdict):
                    waiting.verdict.set_result(verdict)
                else:
                    waiting.verdict.set_exception(verdict)

    async def _verdicts(self, group: list[_Waiting]) -> list[Verdict | BaseException]:
        """Each one's. What fails together and is not the database's doing is tried one by one."""
        loop = asyncio.get_running_loop()
        commands = [waiting.command for waiting in group]
        try:
            return list(await loop.run_in_executor(self._executor, self._accept_each, commands))
        except Exception as error:
            if len(group) == 1 or is_transient(error) or isinstance(error, BacklogFull):
                return [error] * len(group)
        return [verdict for waiting in group for verdict in await self._verdicts([waiting])]
