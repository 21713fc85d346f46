"""Commands by name: what any client of Celery's sends to the commands queue becomes a command.

    take messages -> read each -> accept, keep callbacks and misfits, COMMIT -> the broker forgets them all

No message goes without an outcome under its task id: it is a command, or it is refused with a reason and
kept as a letter, or it waits for its `eta` as a letter that is tried again by itself. All of a batch is one
transaction; where one message spoils it, they go one by one. A message that comes again changes nothing: its
task id is the command's id.
"""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import NAMESPACE_OID, UUID, uuid5

import sqlalchemy as sa

from pointledger import failpoints
from pointledger.client.acceptor import Acceptance
from pointledger.domain.commands import AnyCommand
from pointledger.domain.events.celery_callbacks import result_of
from pointledger.domain.events.celery_messages import (
    MAX_BYTES,
    Rejected,
    Rejection,
    TaskMessage,
    TaskReject,
    read,
)
from pointledger.errors import AcceptanceBusy, BacklogFull, BrokerAway, IdempotencyKeyReused, LetterUnfit
from pointledger.events import broker
from pointledger.events.ingest_queue import AmqpMailbox, Mailbox, Message, RedisMailbox
from pointledger.events.retry import go_on
from pointledger.ids import parse_id, show_id
from pointledger.logs import Log
from pointledger.messaging.contract import LANES_QUEUE, PERIODIC_QUEUE, lists_of_commands
from pointledger.observability import counters
from pointledger.settings import Settings
from pointledger.storage.database import IDLE_TIMEOUT_MS, unfrozen
from pointledger.storage.errors import is_transient
from pointledger.storage.queue import callbacks, dead_letters, job_runs
from pointledger.storage.queue.callbacks import Wanted
from pointledger.storage.queue.dead_letters import Letter

DOOR = "celery"


AT_ONCE = 200  # messages: their commands fill a statement


_WAIT_SECONDS = 0.5  # for the next message; what has a priority of its own on Redis waits as long at most


_DEFERRED = "DEFERRED"


_DEFERRED_AT_ONCE = 200


_LOOK_SECONDS = 0.5  # between looks at what is deferred


_PASSING = (BrokerAway, AcceptanceBusy, BacklogFull)  # what is there comes again


_log = Log(__name__)


def open_commands(settings: Settings) -> Mailbox:
    """The queue of commands by name."""
    url, queue = settings.broker, settings.commands_queue
    if not broker.is_redis(url):
        # As any client of Celery's would make them. A policy of RabbitMQ's may bring what has expired.
        return AmqpMailbox(url, [queue, f"{queue}.expired"], quorum=False)
    return RedisMailbox(url, lists_of_commands(settings), own=f"{settings.redis_prefix}:{queue}")


@dataclass(frozen=True, slots=True)
class _Read:
    """A message, and what it is: a command, or for a reason none, or one for a later moment."""

    task: TaskMessage
    raw: bytes  # for a letter
    command: AnyCommand | None = None
    rejection: Rejection | None = None
    deferred_to: datetime | None = None

    @property
    def task_id(self) -> UUID | None:
        """Its id, if it has any; of one that is neither ULID nor UUID, another that stands for it: a command
        cannot have it, but its sender waits for a result."""
        text = self.task.task_id
        if not text:
            return None
        try:
            return parse_id(text)
        except ValueError:
            return uuid5(NAMESPACE_OID, text)

    @property
    def state(self) -> str:
        """What became of it, for those who count."""
        if self.deferred_to:
            return "held"
        return "accepted" if self.command else "dead"


