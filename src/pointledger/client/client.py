"""Provides the client of the ledger. A command is durable when `enqueue` returns."""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, NoReturn

from pointledger.client.counts import OutcomeCounts, count_outcomes
from pointledger.client.forks import PerProcess
from pointledger.client.given_ids import given_id
from pointledger.client.queries import late
from pointledger.client.queries.ledger import LedgerQueries
from pointledger.client.receipts import Receipt, SentCommands
from pointledger.domain.commands import AnyCommand
from pointledger.domain.commands.outcomes import Outcome
from pointledger.domain.values.actor import Actor
from pointledger.errors import ClientClosed, ClientNotCopied, WaitTimedOut

if TYPE_CHECKING:
    import sqlalchemy as sa

    from pointledger.client.acceptor import CallersConnection
    from pointledger.client.batches import BatchOutcome, BatchReceipt, Row
    from pointledger.client.connections import Connected
    from pointledger.settings import Settings
    from pointledger.storage.queue.failures import DeadCommandFilter

_OPERATOR = Actor()  # of a control call that names no actor


class PointsClient(LedgerQueries):
    """Enqueues commands, and reads outcomes, accounts and entries.

    Threads may share a client, and so may processes that are forked after it was made: each opens its own
    connections. A client cannot be copied or pickled (ClientNotCopied).

    Every method may raise DatabaseAway and DatabaseFailed, whose `maybe_done` says whether the call may have
    taken effect, and ClientClosed after `close`. Queries may also raise TenantMissing, AccountMissing and
    AnswerTooLate. All errors are LedgerErrors. Redis may be down.
    """

    def __init__(self, settings: Settings, connect: Callable[[Settings], Connected] | None = None) -> None:
        """Make a client as `connect` does, but without a look at the database, which may be down. Raises
        NotConfigured."""
        # Imports SQLAlchemy, psycopg, redis-py and Celery, which a service without a client does not need. It
        # happens here and not at first use, for the reason that `late.load` gives.
        from pointledger.client.connections import connected  # noqa: PLC0415

        late.load()
        make = connect or connected
        self._connected = PerProcess(lambda: make(settings))
        self._is_closed = False
        # Ends the listening thread of a client that is freed without `close`. At exit it ends anyway.
        weakref.finalize(self, _stop_listening, self._connected).atexit = False
        self._connected.get()

    @classmethod
    def connect(cls, settings: Settings | None = None) -> PointsClient:
        """Make a client for the servers that the settings, or the environment, name.

        Raise SettingsInvalid, NotConfigured, DatabaseNotMigrated, LaneCountDiffers and DatabaseAway.
        """
        settings = settings or late.settings.from_environment()
        client = cls(settings)
        try:
            with late.errors.translate_errors():
                late.revision.require_current(client._database, settings.lanes)
        except BaseException:
            client.close()
            raise
        return client

    def close(self) -> None:
        """Close this process' connections. Other processes that share the client keep theirs. A call that
        waits in another thread raises ClientClosed. Closing again does nothing."""
        self._stop()
        if own := self._connected.made():
            own.close()

    def _stop(self) -> None:
        """Let calls that wait, and new ones, raise ClientClosed. Others go on."""
        self._is_closed = True
        if own := self._connected.made():
            own.notifications.stop()
            own.looks.close()

    def __enter__(self) -> PointsClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce_ex__(self, _protocol: object) -> NoReturn:
        raise ClientNotCopied

    @property
    def _own(self) -> Connected:
        """Return this process' connections. Raise ClientClosed."""
        if self._is_closed:
            raise ClientClosed
        return self._connected.get()

    @property
    def _database(self) -> sa.Engine:
        return self._own.database

    # ------------------------------------------------------------------------------------- accepting

    def enqueue(self, command: AnyCommand, connection: CallersConnection | None = None) -> str:
        """Accept a command and return its task id. The command is durable then, or when your `connection`
        commits. See `accept` for that and for what is raised."""
        own = self._own
        sequence = own.notifications.sequence()
        receipt = self.accept([command], connection)
        (task_id,), (lane,) = receipt.task_ids, receipt.lanes
        own.note_sent(task_id, SentCommands(lane, sequence[lane] if receipt.new else 0))
        return task_id

    def enqueue_many(
        self, commands: Sequence[AnyCommand], connection: CallersConnection | None = None
    ) -> list[str]:
        """Accept commands in one transaction and return their task ids, in order. Many are faster than one by
        one: a statement takes a thousand."""
        return self.accept(commands, connection).task_ids

    def accept(self, commands: Sequence[AnyCommand], connection: CallersConnection | None = None) -> Receipt:
        """Accept commands, all or none.

        `connection`: your own open transaction on the same database, READ COMMITTED. The commands are
        accepted when it commits. Call `ring` after that; an ORM session rings by itself.

        Raises IdempotencyKeyReused when an id or key was used with other content, AcceptanceBusy when another
        open transaction holds the same key, and BacklogFull while too many commands are pending. Sending the
        same objects again is always safe.

        In your transaction these errors leave it as it was before the call. An error of your connection comes
        as SQLAlchemy or psycopg raises it, and then the transaction has failed.
        """
        if connection is None:
            return self._own.acceptance.accept(commands)
        return self._own.acceptance.accept_within(commands, connection, self._ring_lanes)

    def batch_earn(
        self, tenant_id: str, rows: Sequence[Row], *, idempotency_key: str, actor: str = "service"
    ) -> BatchReceipt:
        """Accept an earn per row, all or none. A row is `(user_id, amount)`, or a dictionary with an earn's
        fields. A row that is no earn is refused by itself. Sending the same rows with the same key again
        changes nothing. Raises IdempotencyKeyReused for other rows, and InvalidCommand."""
        return self._own.batches.accept(tenant_id, rows, idempotency_key, actor)

    def has_room(self, lanes: Collection[int], tenant_id: str | None = None) -> bool:
        """Say whether each lane has less than a batch of pending commands, of all tenants or of one.

        A program that sends much waits until it has, so that live commands wait for a batch at most.
        """
        return self._own.acceptance.has_room(lanes, tenant_id)

    def ring(self, receipt: Receipt) -> None:
        """Wake the workers, after the commit of your own transaction."""
        self._own.acceptance.ring(receipt)

    def _ring_lanes(self, lanes: Collection[int]) -> None:
        """Ring after a session's commit. The session may outlive the client, or be in a forked process."""
        if not self._is_closed:
            self._connected.get().doorbells.ring(lanes)

    # -------------------------------------------------------------------------------------- outcomes

    def outcome(self, task_id: str) -> Outcome:
        """Read the outcome of a command. Raises InvalidCommand for a malformed id."""
        return self.outcomes([task_id])[0]

    def outcomes(self, task_ids: Sequence[str]) -> list[Outcome]:
        """Read the outcomes of commands, in the order of the ids."""
        with late.errors.translate_errors():
            return self._read(task_ids)

    def count_outcomes(self, task_ids: Sequence[str]) -> OutcomeCounts:
        """Count what came of commands, and say which are pending. It costs much less than their outcomes.
        Raises InvalidCommand for a malformed id."""
        ids = [given_id("task_id", task_id) for task_id in task_ids]
        with late.database.read_only(self._database) as connection:
            return count_outcomes(connection, ids)

    def _read(self, task_ids: Sequence[str]) -> list[Outcome]:
        ids = [given_id("task_id", task_id) for task_id in task_ids]
        with self._own.reads.connect() as connection:
            found = late.outcomes.outcomes(connection, ids)
        return [found[command_id] for command_id in ids]

    def batch_outcome(self, batch_id: str) -> BatchOutcome:
        """Read the outcome of a batch as a whole. Raises BatchMissing."""
        return self._own.batches.outcome(batch_id)

    def batch_outcomes(self, batch_id: str) -> Iterator[Outcome]:
        """Read the outcome of each row of a batch, in their order. Raises BatchMissing."""
        for page in self._own.batches.pages(batch_id):
            yield from self._own.batches.outcomes_of(page)

    def wait(self, task_id: str, timeout: float = 10.0) -> Outcome:
        """Wait until the outcome is final and return it. `timeout` is in seconds. Raises WaitTimedOut."""
        give_up_at = time.monotonic() + timeout
        own = self._own
        sent = own.sent(task_id) or SentCommands(None, 0)
        outcome = own.looks.wait(given_id("task_id", task_id), sent.lane, sent.sequence, give_up_at)
        if outcome is None:
            raise WaitTimedOut(f"the database has not said within {timeout} s what became of {task_id}")
        if not outcome.is_final:
            raise WaitTimedOut(f"{task_id} is {outcome.state} after {timeout} s")
        return outcome

    # -------------------------------------------------------------------- pending and dead commands

    def cancel(self, task_id: str, actor: Actor = _OPERATOR) -> Outcome:
        """Cancel a pending command. Its outcome is refused, with the reason CANCELLED. Raises NotWaiting
        when it is too late."""
        self._own.control.cancel(task_id, actor)
        with late.errors.translate_errors(maybe=lambda: "the command is canceled") as attempt:
            attempt.maybe_done = True
            return self._read([task_id])[0]

    def retry(self, task_id: str, actor: Actor = _OPERATOR) -> str:
        """Retry a dead command, once its cause is put right. Returns its id, which stays. Raises NotDead."""
        return self._own.control.retry(task_id, actor)

    def retry_all(self, which: DeadCommandFilter, actor: Actor = _OPERATOR) -> Iterator[list[str]]:
        """Retry all dead commands that match, piece by piece. Yields the ids of each piece when it is
        done."""
        which = self._own.control.dead_by_now(which)
        while retried := self._own.control.retry_some(which, actor):
            yield retried

    def verify(self, tenant_id: str, actor: Actor = _OPERATOR) -> bool:
        """Ask workers to check the tenant's invariants in the background. Returns False if a check is asked
        for or runs already. Raises TenantMissing."""
        return self._own.control.verify(tenant_id, actor)

    def pause(self, tenant_id: str, actor: Actor = _OPERATOR) -> datetime:
        """Pause a tenant: its commands are accepted and stay pending, and its jobs wait. No command of the
        tenant is being applied when it returns. Returns since when. Raises TenantMissing."""
        return self._own.control.pause(tenant_id, actor)

    def resume(self, tenant_id: str, actor: Actor = _OPERATOR) -> bool:
        """Resume a paused tenant. Returns whether it was paused. Raises TenantMissing."""
        return self._own.control.resume(tenant_id, actor)


def _stop_listening(connections: PerProcess[Connected]) -> None:
    if own := connections.made():
        own.notifications.stop()
