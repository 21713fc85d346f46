"""Holds a client's connections in one process, opened on first use."""

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from pointledger.client.acceptor import Acceptance
from pointledger.client.backlog import Backlog
from pointledger.client.batches import BatchAcceptor
from pointledger.client.control import Control
from pointledger.client.latch import AwaitedLatch, Latch
from pointledger.client.looks import Found, OutcomeLooks
from pointledger.client.receipts import SentCommands
from pointledger.messaging import redis_client
from pointledger.messaging.celery_app import producer_app
from pointledger.messaging.doorbell import Doorbells
from pointledger.messaging.notifications import LaneNotifications
from pointledger.settings import Settings
from pointledger.storage.database import autocommit_engine, bounded_engine_for
from pointledger.storage.deadlines import answers_within
from pointledger.storage.errors import translate_errors
from pointledger.storage.queries import outcomes

_MOST_SENT = 10_000  # remembered commands: seconds of enqueuing, and two megabytes


@dataclass(frozen=True, slots=True)
class Connected:
    """Everything that the threads of one process share on one database and one Redis."""

    database: sa.Engine
    reads: sa.Engine  # the same pool, where each statement is its own transaction
    doorbells: Doorbells
    notifications: LaneNotifications
    looks: OutcomeLooks
    acceptance: Acceptance
    batches: BatchAcceptor
    control: Control
    _sent: dict[str, SentCommands] = field(default_factory=dict)

    def note_sent(self, task_id: str, sent: SentCommands) -> None:
        """Remember a command that was enqueued alone, because its caller may wait for it."""
        if len(self._sent) >= _MOST_SENT:
            self._sent.clear()
        self._sent[task_id] = sent

    def sent(self, task_id: str) -> SentCommands | None:
        """Return the remembered lane of the command, if any."""
        return self._sent.get(task_id)

    def close(self) -> None:
        """Close the connections; those in use close when their calls end."""
        sa.event.listen(self.database, "checkin", _close)
        self.database.dispose()
        self.doorbells.close()


def _close(_connection: Any, record: Any) -> None:
    record.close()


def connected(settings: Settings) -> Connected:
    """Return a process' connections, none of them open yet. Raise NotConfigured."""
    database = bounded_engine_for(settings)
    redis = redis_client.connect(settings)
    doorbells = Doorbells(redis, producer_app(settings), settings)
    return _on(settings, database, doorbells, LaneNotifications(redis, settings), Latch)


def connected_in_loop(settings: Settings) -> Connected:
    """Return the connections of one event loop's tasks, none of them open yet. Raise NotConfigured."""
    from pointledger.messaging.awaited import (  # noqa: PLC0415
        AwaitedDoorbells,
        AwaitedNotifications,
        AwaitedRedis,
    )
    from pointledger.storage.awaiting import AwaitedConnection  # noqa: PLC0415

    database = bounded_engine_for(settings, AwaitedConnection)
    redis = AwaitedRedis(redis_client.connect_in_loop(settings))
    doorbells = AwaitedDoorbells(redis, producer_app(settings), settings)
    return _on(settings, database, doorbells, AwaitedNotifications(redis, settings), AwaitedLatch)


def _on(
    settings: Settings,
    database: sa.Engine,
    doorbells: Doorbells,
    notifications: LaneNotifications,
    latch: type[Latch],
) -> Connected:
    acceptance = Acceptance(database, doorbells, settings, Backlog(database, settings), latch)
    reads = autocommit_engine(database)

    def look(ids: list[UUID], seconds: float) -> Found:
        with translate_errors(), answers_within(seconds), reads.connect() as connection:
            return outcomes.outcomes_with_lanes(connection, ids)

    return Connected(
        database=database,
        reads=reads,
        doorbells=doorbells,
        notifications=notifications,
        looks=OutcomeLooks(look, notifications, latch),
        acceptance=acceptance,
        batches=BatchAcceptor(database, acceptance, settings),
        control=Control(database, doorbells, settings),
    )
