"""Accepts commands that Celery clients send by task name to the commands queue.

    receive messages -> read each -> accept, store callbacks and dead letters, COMMIT -> ack them all

Every task id gets an outcome. A message becomes a command, or it is refused with a reason and stored as a
dead letter, or it is stored as a deferred message until its `eta`. One transaction commits a batch. If one
message makes that fail, each is committed alone. A redelivered message changes nothing, because its task id
is the command's id.
"""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import datetime

import sqlalchemy as sa

from pointledger import failpoints
from pointledger.client.acceptor import Acceptance
from pointledger.domain.events.celery_messages import TaskMessage, read
from pointledger.domain.events.celery_rejections import Rejected, Rejection, TaskReject
from pointledger.errors import (
    AcceptanceBusy,
    BacklogFull,
    BrokerAway,
    DeadLetterNotReplayable,
    IdempotencyKeyReused,
)
from pointledger.events.ingest_queue import AmqpIngestQueue, IngestQueue, Message, RedisIngestQueue
from pointledger.events.retry import run_with_backoff
from pointledger.ids import parse_id, show_id
from pointledger.integrations.received_task import ReceivedTask, read_task
from pointledger.logs import Log, Outage
from pointledger.messaging.contract import lists_of_commands
from pointledger.messaging.redis_url import is_redis
from pointledger.observability import counters
from pointledger.settings import Settings
from pointledger.storage.database import IDLE_TIMEOUT_MS, bounded_transaction
from pointledger.storage.errors import may_pass
from pointledger.storage.queue import callbacks, dead_letters, job_runs
from pointledger.storage.queue.dead_letters import DeadLetter

ENTRY_POINT = "celery"

_BATCH_SIZE = 200  # messages: their commands fill one statement
_WAIT_SECONDS = 0.5  # for the next message; also the longest delay of a message with a priority on Redis
_DEFERRED = "DEFERRED"
_DEFERRED_BATCH_SIZE = 200
_DEFERRED_CHECK_SECONDS = 0.5  # between checks for deferred messages that are due
_TRANSIENT = (BrokerAway, AcceptanceBusy, BacklogFull)  # the messages are delivered again

_log = Log(__name__)


def open_commands(settings: Settings) -> IngestQueue:
    """Open the commands queue."""
    url, queue = settings.broker, settings.commands_queue
    if not is_redis(url):
        # A classic queue, as Celery clients declare it. A RabbitMQ policy may dead-letter expired messages.
        return AmqpIngestQueue(url, [queue, f"{queue}.expired"], quorum=False)
    return RedisIngestQueue(url, lists_of_commands(settings), own=f"{settings.redis_prefix}:{queue}")


