"""Turns: the order in which requests begin, and in which commands are answered.

Either takes the event loop up to half a millisecond. If more requests are ready than the loop can work on,
they wait here and not in the loop, where all would stand in one queue. Each round of the loop gives a few of
them a turn. Tenants take turns, and so do the callers of a tenant. So a request waits for one request of each
other tenant, and for the steps of those that have begun.

The tenant is known before the route if the token was used before. A request with another token takes turns
with the client addresses of such requests.
"""

import asyncio
from collections import deque
from dataclasses import dataclass

# Up to eight milliseconds of a round. Fewer turns make smaller groups of commands that are accepted together:
# with 1 a request takes half as much CPU again, with 16 a tenth more.
PER_ROUND = 16


@dataclass(frozen=True, slots=True)
class Party:
    """Who takes turns with others, and its caller. `is_known` is False for an address."""

    is_known: bool
    name: str
    caller: str = ""


class Turns:
    """The turns of one event loop."""

    def __init__(self) -> None:
        self._taken = 0  # turns of this round
        # Parties, their callers, and their requests. Who had a turn goes to the end.
        self._waiting: dict[tuple[bool, str], dict[str, deque[asyncio.Future[None]]]] = {}

    async def take(self, party: Party) -> None:
        """Wait for a turn."""
        loop = asyncio.get_running_loop()
        if self._taken < PER_ROUND and not self._waiting:
            if not self._taken:
                loop.call_soon(self._begin_round)
            self._taken += 1
            return
        turn = loop.create_future()
        callers = self._waiting.setdefault((party.is_known, party.name), {})
        callers.setdefault(party.caller, deque()).append(turn)
        await turn

    def _begin_round(self) -> None:
        self._taken = 0
        while self._taken < PER_ROUND and (turn := self._next()):
            turn.set_result(None)
            self._taken += 1
        if self._taken:
            asyncio.get_running_loop().call_soon(self._begin_round)

    def _next(self) -> "asyncio.Future[None] | None":
        while self._waiting:
            name, callers = next(iter(self._waiting.items()))
            caller, turns = next(iter(callers.items()))
            turn = turns.popleft()
            del callers[caller], self._waiting[name]
            if turns:
                callers[caller] = turns
            if callers:
                self._waiting[name] = callers
            if not turn.done():  # the request was canceled
                return turn
        return None
