"""Ingests events: turns the messages of other services into commands.

    receive -> read each -> accept, COMMIT -> keep invalid messages, COMMIT -> ack all

A message is acknowledged only when its commands are in the journal, or when Postgres keeps it unchanged as a
dead letter, with the reason. If the process fails in between, the broker delivers the message again. That is
safe, because `source` and `id` are the command's key, and a dead letter is kept once.

A message of an unknown version, or beyond a producer's quota, is deferred and retried. An operator handles
other dead letters (`pointledger dead-letters list`). A refusal is an outcome, not a dead letter.
"""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

import sqlalchemy as sa

from pointledger import failpoints
from pointledger.client.acceptor import Acceptance
from pointledger.domain.events.ingested import DEFERRED, MAX_BYTES, InvalidEvent, RejectReason
from pointledger.domain.events.producers import Producers
from pointledger.errors import (
    AcceptanceBusy,
    BacklogFull,
    BrokerAway,
    DeadLetterMissing,
    DeadLetterNotReplayable,
    IdempotencyKeyReused,
    InvalidCommand,
)
from pointledger.events.ingest_queue import IngestQueue, Message
from pointledger.events.reader import SIGNATURE_HEADERS, EventReader, ReadMessage
from pointledger.events.retry import run_with_backoff
from pointledger.logs import Log, Outage
from pointledger.observability import counters
from pointledger.storage.database import IDLE_TIMEOUT_MS, bounded_transaction
from pointledger.storage.queue import dead_letters, job_runs
from pointledger.storage.queue.dead_letters import Bounds, DeadLetter

ENTRY_POINT = "events"
BOUNDS = Bounds(signed=100_000, unsigned=1_000)  # the defaults of the settings, for callers without settings
AT_ONCE = 200  # messages: their commands fill a statement or two
_DEFER_SECONDS = {RejectReason.QUOTA: 1.0, RejectReason.UNKNOWN_VERSION: 60.0}  # until the next attempt
_DEFERRED_AT_ONCE = 200
_RETRY_SECONDS = 1.0  # between attempts at deferred messages

_TRANSIENT = (BrokerAway, AcceptanceBusy, BacklogFull)  # the broker delivers the messages again

_log = Log(__name__)


