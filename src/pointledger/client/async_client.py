"""Provides the client of the ledger for asyncio: `PointsClient`, where each method is awaited.

Each method is that of `PointsClient`. It runs in a greenlet on the loop's own thread, and awaits wherever it
would wait (`storage/awaiting.py`). It also runs in a task of its own, so that a caller who is canceled leaves
nothing half done, and no connection behind.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from functools import partial, wraps
from importlib import import_module
from typing import TYPE_CHECKING, Any, Concatenate, NoReturn, ParamSpec, TypeVar

from pointledger.client.client import PointsClient
from pointledger.client.queries import late
from pointledger.client.receipts import Receipt
from pointledger.domain.commands import AnyCommand
from pointledger.errors import AsyncNotInstalled, ClientNotCopied, ClientOfAnotherLoop

if TYPE_CHECKING:
    import psycopg
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

    from pointledger.settings import Settings

    AsyncCallersConnection = AsyncConnection | AsyncSession | psycopg.AsyncConnection[Any]

Given = ParamSpec("Given")
Result = TypeVar("Result")

_END: Any = object()  # of an iterator


def _awaited(
    method: Callable[Concatenate[PointsClient, Given], Result], *, stops: bool = False
) -> Callable[Concatenate[AsyncPointsClient, Given], Coroutine[Any, Any, Result]]:
    """Return the method for asyncio. `stops`: it ends if its caller is canceled, as it changes nothing."""

    @wraps(method)
    async def call(self: AsyncPointsClient, /, *given: Given.args, **named: Given.kwargs) -> Result:
        return await self._run(partial(method, self._client, *given, **named), stops=stops)

    return call


def _query(
    method: Callable[Concatenate[PointsClient, Given], Result],
) -> Callable[Concatenate[AsyncPointsClient, Given], Coroutine[Any, Any, Result]]:
    return _awaited(method, stops=True)


def _iterated(
    method: Callable[Concatenate[PointsClient, Given], Iterator[Result]],
) -> Callable[Concatenate[AsyncPointsClient, Given], AsyncIterator[Result]]:
    """Return the method for `async for`."""

    @wraps(method)
    async def iterate(
        self: AsyncPointsClient, /, *given: Given.args, **named: Given.kwargs
    ) -> AsyncIterator[Result]:
        found = method(self._client, *given, **named)
        while (each := await self._run(partial(next, found, _END))) is not _END:
            yield each

    return iterate


class AsyncPointsClient:
    """Enqueues commands, and reads outcomes, accounts and entries, in asyncio.

    The tasks of one event loop share a client. Another loop and a forked process each need their own
    (ClientOfAnotherLoop). Names, arguments, results and errors are those of `PointsClient`. What that yields,
    this yields to `async for`.

    A canceled call raises at once. What it was to change goes on in the background: a command whose `enqueue`
    was canceled is accepted or not, and sending the same object again is safe. A canceled query ends.
    """

    def __init__(self, settings: Settings) -> None:
        """Make a client without a look at the database, which may be down. Raises NotConfigured and
        AsyncNotInstalled."""
        try:
            import_module("greenlet")  # an extra of its own, which SQLAlchemy imports
        except ImportError:
            raise AsyncNotInstalled from None
        from pointledger.client.connections import connected_in_loop  # noqa: PLC0415  as `PointsClient` does

        self._client = PointsClient(settings, connected_in_loop)
        self._process = os.getpid()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._running: set[asyncio.Task[Any]] = set()

    @classmethod
    async def connect(cls, settings: Settings | None = None) -> AsyncPointsClient:
        """Make a client for the servers that the settings, or the environment, name. See
        `PointsClient.connect`."""
        settings = settings or late.settings.from_environment()
        client = cls(settings)

        def look() -> None:
            with late.errors.translate_errors():
                late.revision.require_current(client._client._database, settings.lanes)

        try:
            await client._run(look, stops=True)
        except BaseException:
            await client.close()
            raise
        return client

    async def close(self) -> None:
        """Wait for the calls that run, and close the connections. A `wait` raises ClientClosed. Closing again
        does nothing."""
        self._require_own_loop()
        self._client._stop()
        try:
            if self._running:
                await asyncio.wait(self._running)
        finally:
            await asyncio.shield(asyncio.ensure_future(late.awaiting.in_loop(self._client.close)))

    async def __aenter__(self) -> AsyncPointsClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __reduce_ex__(self, _protocol: object) -> NoReturn:
        raise ClientNotCopied

    async def _run(self, call: Callable[[], Result], *, stops: bool = False) -> Result:
        """Run the call in a task of its own. If the caller is canceled, the call ends if it `stops`."""
        self._require_own_loop()
        task = asyncio.ensure_future(late.awaiting.in_loop(call))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if stops:
                task.cancel()  # once: a second cancellation does not disturb its cleaning up
            raise

    def _require_own_loop(self) -> None:
        if os.getpid() != self._process:
            raise ClientOfAnotherLoop("this process was forked after it was made")
        loop = asyncio.get_running_loop()
        if self._loop not in (None, loop):
            raise ClientOfAnotherLoop("this is another loop")
        self._loop = loop

    # ------------------------------------------------------------------------------------- accepting

    async def enqueue(self, command: AnyCommand, connection: AsyncCallersConnection | None = None) -> str:
        """Accept a command and return its task id. The command is durable then, or when your `connection`
        commits. See `accept` for that and for what is raised."""
        return await self._accepted(partial(self._client.enqueue, command), connection)

    async def enqueue_many(
        self, commands: Sequence[AnyCommand], connection: AsyncCallersConnection | None = None
    ) -> list[str]:
        """Accept commands in one transaction and return their task ids, in order."""
        return await self._accepted(partial(self._client.enqueue_many, commands), connection)

    async def accept(
        self, commands: Sequence[AnyCommand], connection: AsyncCallersConnection | None = None
    ) -> Receipt:
        """Accept commands, all or none, as `PointsClient.accept` does.

        `connection`: your own AsyncSession or AsyncConnection of SQLAlchemy with psycopg, or your psycopg
        AsyncConnection, in a READ COMMITTED transaction on the same database. The commands are accepted when
        it commits. Await `ring` after that; a session rings by itself.
        """
        return await self._accepted(partial(self._client.accept, commands), connection)

    async def _accepted(
        self, accept: Callable[..., Result], connection: AsyncCallersConnection | None
    ) -> Result:
        if connection is None:
            return await self._run(accept)
        self._require_own_loop()
        # Not in a task of its own: a caller who is canceled goes on to use the connection.
        return await late.awaiting.in_loop(accept, late.awaiting.synchronous(connection))

    batch_earn = _awaited(PointsClient.batch_earn)
    has_room = _query(PointsClient.has_room)
    ring = _awaited(PointsClient.ring)

    # -------------------------------------------------------------------------------------- outcomes

    outcome = _query(PointsClient.outcome)
    outcomes = _query(PointsClient.outcomes)
    count_outcomes = _query(PointsClient.count_outcomes)
    batch_outcome = _query(PointsClient.batch_outcome)
    batch_outcomes = _iterated(PointsClient.batch_outcomes)
    wait = _query(PointsClient.wait)

    # -------------------------------------------------------------------- pending and dead commands

    cancel = _awaited(PointsClient.cancel)
    retry = _awaited(PointsClient.retry)
    retry_all = _iterated(PointsClient.retry_all)
    verify = _awaited(PointsClient.verify)
    pause = _awaited(PointsClient.pause)
    resume = _awaited(PointsClient.resume)

    # --------------------------------------------------------------------------------------- queries

    account = _query(PointsClient.account)
    accounts = _query(PointsClient.accounts)
    audit_log = _query(PointsClient.audit_log)
    dry_run = _query(PointsClient.dry_run)
    entries = _query(PointsClient.entries)
    entry = _query(PointsClient.entry)
    expiring = _query(PointsClient.expiring)
    explain_entry = _query(PointsClient.explain_entry)
    export_user = _query(PointsClient.export_user)
    hold = _query(PointsClient.hold)
    holds = _query(PointsClient.holds)
    points_by_expiry = _query(PointsClient.points_by_expiry)
    preview_expiry = _query(PointsClient.preview_expiry)
    shared_limits = _query(PointsClient.shared_limits)
    tenant_statistics = _query(PointsClient.tenant_statistics)
    try_command = _query(PointsClient.try_command)
    user_statistics = _query(PointsClient.user_statistics)
    value = _query(PointsClient.value)
    wallet = _query(PointsClient.wallet)
    wallet_entries = _query(PointsClient.wallet_entries)
