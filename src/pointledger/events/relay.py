"""Relays events from the outbox to the broker: at least once, and in order per user.

    lock a slot's row -> read its next rows in turns -> publish them -> mark them as sent -> COMMIT

Tenants take turns: each batch begins with the rows of another one, and the other tenants of the slot share
it. So an event waits for one batch of each other tenant, however many events those have.

Any number of relays can run, because one relay holds a slot at a time and all events of a user are in one
slot. If a relay dies between publishing and marking, its lock ends with its connection. The next relay of the
slot sends the same rows again, in the same order and with the same ids. While the broker is unavailable, or
its queue is full because no one consumes, the events stay in Postgres, and a relay holds one batch at most.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import sqlalchemy as sa

from pointledger import failpoints
from pointledger.errors import BrokerAway, EventsQueueFull
from pointledger.events.broker import Publisher
from pointledger.events.retry import run_with_backoff
from pointledger.events.traced import record_sent
from pointledger.logs import Log, Outage
from pointledger.observability import counters
from pointledger.settings import Settings
from pointledger.storage.database import transaction
from pointledger.storage.events import outbox, outbox_queues

_EVENTS_AT_ONCE = 1000  # per transaction; they fit in memory
_IDLE_SECONDS = 0.2  # between polls of an empty outbox
_PRUNE_SECONDS = 10.0  # between prunes of rows that were sent long ago

_log = Log(__name__)


@dataclass(frozen=True, slots=True)
class RelayResult:
    """How many outbox rows and events a relay has sent."""

    rows: int
    events: int


class Relay:
    """A relay process. `run` continues until it is stopped; `send_all` ends when no free slot has rows."""

    def __init__(self, database: sa.Engine, publisher: Publisher, settings: Settings) -> None:
        self._database = database
        self._publisher = publisher
        self._settings = settings
        self._queue = outbox_queues.Queue(-1, "")  # of the last batch; the turn of the next tenant follows
        self._prune_at = 0.0

    def step(self) -> RelayResult | None:
        """Send a batch of one slot's events. Return None if no free slot has rows.

        Raise BrokerAway, EventsQueueFull and database errors; then no row is marked.
        """
        limit = self._settings.events_queue_limit
        longest = self._publisher.prepare()
        with transaction(self._database, self._settings) as connection:
            queue = outbox_queues.take_queue(connection, self._queue.tenant_id)
            if queue is None:
                return None
            if longest.messages >= limit:
                raise EventsQueueFull(f"{longest.queue} has reached POINTLEDGER_EVENTS_QUEUE_LIMIT, {limit}")
            self._queue = queue
            # A separate statement, so that it sees the marks of the slot's previous relay.
            seqs = outbox_queues.unsent(connection, queue, _EVENTS_AT_ONCE)
            events = outbox.events(connection, seqs)
            failpoints.before("events-publish")
            began_ns = time.time_ns()
            self._publisher.publish(events)
            failpoints.after("events-publish")
            outbox.mark_sent(connection, seqs)
            failpoints.before("relay-commit")
        failpoints.after("relay-commit")
        counters.RELAYED.inc(len(events))
        record_sent(events, self._settings.events_exchange, began_ns)
        return RelayResult(len(seqs), len(events))

    def send_all(self) -> RelayResult:
        """Send until only slots of other relays have rows, and return what this relay has sent."""
        rows = events = 0
        while sent := self.step():
            rows, events = rows + sent.rows, events + sent.events
        return RelayResult(rows, events)

    def run(self, stopping: Callable[[], bool], pause: Callable[[float], object] = time.sleep) -> None:
        """Relay until `stopping()` is true, and retry while a server is unavailable."""

        def step() -> None:
            sent = self.step()
            self._prune()
            if sent is None:
                pause(_IDLE_SECONDS)
            else:
                _log.info("relayed", action="relay", slot=self._queue.slot, events=sent.events)

        outage = Outage(_log, "relay", "relay_waits", "relay_continues")
        run_with_backoff(step, stopping, pause, outage=outage, expected=(BrokerAway, EventsQueueFull))

    def _prune(self) -> None:
        """Prune a bounded number of old rows from time to time."""
        if time.monotonic() < self._prune_at:
            return
        self._prune_at = time.monotonic() + _PRUNE_SECONDS
        with transaction(self._database, self._settings) as connection:
            outbox.prune(connection)
