"""The client: how a service asks the ledger. When `enqueue` returns, the command is durable."""

import time
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import sqlalchemy as sa

from pointledger import locks
from pointledger.acceptance import Acceptance, CallersConnection, Receipt
from pointledger.announcements import Announcements
from pointledger.backlog import Backlog
from pointledger.batch_earn import BatchDoor, BatchOutcome, BatchReceipt, Row
from pointledger.control import Control
from pointledger.domain.acts import By
from pointledger.domain.commands import AnyCommand
from pointledger.domain.outcomes import Outcome
from pointledger.doorbell import Doorbells
from pointledger.errors import InvalidCommand, WaitTimedOut
from pointledger.ids import parse_id
from pointledger.lookups import Lookups
from pointledger.settings import Settings
from pointledger.storage import journal, queries
from pointledger.storage.database import committing_each, engine_for
from pointledger.storage.failures import Which
from pointledger.storage.migrate import require_current
from pointledger.wire import producer_app

_OPERATOR = By()  # who acts on what waits when nobody says so
_POLL_SECONDS = 0.25  # while waiting for an outcome, should its announcement be lost
_MOST_SENT = 10_000  # that are remembered: seconds of enqueuing, and two megabytes


class _Sent(NamedTuple):
    """A command's lane, and how often that had been heard of before it was accepted; 0 if it may be older."""

    lane: int | None
    heard: int


class PointsClient(Lookups):
    """Enqueues commands and looks up outcomes, accounts and entries. Threads may share one; processes may
    not."""

    def __init__(
        self, database: sa.Engine, doorbells: Doorbells, announcements: Announcements, settings: Settings
    ) -> None:
        super().__init__(database)
        self._reads = committing_each(database)
        self._doorbells = doorbells
        self._announcements = announcements
        self._sent: dict[str, _Sent] = {}  # commands that were enqueued alone: somebody may wait for them
        self._acceptance = Acceptance(database, doorbells, settings, Backlog(database, settings))
        self._batches = BatchDoor(database, self._acceptance, settings)
        self._control = Control(database, doorbells, settings)

    @classmethod
    def connect(cls, settings: Settings | None = None) -> "PointsClient":
        """A client for the servers that the settings, or the environment, name.

        Raises NotConfigured, DatabaseNotMigrated and LaneCountDiffers.
        """
        settings = settings or Settings()
        database = engine_for(settings.database, pgbouncer=settings.pgbouncer)
        require_current(database, settings.lanes)
        redis = locks.connect(settings)
        doorbells = Doorbells(redis, producer_app(settings), settings)
        return cls(database, doorbells, Announcements(redis, settings), settings)

    def close(self) -> None:
        """Gives its connections back."""
        self._announcements.close()
        self._database.dispose()
        self._doorbells.close()

    def __enter__(self) -> "PointsClient":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ------------------------------------------------------------------------------------- accepting

    def enqueue(self, command: AnyCommand, connection: CallersConnection | None = None) -> str:
        """Accepts a command; its task id. See `accept` for what `connection` does and what is raised."""
        heard = self._announcements.heard()
        receipt = self.accept([command], connection)
        (task_id,), (lane,) = receipt.task_ids, receipt.lanes
        if len(self._sent) >= _MOST_SENT:
            self._sent.clear()
        self._sent[task_id] = _Sent(lane, heard[lane] if receipt.new else 0)
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
        """
        if connection is None:
            return self._acceptance.accept(commands)
        return self._acceptance.accept_within(commands, connection)

    def batch_earn(
        self, tenant_id: str, rows: Sequence[Row], *, idempotency_key: str, actor: str = "service"
    ) -> BatchReceipt:
        """Accepts an earn per row, all or none: `(user_id, amount)`, or an object with an earn's fields. A
        row that is no earn is refused by itself; the others go on. Sending the same rows with the same key
        again changes nothing. Raises IdempotencyKeyReused for other rows, InvalidCommand."""
        return self._batches.accept(tenant_id, rows, idempotency_key, actor)

    def has_room(self, lanes: Collection[int]) -> bool:
        """Whether each lane has less than a batch waiting; whoever feeds much asks before going on."""
        return self._acceptance.has_room(lanes)

    def ring(self, receipt: Receipt) -> None:
        """Tells the workers, after the commit of a transaction of the caller's."""
        self._acceptance.ring(receipt)

    # -------------------------------------------------------------------------------------- outcomes

    def outcome(self, task_id: str) -> Outcome:
        """What came of a command. Raises InvalidCommand for what is no id."""
        return self.outcomes([task_id])[0]

    def outcomes(self, task_ids: Sequence[str]) -> list[Outcome]:
        """What came of each, in the order asked."""
        ids = [_id_of(task_id) for task_id in task_ids]
        with self._reads.connect() as connection:
            found = queries.outcomes(connection, ids)
        return [found[asked] for asked in ids]

    def batch_outcome(self, batch_id: str) -> BatchOutcome:
        """What came of a batch as a whole. Raises BatchMissing."""
        return self._batches.outcome(batch_id)

    def batch_outcomes(self, batch_id: str) -> Iterator[Outcome]:
        """What came of each row of a batch, in their order. Raises BatchMissing."""
        return self._batches.outcomes(batch_id)

    def wait(self, task_id: str, timeout: float = 10.0) -> Outcome:
        """The outcome, as soon as it is final; `timeout` in seconds. Raises WaitTimedOut."""
        give_up_at = time.monotonic() + timeout
        sent = self._sent.get(task_id) or _Sent(self._lane_of(task_id), 0)
        with self._announcements.of(sent.lane, sent.heard) as news:
            while True:
                seconds_left = give_up_at - time.monotonic()
                news.wait(min(max(seconds_left, 0), _POLL_SECONDS))
                news.clear()
                if (outcome := self.outcome(task_id)).is_final:
                    return outcome
                if seconds_left <= 0:
                    raise WaitTimedOut(f"{task_id} is {outcome.state} after {timeout} s")

    def _lane_of(self, task_id: str) -> int | None:
        with self._reads.connect() as connection:
            return journal.lane_of(connection, _id_of(task_id))

    # --------------------------------------------------------------------------------- what waits

    def cancel(self, task_id: str, by: By = _OPERATOR) -> Outcome:
        """Withdraws a command that still waits: refused, with the reason CANCELLED. Raises NotWaiting when
        it is too late."""
        self._control.cancel(task_id, by)
        return self.outcome(task_id)

    def retry(self, task_id: str, by: By = _OPERATOR) -> str:
        """Lets a dead command try again, once its cause is put right; its own id. Raises NotDead."""
        return self._control.retry(task_id, by)

    def retry_all(self, which: Which, by: By = _OPERATOR) -> Iterator[list[str]]:
        """Lets all dead commands of these try again, piece by piece; each piece's ids once it is done."""
        return self._control.retry_all(which, by)

    def pause(self, tenant_id: str, by: By = _OPERATOR) -> datetime:
        """Lets the tenant's commands, which are accepted all the same, and its sweeps wait; since when. When
        it returns, nothing of the tenant is being applied any more. Raises TenantMissing."""
        return self._control.pause(tenant_id, by)

    def resume(self, tenant_id: str, by: By = _OPERATOR) -> bool:
        """Lets the tenant's commands go on; whether it was paused. Raises TenantMissing."""
        return self._control.resume(tenant_id, by)


def _id_of(task_id: str) -> UUID:
    try:
        return parse_id(task_id)
    except ValueError as error:
        raise InvalidCommand(f"task_id: {error}") from None
