"""Reads one message of the commands queue and decides what becomes of it."""

from dataclasses import dataclass
from datetime import datetime
from uuid import NAMESPACE_OID, UUID, uuid5

from pointledger.domain.commands import AnyCommand
from pointledger.domain.events.celery_body import MAX_BYTES
from pointledger.domain.events.celery_callbacks import result_of
from pointledger.domain.events.celery_messages import TaskMessage, read
from pointledger.domain.events.celery_rejections import Rejected, Rejection, TaskReject
from pointledger.events.ingest_queue import Message
from pointledger.ids import parse_id
from pointledger.messaging.contract import LANES_QUEUE, PERIODIC_QUEUE
from pointledger.settings import Settings
from pointledger.storage.queue.callbacks import NewCallbacks


@dataclass(frozen=True, slots=True)
class ReceivedTask:
    """A message and its fate: a command, a rejection, or a deferral until its `eta`."""

    task: TaskMessage
    raw: bytes  # for the dead letter
    command: AnyCommand | None = None
    rejection: Rejection | None = None
    deferred_to: datetime | None = None

    @property
    def task_id(self) -> UUID | None:
        """The task's id, or None. A text that is neither ULID nor UUID becomes a UUID derived from it.

        No command can have such an id, but the sender waits for its result.
        """
        text = self.task.task_id
        if not text:
            return None
        try:
            return parse_id(text)
        except ValueError:
            return uuid5(NAMESPACE_OID, text)

    @property
    def state(self) -> str:
        """The state that metrics count: `accepted`, `dead` or `deferred`."""
        if self.deferred_to:
            return "deferred"
        return "accepted" if self.command else "dead"

    def callbacks(self, settings: Settings) -> list[NewCallbacks]:
        """List what to send when the outcome is final. A deferred task has no callbacks yet."""
        task_id = self.task_id
        if task_id is None or self.deferred_to:
            return []
        requested = list(self.task.callbacks)
        if settings.result_url and self.task.wants_result and self.task.task_id:
            requested.append(result_of(self.task.task_id))
        return [NewCallbacks(task_id, callback, self.rejection is not None) for callback in requested]


def read_task(message: Message, now: datetime, settings: Settings) -> ReceivedTask:
    """Read a message. It never raises: a message that is no command becomes a rejection."""
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
        _check_callback_queues(task, settings)
    except Rejected as error:
        return ReceivedTask(task, raw, rejection=Rejection(error.reason, str(error)))
    if task.eta and task.eta > now:
        return ReceivedTask(task, raw, deferred_to=task.eta)
    return ReceivedTask(task, raw, command)


def _check_callback_queues(task: TaskMessage, settings: Settings) -> None:
    """Raise Rejected if a callback names a forbidden queue.

    The worker sends callbacks with its own rights, so they must not reach the ledger's own queues.
    """
    own, allowed = (LANES_QUEUE, PERIODIC_QUEUE), settings.callback_queues
    for callback in task.callbacks:
        for queue in callback.destinations():
            is_own = queue in own or queue.startswith(settings.redis_prefix)
            if is_own or (allowed is not None and queue not in allowed):
                raise Rejected(
                    TaskReject.UNSUPPORTED,
                    f"{callback.kind}: may not be sent to this queue; see POINTLEDGER_CALLBACK_QUEUES",
                )
