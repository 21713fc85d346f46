"""Runs the client for asyncio in an event loop of its own."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from pointledger import AsyncPointsClient
from pointledger.errors import LedgerError
from tests.ledger import Ledger


def run(ledger: Ledger, use: Callable[[AsyncPointsClient], Awaitable[Any]]) -> Any:
    """Use a client in an event loop of its own."""

    async def main() -> Any:
        async with AsyncPointsClient(ledger.settings) as client:
            return await use(client)

    return asyncio.run(main())


async def answer(given: Any) -> Any:
    """Return the result of a call, or its error."""
    try:
        if isinstance(given, AsyncIterator):
            return [each async for each in given]
        return await given
    except LedgerError as error:
        return type(error), str(error)
