"""The client: how a service asks the ledger. When `enqueue` returns, the command is durable."""

import time
import weakref
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import datetime
from typing import NoReturn
from uuid import UUID

import sqlalchemy as sa

from pointledger.client.acceptor import CallersConnection
from pointledger.client.batches import BatchOutcome, BatchReceipt, Row
from pointledger.client.connections import Connected, Sent, connected
from pointledger.client.forks import PerProcess
from pointledger.client.queries.ledger import Lookups
from pointledger.client.receipts import Receipt
from pointledger.domain.commands import AnyCommand
from pointledger.domain.commands.outcomes import Outcome
from pointledger.domain.values.actor import By
from pointledger.errors import ClientClosed, ClientNotCopied, InvalidCommand, WaitTimedOut
from pointledger.ids import parse_id
from pointledger.settings import Settings, from_environment
from pointledger.storage.errors import telling
from pointledger.storage.migrate import require_current
from pointledger.storage.queries import outcomes as outcome_queries
from pointledger.storage.queue import journal
from pointledger.storage.queue.failures import Which

_OPERATOR = By()  # who acts on what waits when nobody says so
_POLL_SECONDS = 0.25  # while waiting for an outcome, should its announcement be lost


class PointsClient(Lookups):
    """Enqueues commands and looks up outcomes, accounts and entries.

    Threads may share a client, and so may processes that are forked after it was made: each opens connections
    of its own. It cannot be copied or pickled (ClientNotCopied).

    Every method may raise DatabaseAway and DatabaseFailed, whose `maybe_done` tells whether the call may have
    taken effect, and after `close` ClientClosed. All errors are LedgerErrors. Redis may be away.
    """

    def __init__(self, settings: Settings, connect: Callable[[Settings], Connected] = connected) -> None:
        """As `connect`, but the database is not asked whether it fits, so it may be away. Raises
        NotConfigured."""
        self._connected = PerProcess(lambda: connect(settings))
        self._is_closed = False
        # The thread of a client that was forgotten ends, too. At exit it ends anyway.
        weakref.finalize(self, _stop_listening, self._connected).atexit = False
        self._connected.get()

    @classmethod
    def connect(cls, settings: Settings | None = None) -> "PointsClient":
        """A client for the servers that the settings, or the environment, name.

        Raises SettingsInvalid, NotConfigured, DatabaseNotMigrated, LaneCountDiffers and DatabaseAway.
        """
        settings = settings or from_environment()
        client = cls(settings)
        try:
            with telling():
                require_current(client._database, settings.lanes)
        except BaseException:
            client.close()
            raise
        return client

    def close(self) -> None:
        """Closes this process' connections; those of others that share the client stay. Whoever waits gets
        ClientClosed. Closing again does nothing."""
        self._is_closed = True
        if own := self._connected.made():
            own.close()

    def __enter__(self) -> "PointsClient":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce_ex__(self, _protocol: object) -> NoReturn:
        raise ClientNotCopied

    @property
    def _own(self) -> Connected:
        """This process' connections. Raises ClientClosed."""
        if self._is_closed:
            raise ClientClosed
        return self._connected.get()

    @property
    def _database(self) -> sa.Engine:
        return self._own.database

    # ------------------------------------------------------------------------------------- accepting

    def enqueue(self, command: AnyCommand, connection: CallersConnection | None = None) -> str:
        """Accepts a command; its task id. See `accept` for what `connection` does and what is raised."""
        own = self._own
        heard = own.announcements.heard()
        receipt = self.accept([command], connection)
        (task_id,), (lane,) = receipt.task_ids, receipt.lanes
        own.note_sent(task_id, Sent(lane, heard[lane] if receipt.new else 0))
        return task_id

    def enqueue_many(
        self, commands: Sequence[AnyCommand], connection: CallersConnection | None = None
    ) -> list[str]:
        """Accepts commands in one statement per thousand and one transaction; their task ids, in order."""
        return self.accept(commands, connection).task_ids

    def accept(self, commands: Sequence[AnyCommand], connection: CallersConnection | None = None) -> Receipt:
        """Accepts commands, all or none; what is new among them.

        `connection`: the caller's own open transaction on the same database, READ COMMITTED. The commands
        are then accepted when it commits; after that call `ring` (an ORM session rings by itself).
        Raises IdempotencyKeyReused when an id or key was used with other content, AcceptanceBusy when
        another open transaction holds the same key, BacklogFull while too much waits (then nothing is
        accepted). Sending the same objects again is always safe.

        In the caller's transaction these errors leave it as it was before the call. What goes wrong with the
        caller's connection itself comes as that connection's own error, of SQLAlchemy or psycopg: the
        transaction has failed with it.
        """
        if connection is None:
            return self._own.acceptance.accept(commands)
        return self._own.acceptance.accept_within(commands, connection, self._ring_lanes)

    def batch_earn(
        self, tenant_id: str, rows: Sequence[Row], *, idempotency_key: str, actor: str = "service"
    ) -> BatchReceipt:
        """Accepts an earn per row, all or none: `(user_id, amount)`, or an object with an earn's fields. A
        row that is no earn is refused by itself; the others go on. Sending the same rows with the same key
        again changes nothing. Raises IdempotencyKeyReused for other rows, InvalidCommand."""
        return self._own.batches.accept(tenant_id, rows, idempotency_key, actor)

    def has_room(self, lanes: Collection[int]) -> bool:
        """Whether each lane has less than a batch waiting; whoever feeds much asks before going on."""
        return self._own.acceptance.has_room(lanes)

    def ring(self, receipt: Receipt) -> None:
        """Tells the workers, after the commit of a transaction of the caller's."""
        self._own.acceptance.ring(receipt)

    def _ring_lanes(self, lanes: Collection[int]) -> None:
        """After the commit of a session, which may outlive the client, or have come into a forked process."""
        if not self._is_closed:
            self._connected.get().doorbells.ring(lanes)

    # -------------------------------------------------------------------------------------- outcomes

    def outcome(self, task_id: str) -> Outcome:
        """What came of a command. Raises InvalidCommand for what is no id."""
        return self.outcomes([task_id])[0]

    def outcomes(self, task_ids: Sequence[str]) -> list[Outcome]:
        """What came of each, in the order asked."""
        with telling():
            return self._read(task_ids)

    def _read(self, task_ids: Sequence[str]) -> list[Outcome]:
        ids = [_id_of(task_id) for task_id in task_ids]
        with self._own.reads.connect() as connection:
            found = outcome_queries.outcomes(connection, ids)
        return [found[asked] for asked in ids]

    def batch_outcome(self, batch_id: str) -> BatchOutcome:
        """What came of a batch as a whole. Raises BatchMissing."""
        return self._own.batches.outcome(batch_id)

    def batch_outcomes(self, batch_id: str) -> Iterator[Outcome]:
        """What came of each row of a batch, in their order. Raises BatchMissing."""
        for page in self._own.batches.pages(batch_id):
            yield from self._own.batches.outcomes_of(page)

    def wait(self, task_id: str, timeout: float = 10.0) -> Outcome:
        """The outcome, as soon as it is final; `timeout` in seconds. Raises WaitTimedOut."""
        give_up_at = time.monotonic() + timeout
        own = self._own
        sent = own.sent(task_id) or Sent(self._lane_of(task_id), 0)
        with own.announcements.of(sent.lane, sent.heard) as news:
            while True:
                seconds_left = give_up_at - time.monotonic()
                news.wait(min(max(seconds_left, 0), _POLL_SECONDS))
                news.clear()
                if (outcome := self.outcome(task_id)).is_final:
                    return outcome
                if seconds_left <= 0:
                    raise WaitTimedOut(f"{task_id} is {outcome.state} after {timeout} s")

    def _lane_of(self, task_id: str) -> int | None:
        with telling(), self._own.reads.connect() as connection:
            return journal.lane_of(connection, _id_of(task_id))

    # --------------------------------------------------------------------------------- what waits

    def cancel(self, task_id: str, by: By = _OPERATOR) -> Outcome:
        """Withdraws a command that still waits: refused, with the reason CANCELLED. Raises NotWaiting when
        it is too late."""
        self._own.control.cancel(task_id, by)
        with telling(maybe=lambda: "the command is cancelled") as attempt:
            attempt.maybe_done = True
            return self._read([task_id])[0]

    def retry(self, task_id: str, by: By = _OPERATOR) -> str:
        """Lets a dead command try again, once its cause is put right; its own id. Raises NotDead."""
        return self._own.control.retry(task_id, by)

    def retry_all(self, which: Which, by: By = _OPERATOR) -> Iterator[list[str]]:
        """Lets all dead commands of these try again, piece by piece; each piece's ids once it is done."""
        which = self._own.control.dead_by_now(which)
        while retried := self._own.control.retry_some(which, by):
            yield retried

    def pause(self, tenant_id: str, by: By = _OPERATOR) -> datetime:
        """Lets the tenant's commands, which are accepted all the same, and its sweeps wait; since when. When
        it returns, nothing of the tenant is being applied any more. Raises TenantMissing."""
        return self._own.control.pause(tenant_id, by)

    def resume(self, tenant_id: str, by: By = _OPERATOR) -> bool:
        """Lets the tenant's commands go on; whether it was paused. Raises TenantMissing."""
        return self._own.control.resume(tenant_id, by)


def _id_of(task_id: str) -> UUID:
    try:
        return parse_id(task_id)
    except ValueError as error:
        raise InvalidCommand(f"task_id: {error}") from None


def _stop_listening(connections: PerProcess[Connected]) -> None:
    if own := connections.made():
        own.announcements.stop()