class Ingest:
    """Reads messages and accepts their commands."""

    def __init__(
        self,
        database: sa.Engine,
        acceptance: Acceptance,
        producers: Producers,
        *,
        idle_ms: int = IDLE_TIMEOUT_MS,
        bounds: Bounds = BOUNDS,
    ) -> None:
        self._database = database
        self._bounds = bounds
        self._idle_ms = idle_ms
        self._acceptance = acceptance
        self._reader = EventReader(producers)
        self._retry_at = 0.0

    def receive(self, messages: Sequence[Message]) -> Counter[str]:
        """Commit the result of each message, and count them as accepted, dead or deferred.

        Raise database errors, AcceptanceBusy and BacklogFull. Receiving the messages again is always safe.
        """
        with self._database.connect() as connection:
            now = job_runs.now(connection)
        batch = self._within_quotas([self._reader.read(message, now) for message in messages])
        batch = self._accept(batch)
        counts: Counter[str] = Counter(accepted=sum(one.invalid is None for one in batch))
        with bounded_transaction(self._database, self._idle_ms) as connection:
            counts += self._keep_all(connection, [one for one in batch if one.invalid])
            failpoints.before("dead-letters-commit")
        failpoints.after("dead-letters-commit")
        return counts

    def retry_deferred(self) -> Counter[str]:
        """Retry deferred messages that are due, in the order of arrival; one process at a time."""
        counts: Counter[str] = Counter()
        with bounded_transaction(self._database, self._idle_ms) as connection:
            if not dead_letters.lock_deferred(connection):
                return counts
            over: set[str | None] = set()  # producers that have used their quota of this minute
            for dead_letter in dead_letters.due(connection, ENTRY_POINT, _DEFERRED_AT_ONCE):
                counts[self._retry(connection, dead_letter, over)] += 1
        return counts

    def replay(self, dead_letter_id: int) -> list[str]:
        """Accept the commands of a dead letter of any age, and return their task ids.

        Raise DeadLetterMissing and DeadLetterNotReplayable.
        """
        with bounded_transaction(self._database, self._idle_ms) as connection:
            found = dead_letters.find(connection, dead_letter_id=dead_letter_id, limit=1)
        if not found or found[0].entry_point != ENTRY_POINT:
            raise DeadLetterMissing(str(dead_letter_id))
        dead_letter = found[0]
        try:
            receipt = self._acceptance.accept(self._reader.commands_in(dead_letter, None))
        except (InvalidEvent, InvalidCommand, IdempotencyKeyReused) as error:
            reason = error.reject_reason if isinstance(error, InvalidEvent) else dead_letter.reason
            with bounded_transaction(self._database, self._idle_ms) as connection:
                dead_letters.record_attempt(connection, dead_letter.id, reason, str(error), None)
            raise DeadLetterNotReplayable(str(error)) from None
        with bounded_transaction(self._database, self._idle_ms) as connection:
            dead_letters.settle(connection, dead_letter.id)
        _log.warning(
            "dead_letter_replayed",
            action="replay",
            dead_letter=dead_letter.id,
            entry_point=dead_letter.entry_point,
        )
        return receipt.task_ids

    def run(
        self,
        ingest_queue: IngestQueue,
        stopping: Callable[[], bool],
        pause: Callable[[float], object] = time.sleep,
    ) -> None:
        """Ingest until `stopping()` is true, and retry while a server is unavailable."""

        def step() -> None:
            self.step(ingest_queue, wait_seconds=1.0)
            self._retry_now_and_then()

        outage = Outage(_log, "ingest", "ingest_waits", "ingest_continues")
        run_with_backoff(step, stopping, pause, outage=outage, expected=_TRANSIENT)

    def step(self, ingest_queue: IngestQueue, *, wait_seconds: float = 0.0) -> Counter[str]:
        """Receive up to a batch of messages, and acknowledge them when their results are committed."""
        messages = ingest_queue.receive(AT_ONCE, wait_seconds)
        if not messages:
            return Counter()
        counts = self.receive(messages)
        failpoints.before("ack")
        ingest_queue.ack()
        failpoints.after("ack")
        for state, count in counts.items():
            counters.RECEIVED.labels(ENTRY_POINT, state).inc(count)
        _log.info("received", action="ingest", **counts)
        return counts

    def _within_quotas(self, batch: list[ReadMessage]) -> list[ReadMessage]:
        """Defer messages beyond a producer's quota, and its later messages, so that their order stays."""
        bounded = sorted({one.producer.name for one in batch if one.producer and one.producer.per_minute})
        if not bounded:
            return batch
        with bounded_transaction(self._database, self._idle_ms) as connection:
            over = dead_letters.producers_with_deferred(connection, bounded, RejectReason.QUOTA)
            return [self._within_quota(connection, one, over) for one in batch]

    def _within_quota(self, connection: sa.Connection, one: ReadMessage, over: set[str]) -> ReadMessage:
        producer = one.producer
        if producer is None or producer.per_minute is None or not one.commands:
            return one
        name, most = producer.name, producer.per_minute
        if name not in over and dead_letters.take_quota(connection, name, len(one.commands), most):
            return one
        over.add(name)
        return _rejected(one, RejectReason.QUOTA, f"more than {most} events in a minute")

    # ---------------------------------------------------------------------------------------- accepting

    def _accept(self, batch: list[ReadMessage]) -> list[ReadMessage]:
        """Accept all commands at once, or message by message if a key was used with other content."""
        try:
            self._acceptance.accept([command for one in batch for command in one.commands])
            return batch
        except IdempotencyKeyReused:
            return [self._accept_one(one) for one in batch]

    def _accept_one(self, one: ReadMessage) -> ReadMessage:
        try:
            self._acceptance.accept(one.commands)
            return one
        except IdempotencyKeyReused as error:
            return _rejected(one, RejectReason.KEY_REUSED, str(error))

    def _keep_all(self, connection: sa.Connection, invalid: list[ReadMessage]) -> Counter[str]:
        """Keep invalid messages, drop the oldest of sources that have too many, and count the states."""
        deferred = [one for one in invalid if one.invalid and one.invalid.reject_reason in DEFERRED]
        producers = sorted({one.producer.name for one in deferred if one.producer})
        full = dead_letters.full_producers(connection, producers, self._bounds.signed) if producers else set()
        lines: Counter[tuple[str, str, str | None]] = Counter()
        for one in invalid:
            lines[self._keep(connection, one, full)] += 1
        for (state, reason, producer), count in lines.items():
            _log.warning(
                "no_command", action="ingest", state=state, reason=reason, producer=producer, messages=count
            )
        for source in {producer for _, _, producer in lines}:
            self._drop_oldest(connection, source)
        counts: Counter[str] = Counter()
        for (state, _, _), count in lines.items():
            counts[state] += count
        return counts

    def _keep(
        self, connection: sa.Connection, one: ReadMessage, full: set[str]
    ) -> tuple[str, str, str | None]:
        """Keep one message, and return its state, its reason and its producer."""
        assert one.invalid is not None, "the message is invalid"
        reason, producer = one.invalid.reject_reason, one.producer.name if one.producer else None
        seconds = None if producer in full else _DEFER_SECONDS.get(reason)
        dead_letters.keep(
            connection,
            entry_point=ENTRY_POINT,
            raw=one.message.raw[: MAX_BYTES + 1],  # one byte more shows that it was too large
            reason=reason,
            error=str(one.invalid),
            producer=producer,
            tenant_id=one.tenant_id,
            headers={
                name: text for name, text in one.message.text_headers.items() if name in SIGNATURE_HEADERS
            },
            defer_seconds=seconds,
        )
        return "dead" if seconds is None else "deferred", reason, producer

    def _drop_oldest(self, connection: sa.Connection, producer: str | None) -> None:
        if dropped := dead_letters.drop_oldest(connection, ENTRY_POINT, producer, self._bounds.of(producer)):
            counters.DROPPED.labels(ENTRY_POINT).inc(dropped)
            _log.warning("dead_letters_dropped", action="ingest", producer=producer, messages=dropped)

    # ----------------------------------------------------------------------------- deferred messages

    def _retry_now_and_then(self) -> None:
        if time.monotonic() >= self._retry_at and not self.retry_deferred()["accepted"]:
            self._retry_at = time.monotonic() + _RETRY_SECONDS

    def _retry(self, connection: sa.Connection, dead_letter: DeadLetter, over: set[str | None]) -> str:
        try:
            is_replay = dead_letter.reason == dead_letters.REPLAY  # of any age
            commands = self._reader.commands_in(dead_letter, None if is_replay else dead_letter.received_at)
            producer = self._reader.producer_named(dead_letter.producer)
            most = producer.per_minute if producer else None
            if dead_letter.producer in over:
                return "deferred"
            if most and not dead_letters.take_quota(
                connection, dead_letter.producer or "", len(commands), most
            ):
                over.add(dead_letter.producer)
                return "deferred"
            self._acceptance.accept(commands)
        except (InvalidEvent, IdempotencyKeyReused) as error:
            reject_reason = (
                error.reject_reason if isinstance(error, InvalidEvent) else RejectReason.KEY_REUSED
            )
            seconds = _DEFER_SECONDS.get(reject_reason)
            dead_letters.record_attempt(connection, dead_letter.id, reject_reason, str(error), seconds)
            return "dead" if seconds is None else "deferred"
        dead_letters.settle(connection, dead_letter.id)
        return "accepted"


def _rejected(one: ReadMessage, reason: RejectReason, error: str) -> ReadMessage:
    tenants = {command.tenant_id for command in one.commands}
    tenant_id = tenants.pop() if len(tenants) == 1 else None
    return replace(one, commands=[], invalid=InvalidEvent(reason, error), tenant_id=tenant_id)
