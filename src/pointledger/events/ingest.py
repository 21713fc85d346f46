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
from pointledger.logs import Log
from pointledger.observability import counters
from pointledger.storage.database import IDLE_TIMEOUT_MS, bounded_transaction
from pointledger.storage.queue import dead_letters, job_runs
from pointledger.storage.queue.dead_letters import DeadLetter

ENTRY_POINT = "events"
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
    ) -> None:
        self._database = database
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
        counts: Counter[str] = Counter()
        with bounded_transaction(self._database, self._idle_ms) as connection:
            for one in batch:
                counts[self._keep(connection, one)] += 1
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

        def report(error: Exception, seconds: float) -> None:
            _log.warning("ingest_waits", action="ingest", error=type(error).__name__, seconds=seconds)

        run_with_backoff(step, stopping, pause, transient=_TRANSIENT, report=report)

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

    def _keep(self, connection: sa.Connection, one: ReadMessage) -> str:
        """Keep an invalid message as a dead letter, and return the state of the message."""
        if one.invalid is None:
            return "accepted"
        invalid, message = one.invalid, one.message
        producer = one.producer.name if one.producer else None
        dead_letters.keep(
            connection,
            entry_point=ENTRY_POINT,
            raw=message.raw[: MAX_BYTES + 1],  # one byte more shows that it was too large
            reason=invalid.reject_reason,
            error=str(invalid),
            producer=producer,
            headers={name: text for name, text in message.text_headers.items() if name in SIGNATURE_HEADERS},
            defer_seconds=_DEFER_SECONDS.get(invalid.reject_reason),
        )
        state = "deferred" if invalid.reject_reason in DEFERRED else "dead"
        _log.warning(
            "no_command", action="ingest", state=state, reason=invalid.reject_reason, producer=producer
        )
        return state

    # ----------------------------------------------------------------------------- deferred messages

    def _retry_now_and_then(self) -> None:
        if time.monotonic() >= self._retry_at and not self.retry_deferred()["accepted"]:
            self._retry_at = time.monotonic() + _RETRY_SECONDS

    def _retry(self, connection: sa.Connection, dead_letter: DeadLetter, over: set[str | None]) -> str:
        try:
            commands = self._reader.commands_in(dead_letter, dead_letter.received_at)
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
    return replace(one, commands=[], invalid=InvalidEvent(reason, error))