class ByName:
    """Accepts what Celery's messages ask for. `callbacks_due` is called when callbacks can be sent."""

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
        self._look_at = 0.0

    def run(
        self, mailbox: Mailbox, stopping: Callable[[], bool], pause: Callable[[float], object] = time.sleep
    ) -> None:
        """Goes on, whatever is away, until `stopping`; the messages at hand are finished."""

        def step() -> None:
            self.step(mailbox, wait_seconds=_WAIT_SECONDS)
            if time.monotonic() >= self._look_at and not self.accept_deferred():
                self._look_at = time.monotonic() + _LOOK_SECONDS

        def tell(error: Exception, seconds: float) -> None:
            bug = None if isinstance(error, _PASSING) or is_transient(error) else error
            told = _log.warning if bug is None else _log.error
            told("commands_wait", action="accept", error=type(error).__name__, seconds=seconds, exc_info=bug)

        # Nobody else in this process reads this queue: it goes on whatever happens.
        go_on(step, stopping, pause, passing=(Exception,), tell=tell)

    def step(self, mailbox: Mailbox, *, wait_seconds: float = 0.0) -> Counter[str]:
        """Receives what is there, up to a batch; the broker forgets it after that."""
        messages = mailbox.take(AT_ONCE, wait_seconds)
        if not messages:
            return Counter()
        counts = self.receive(messages)
        failpoints.before("forget-commands")
        mailbox.done()
        failpoints.after("forget-commands")
        for state, messages_so in counts.items():
            counters.RECEIVED.labels(DOOR, state).inc(messages_so)
        return counts

    def receive(self, messages: Sequence[Message]) -> Counter[str]:
        """Returns when what became of each is committed; how many are accepted, dead (no commands) and held
        (for their moment). Raises what the database raises, AcceptanceBusy and BacklogFull; receiving the
        messages again is always safe."""
        with self._database.connect() as connection:
            now = job_runs.now(connection)
        found = [self._read(message, now) for message in messages]
        try:
            self._commit(found)
        except (IdempotencyKeyReused, AcceptanceBusy):
            found = self._one_by_one(found)
        except Exception as error:
            if is_transient(error) or isinstance(error, BacklogFull):
                raise
            found = self._one_by_one(found)
        return Counter(one.state for one in found)

    def accept_deferred(self) -> int:
        """Accepts what was deferred and whose moment has come; how many it was."""
        lanes: set[int] = set()
        with unfrozen(self._database, self._idle_ms) as connection:
            due = dead_letters.due(connection, DOOR, _DEFERRED_AT_ONCE)
            now = job_runs.now(connection)
            for letter in due:
                lanes |= self._accept_letter(connection, letter, read(letter.raw), now)
        if due:
            self._acceptance.ring_lanes(lanes)
            self._callbacks_due()
        return len(due)

    def replay(self, letter: Letter) -> list[str]:
        """Makes a command of a letter, once the cause is put right; its task id. Raises LetterUnfit."""
        task = read(letter.raw)
        task.expires = None  # it was not the sender's fault that it lay here
        with unfrozen(self._database, self._idle_ms) as connection:
            lanes = self._accept_letter(connection, letter, task, job_runs.now(connection))
            left = dead_letters.letters(connection, letter_id=letter.id, limit=1)[0]
        self._acceptance.ring_lanes(lanes)
        self._callbacks_due()
        if left.state != "replayed":
            raise LetterUnfit(left.error)
        _log.warning("letter_replayed", action="replay", letter=letter.id, door=letter.door)
        return [show_id(parse_id(task.task_id or ""))]

    # ------------------------------------------------------------------------------------------ reading

    def _read(self, message: Message, now: datetime) -> _Read:
        task = read(
            message.raw,
            message.headers,
            content_type=message.content_type,
            content_encoding=message.content_encoding,
            correlation_id=message.correlation_id,
        )
        raw = message.raw[: MAX_BYTES + 1] if task.rejection and not task.kwargs else task.as_json()
        try:
            command = task.command(now)
            self._check_queues(task)
        except Rejected as error:
            return _Read(task, raw, rejection=Rejection(error.reason, str(error)))
        if task.eta and task.eta > now:
            return _Read(task, raw, deferred_to=task.eta)
        return _Read(task, raw, command)

    def _check_queues(self, task: TaskMessage) -> None:
        """The worker sends callbacks with its own rights: not to the ledger's own queues. Raises Rejected."""
        allowed = self._settings.callback_queues
        for callback in task.callbacks:
            for queue in callback.destinations():
                is_ours = queue in (LANES_QUEUE, PERIODIC_QUEUE) or queue.startswith(
                    self._settings.redis_prefix
                )
                if is_ours or (allowed is not None and queue not in allowed):
                    raise Rejected(
                        TaskReject.UNSUPPORTED,
                        f"{callback.kind}: may not be sent to this queue; see POINTLEDGER_CALLBACK_QUEUES",
                    )

    # ---------------------------------------------------------------------------------------- accepting

    def _commit(self, found: Sequence[_Read]) -> None:
        """All of it in one transaction. Raises what `Acceptance.accept_within` raises."""
        commands = [one.command for one in found if one.command]
        receipt = None
        with unfrozen(self._database, self._idle_ms) as connection:
            if commands:
                receipt = self._acceptance.accept_within(commands, connection)
            for one in found:
                if not one.command:
                    self._keep(connection, one)
            wanted = [want for one in found for want in self._wanted(one)]
            callbacks.keep(connection, wanted)
            failpoints.before("by-name-commit")
        failpoints.after("by-name-commit")
        if receipt:
            self._acceptance.ring(receipt)
        if any(want.is_refused for want in wanted):
            self._callbacks_due()

    def _one_by_one(self, found: Sequence[_Read]) -> list[_Read]:
        """What spoils a batch is refused; raises AcceptanceBusy in the end where somebody else's open
        transaction holds a key: all others are done."""
        busy: AcceptanceBusy | None = None
        done = []
        for one in found:
            try:
                self._commit([one])
            except AcceptanceBusy as error:
                busy = error
            except IdempotencyKeyReused as error:
                one = self._refused(one, TaskReject.IDEMPOTENCY_KEY_REUSED, str(error))  # noqa: PLW2901
            except Exception as error:
                if is_transient(error) or isinstance(error, BacklogFull):
                    raise
                _log.error("command_not_accepted", action="accept", task_id=one.task.task_id, exc_info=error)
                told = f"could not be accepted: {type(error).__name__}"
                one = self._refused(one, TaskReject.INVALID_COMMAND, told)  # noqa: PLW2901
            done.append(one)
        if busy:
            raise busy
        return done

    def _refused(self, one: _Read, reason: TaskReject, message: str) -> _Read:
        refused = _Read(one.task, one.raw, rejection=Rejection(reason, message))
        self._commit([refused])
        return refused

    def _keep(self, connection: sa.Connection, one: _Read) -> None:
        """What is no command, or not yet, becomes a letter."""
        reason, message = one.rejection or (_DEFERRED, "")
        held_seconds = None
        if one.deferred_to:
            message = f"eta: waits until {one.deferred_to.isoformat().replace('+00:00', 'Z')}"
            held_seconds = (one.deferred_to - job_runs.now(connection)).total_seconds()
        dead_letters.keep(
            connection,
            door=DOOR,
            task_id=one.task_id,
            raw=one.raw,
            reason=reason,
            error=message,
            tenant_id=one.task.tenant_id,
            kind=one.task.kind,
            held_seconds=held_seconds,
        )
        if one.rejection:
            shown = show_id(one.task_id) if one.task_id else None
            _log.warning("no_command", action="accept", task=one.task.name, task_id=shown, reason=reason)

    def _accept_letter(
        self, connection: sa.Connection, letter: Letter, task: TaskMessage, now: datetime
    ) -> frozenset[int]:
        """Makes a command of a letter, in a savepoint of its own, or says in the letter why not; the lanes
        that have work now. What somebody else's open transaction holds up is left for the next time."""
        try:
            with connection.begin_nested():
                command = task.command(now)
                receipt = self._acceptance.accept_within([command], connection)
                callbacks.keep(connection, self._wanted(_Read(task, letter.raw, command)))
            dead_letters.settle(connection, letter.id)
            return receipt.lanes
        except AcceptanceBusy:
            return frozenset()
        except (Rejected, IdempotencyKeyReused) as error:
            reason = error.reason if isinstance(error, Rejected) else TaskReject.IDEMPOTENCY_KEY_REUSED
            dead_letters.try_again(connection, letter.id, reason, str(error), None)
            refused = _Read(task, letter.raw, rejection=Rejection(reason, str(error)))
            callbacks.keep(connection, self._wanted(refused))
            return frozenset()

    def _wanted(self, one: _Read) -> list[Wanted]:
        """What is to be sent when its outcome is final; of what is deferred nothing yet."""
        task_id = one.task_id
        if task_id is None or one.deferred_to:
            return []
        asked = list(one.task.callbacks)
        if self._settings.result_url and one.task.wants_result and one.task.task_id:
            asked.append(result_of(one.task.task_id))
        return [Wanted(task_id, callback, one.rejection is not None) for callback in asked]
