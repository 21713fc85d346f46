"""The relay: carries the outbox to the broker, at least once, in order per user.

    take a slot (its row's lock) -> its next rows, in order -> publish all -> mark them -> COMMIT

Any number may run: a slot is one relay's at a time, and a user's events are all in one slot. A relay that
dies between publishing and marking has its rows sent again, in the same order and with the same ids, by the
next one that takes the slot; its lock has gone with its connection. A broker that is away leaves all as it
is: what waits, waits in Postgres, and a relay holds no more than one piece of it.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import sqlalchemy as sa

from pointledger import failpoints
from pointledger.errors import BrokerAway
from pointledger.events.broker import Publisher
from pointledger.events.retry import go_on
from pointledger.logs import Log
from pointledger.observability import counters
from pointledger.settings import Settings
from pointledger.storage.database import transaction
from pointledger.storage.events import outbox

_EVENTS_AT_ONCE = 1000  # per transaction; and a row's worth of memory
_IDLE_SECONDS = 0.2  # between looks while nothing waits
_PRUNE_SECONDS = 10.0  # between looks for what was sent long ago

_log = Log(__name__)


@dataclass(frozen=True, slots=True)
class Sent:
    """What one relay has sent."""

    rows: int
    events: int


class Relay:
    """One relay. `run` goes on until told to stop; `send_all` ends when nothing waits that it may take."""

    def __init__(self, database: sa.Engine, publisher: Publisher, settings: Settings) -> None:
        self._database = database
        self._publisher = publisher
        self._settings = settings
        self._slot = -1  # the last one taken; the next look begins behind it
        self._prune_at = 0.0

    def step(self) -> Sent | None:
        """Sends a piece of one slot; None when no slot waits that is free. Raises BrokerAway, and what the
        database raises; then nothing is marked."""
        self._publisher.prepare()
        with transaction(self._database, self._settings) as connection:
            slot = outbox.take_slot(connection, self._slot)
            if slot is None:
                return None
            self._slot = slot
            # A statement of its own: it sees what the relay that had the slot before has marked.
            waiting = outbox.waiting(connection, slot, _EVENTS_AT_ONCE)
            seqs = [row.seq for row in waiting]
            events = outbox.events(connection, seqs)
            failpoints.before("events-publish")
            self._publisher.publish(events)
            failpoints.after("events-publish")
            outbox.mark_sent(connection, seqs)
            failpoints.before("relay-commit")
        failpoints.after("relay-commit")
        counters.RELAYED.inc(len(events))
        return Sent(len(seqs), len(events))

    def send_all(self) -> Sent:
        """Sends until nothing waits but in slots that other relays have; what this one has sent."""
        rows = events = 0
        while sent := self.step():
            rows, events = rows + sent.rows, events + sent.events
        return Sent(rows, events)

    def run(self, stopping: Callable[[], bool], pause: Callable[[float], object] = time.sleep) -> None:
        """Goes on, whatever is away, until `stopping`; the piece at hand is finished."""

        def step() -> None:
            sent = self.step()
            self._prune()
            if sent is None:
                pause(_IDLE_SECONDS)
            else:
                _log.info("relayed", action="relay", slot=self._slot, events=sent.events)

        def tell(error: Exception, seconds: float) -> None:
            _log.warning("relay_waits", action="relay", error=str(error), seconds=seconds)

        go_on(step, stopping, pause, passing=(BrokerAway,), tell=tell)

    def _prune(self) -> None:
        """Bounded, and now and then: a relay is there to send."""
        if time.monotonic() < self._prune_at:
            return
        self._prune_at = time.monotonic() + _PRUNE_SECONDS
        with transaction(self._database, self._settings) as connection:
            outbox.prune(connection)
