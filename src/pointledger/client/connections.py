"""What a client works with in one process. Connections are opened when they are first needed."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import sqlalchemy as sa

from pointledger.client.acceptor import Acceptance
from pointledger.client.backlog import Backlog
from pointledger.client.batches import BatchDoor
from pointledger.client.control import Control
from pointledger.messaging import redis_client
from pointledger.messaging.celery_app import producer_app
from pointledger.messaging.doorbell import Doorbells
from pointledger.messaging.notifications import Announcements
from pointledger.settings import Settings
from pointledger.storage.database import committing_each, engine_for

_MOST_SENT = 10_000  # that are remembered: seconds of enqueuing, and two megabytes


class Sent(NamedTuple):
    """A command's lane, and how often that had been heard of before it was accepted; 0 if it may be older."""

    lane: int | None
    heard: int


@dataclass(frozen=True, slots=True)
class Connected:
    """Everything on one database and one Redis, for the threads of one process."""

    database: sa.Engine
    reads: sa.Engine  # the same pool, where each statement is its own transaction
    doorbells: Doorbells
    announcements: Announcements
    acceptance: Acceptance
    batches: BatchDoor
    control: Control
    _sent: dict[str, Sent] = field(default_factory=dict)

    def note_sent(self, task_id: str, sent: Sent) -> None:
        """Remembers a command that was enqueued alone: its sender may wait for it."""
        if len(self._sent) >= _MOST_SENT:
            self._sent.clear()
        self._sent[task_id] = sent

    def sent(self, task_id: str) -> Sent | None:
        """What is remembered of it."""
        return self._sent.get(task_id)

    def close(self) -> None:
        """Closes the connections; those in use are closed when their calls end."""
        self.announcements.close()
        sa.event.listen(self.database, "checkin", _close)
        self.database.dispose()
        self.doorbells.close()


def _close(_connection: Any, record: Any) -> None:
    record.close()


def connected(settings: Settings) -> Connected:
    """Raises NotConfigured."""
    database = engine_for(settings.database, pgbouncer=settings.pgbouncer)
    redis = redis_client.connect(settings)
    doorbells = Doorbells(redis, producer_app(settings), settings)
    acceptance = Acceptance(database, doorbells, settings, Backlog(database, settings))
    return Connected(
        database=database,
        reads=committing_each(database),
        doorbells=doorbells,
        announcements=Announcements(redis, settings),
        acceptance=acceptance,
        batches=BatchDoor(database, acceptance, settings),
        control=Control(database, doorbells, settings),
    )