class CommandsByName:
    """Accepts Celery messages as commands. It calls `callbacks_due` when callbacks can be sent."""

    def __init__(
        self,
        database: sa.Engine,
        acceptance: Acceptance,
        settings: Settings,
        callbacks_due: Callable[[], object] = lambda: None,
        *,
        idle_ms: int = IDLE_TIMEOUT_MS,
    ) -> None:
        self._database = database
        self._acceptance = acceptance
        self._settings = settings
        self._callbacks_due = callbacks_due
        self._idle_ms = idle_ms
        self._next_deferred_check = 0.0

    def run(
        self,
        ingest_queue: IngestQueue,
        stopping: Callable[[], bool],
        pause: Callable[[float], object] = time.sleep,
    ) -> None:
        """Accept messages until `stopping()` is true. It retries after every error."""

        def step() -> None:
            self.step(ingest_queue, wait_seconds=_WAIT_SECONDS)
            if time.monotonic() >= self._next_deferred_check and not self.accept_deferred():
                self._next_deferred_check = time.monotonic() + _DEFERRED_CHECK_SECONDS

        outage = Outage(_log, "accept", "commands_wait", "commands_continue")
        # This is the only reader of the queue in this process, so it must survive every error.
        run_with_backoff(step, stopping, pause, outage=outage, expected=_TRANSIENT, survives_bugs=True)

    def step(self, ingest_queue: IngestQueue, *, wait_seconds: float = 0.0) -> Counter[str]:
        """Receive one batch, commit it, then ack it. Returns the number of messages by state."""
        messages = ingest_queue.receive(_BATCH_SIZE, wait_seconds)
        if not messages:
            return Counter()
        counts = self.receive(messages)
        failpoints.before("ack-commands")
        ingest_queue.ack()
        failpoints.after("ack-commands")
        for state, count in counts.items():
            counters.RECEIVED.labels(ENTRY_POINT, state).inc(count)
        return counts

    def receive(self, messages: Sequence[Message]) -> Counter[str]:
        """Commit what becomes of each message; count those accepted, dead and deferred.

        Raises AcceptanceBusy, BacklogFull and transient database errors. It is safe to receive the
        messages again.
        """
        with self._database.connect() as connection:
            now = job_runs.now(connection)
        received = [read_task(message, now, self._settings) for message in messages]
        try:
            self._commit(received)
        except (IdempotencyKeyReused, AcceptanceBusy):
            received = self._commit_each(received)
        except Exception as error:
            if may_pass(error) or isinstance(error, BacklogFull):
                raise
            received = self._commit_each(received)
        return Counter(one.state for one in received)

    def accept_deferred(self) -> int:
        """Accept deferred messages whose `eta` has come; return how many were due."""
        lanes: set[int] = set()
        with self._transaction() as connection:
            due = dead_letters.due(connection, ENTRY_POINT, _DEFERRED_BATCH_SIZE)
            now = job_runs.now(connection)
            for dead_letter in due:
                task = read(dead_letter.raw)
                if dead_letter.reason == dead_letters.REPLAY:
                    task.expires = None  # the sender did not cause the delay
                lanes |= self._accept_dead_letter(connection, dead_letter, task, now)
        if due:
            self._acceptance.ring_lanes(lanes)
            self._callbacks_due()
        return len(due)

    def replay(self, dead_letter: DeadLetter) -> list[str]:
        """Accept a dead letter as a command and return its task id. Raises DeadLetterNotReplayable."""
        task = read(dead_letter.raw)
        task.expires = None  # the sender did not cause the delay
        with self._transaction() as connection:
            lanes = self._accept_dead_letter(connection, dead_letter, task, job_runs.now(connection))
            stored = dead_letters.find(connection, dead_letter_id=dead_letter.id, limit=1)[0]
        self._acceptance.ring_lanes(lanes)
        self._callbacks_due()
        if stored.state != "replayed":
            raise DeadLetterNotReplayable(stored.error)
        _log.warning(
            "dead_letter_replayed",
            action="replay",
            dead_letter=dead_letter.id,
            entry_point=dead_letter.entry_point,
        )
        return [show_id(parse_id(task.task_id or ""))]

    def _transaction(self) -> AbstractContextManager[sa.Connection]:
        """Open a transaction whose statements have the settings' limit, because a table may be locked.

        The journal's own wait for a lock begins after its tables are locked.
        """
        limit_ms = self._settings.statement_timeout_ms
        return bounded_transaction(self._database, self._idle_ms, statement_ms=limit_ms)

    def _commit(self, received: Sequence[ReceivedTask]) -> None:
        """Commit all of them in one transaction. Raises what `Acceptance.accept_within` raises."""
        commands = [one.command for one in received if one.command]
        receipt = None
        with self._transaction() as connection:
            if commands:
                receipt = self._acceptance.accept_within(commands, connection)
            for one in received:
                if not one.command:
                    self._store_dead_letter(connection, one)
            if any(one.rejection for one in received):
                self._drop_oldest(connection)
            requested = [callback for one in received for callback in one.callbacks(self._settings)]
            callbacks.keep(connection, requested)
            failpoints.before("by-name-commit")
        failpoints.after("by-name-commit")
        if receipt:
            self._acceptance.ring(receipt)
        if any(callback.is_refused for callback in requested):
            self._callbacks_due()

    def _commit_each(self, received: Sequence[ReceivedTask]) -> list[ReceivedTask]:
        """Commit each message alone and refuse those that fail.

        Raises AcceptanceBusy after all others are committed, if another open transaction holds a key.
        """
        busy: AcceptanceBusy | None = None
        committed = []
        for one in received:
            try:
                committed.append(self._commit_one(one))
            except AcceptanceBusy as error:
                busy = error
        if busy:
            raise busy
        return committed

    def _commit_one(self, one: ReceivedTask) -> ReceivedTask:
        try:
            self._commit([one])
        except IdempotencyKeyReused as error:
            return self._refuse(one, TaskReject.IDEMPOTENCY_KEY_REUSED, str(error))
        except Exception as error:
            if may_pass(error) or isinstance(error, AcceptanceBusy | BacklogFull):
                raise
            _log.error("command_not_accepted", action="accept", task_id=one.task.task_id, exc_info=error)
            message = f"could not be accepted: {type(error).__name__}"
            return self._refuse(one, TaskReject.INVALID_COMMAND, message)
        return one

    def _refuse(self, one: ReceivedTask, reason: TaskReject, message: str) -> ReceivedTask:
        refused = ReceivedTask(one.task, one.raw, rejection=Rejection(reason, message))
        self._commit([refused])
        return refused

    def _store_dead_letter(self, connection: sa.Connection, one: ReceivedTask) -> None:
        """Store a rejected message as a dead letter, or a deferred one until its `eta`."""
        reason, message = one.rejection or (_DEFERRED, "")
        defer_seconds = None
        if one.deferred_to:
            message = f"eta: waits until {one.deferred_to.isoformat().replace('+00:00', 'Z')}"
            defer_seconds = (one.deferred_to - job_runs.now(connection)).total_seconds()
        dead_letters.keep(
            connection,
            entry_point=ENTRY_POINT,
            task_id=one.task_id,
            raw=one.raw,
            reason=reason,
            error=message,
            tenant_id=one.task.tenant_id,
            kind=one.task.kind,
            defer_seconds=defer_seconds,
        )
        if one.rejection:
            shown = show_id(one.task_id) if one.task_id else None
            _log.warning("no_command", action="accept", task=one.task.name, task_id=shown, reason=reason)

    def _drop_oldest(self, connection: sa.Connection) -> None:
        """Drop dead letters beyond the bound. Their senders have had their answers, if they wanted any."""
        kept = self._settings.dead_letters_unsigned
        if dropped := dead_letters.drop_oldest(connection, ENTRY_POINT, None, kept):
            counters.DROPPED.labels(ENTRY_POINT).inc(dropped)
            _log.warning("dead_letters_dropped", action="accept", messages=dropped)

    def _accept_dead_letter(
        self, connection: sa.Connection, dead_letter: DeadLetter, task: TaskMessage, now: datetime
    ) -> frozenset[int]:
        """Accept a dead letter in a savepoint, or record why not; return the lanes to ring.

        If another open transaction holds a key, the dead letter stays as it is until the next attempt.
        """
        try:
            with connection.begin_nested():
                command = task.command(now)
                receipt = self._acceptance.accept_within([command], connection)
                accepted = ReceivedTask(task, dead_letter.raw, command)
                callbacks.keep(connection, accepted.callbacks(self._settings))
            dead_letters.settle(connection, dead_letter.id)
            return receipt.lanes
        except AcceptanceBusy:
            return frozenset()
        except (Rejected, IdempotencyKeyReused) as error:
            reason = error.reason if isinstance(error, Rejected) else TaskReject.IDEMPOTENCY_KEY_REUSED
            dead_letters.record_attempt(connection, dead_letter.id, reason, str(error), None)
            refused = ReceivedTask(task, dead_letter.raw, rejection=Rejection(reason, str(error)))
            callbacks.keep(connection, refused.callbacks(self._settings))
            return frozenset()
