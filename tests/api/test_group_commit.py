"""Group commit: no request waits for another one to come."""

import asyncio
from concurrent.futures import Executor, Future
from types import SimpleNamespace
from typing import Any, cast

from pointledger.api.group_commit import AT_ONCE, GroupCommit
from pointledger.client.acceptor import Acceptance
from pointledger.client.receipts import AcceptResult
from pointledger.domain.commands import AnyCommand, Earn

_TEST_SECONDS = 60.0  # until a hanging test ends


class _Held(Executor):
    """An executor whose calls all end at once, when the test says so."""

    def __init__(self) -> None:
        self._calls: list[tuple[Future[Any], list[AnyCommand]]] = []

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        self._calls.append((Future(), *args))
        return self._calls[-1][0]

    async def until(self, calls: int) -> None:
        while len(self._calls) < calls:
            await asyncio.sleep(0)

    def end(self) -> None:
        ended, self._calls = self._calls, []
        for future, commands in ended:
            future.set_result([AcceptResult(command.id, is_new=True) for command in commands])


def _earn() -> AnyCommand:
    return Earn(tenant_id="shop", user_id="anna", amount=1)


def test_a_request_that_comes_in_the_moment_in_which_all_groups_end_is_accepted() -> None:
    async def run() -> bool:
        held = _Held()
        commits = GroupCommit(cast("Acceptance", SimpleNamespace(accept_each=None)), held, held)

        async def twice() -> bool:
            await commits.accept(_earn())
            return (await commits.accept(_earn())).is_new  # in the round of the loop in which the groups end

        async with asyncio.timeout(_TEST_SECONDS), asyncio.TaskGroup() as requests:
            first = requests.create_task(twice())
            await held.until(1)
            for number in range(2, AT_ONCE + 1):
                requests.create_task(commits.accept(_earn()))
                await held.until(number)
            held.end()
            await held.until(1)
            held.end()
        return first.result()

    assert asyncio.run(run())
