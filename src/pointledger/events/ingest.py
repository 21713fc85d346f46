"""The intake: events of other services become commands.

    take messages -> judge each -> accept, COMMIT -> keep the misfits, COMMIT -> the broker forgets them all

A message is forgotten by the broker only when its commands are in the journal, or when it lies in Postgres as
a letter, as it came, with the reason. Whatever dies in between, it comes again, and that changes nothing:
`source` and `id` are the command's key, a letter is kept once. What a newer program may understand, and what
is more than a producer may send in a minute, is held and tried again by itself; the rest waits for a person
(`pointledger dead letters`). What the ledger refuses is an outcome, no dead letter.
"""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from pointledger import failpoints
from pointledger.client.acceptor import Acceptance
from pointledger.domain.commands import AnyCommand
from pointledger.domain.events.ingested import HELD, MAX_BYTES, Misfit, Unfit, commands_of, require_structured
from pointledger.domain.events.producers import Producer, Producers, producers_from
from pointledger.domain.values.json_values import read_json
from pointledger.errors import (
    AcceptanceBusy,
    BacklogFull,
    BrokerAway,
    IdempotencyKeyReused,
    InvalidCommand,
    InvalidProducers,
    LetterMissing,
    LetterUnfit,
)
from pointledger.events.ingest_queue import Mailbox, Message
from pointledger.events.retry import go_on
from pointledger.logs import Log
from pointledger.observability import counters
from pointledger.settings import Settings
from pointledger.storage.database import IDLE_TIMEOUT_MS, unfrozen
from pointledger.storage.queue import dead_letters, job_runs
from pointledger.storage.queue.dead_letters import Letter

DOOR = "events"
PRODUCER, KEY, SIGNATURE = "x-producer", "x-key", "x-signature"  # headers of a message
_SIGNED_BY = (PRODUCER, KEY, SIGNATURE)
AT_ONCE = 200  # messages: their commands fill a statement or two
_HELD_SECONDS = {Misfit.QUOTA: 1.0, Misfit.UNKNOWN_VERSION: 60.0}  # before a held letter is tried again
_HELD_AT_ONCE = 200
_LOOK_SECONDS = 1.0  # between looks at what is held

_PASSING = (BrokerAway, AcceptanceBusy, BacklogFull)  # what is there comes again

_log = Log(__name__)


@dataclass(frozen=True, slots=True)
class _Judged:
    """A message and what it is: commands, or unfit. `producer` is None for what is not signed."""

    message: Message
    producer: Producer | None
    commands: list[AnyCommand]
    unfit: Unfit | None = None


def load_producers(settings: Settings) -> Producers:
    """Those of the keys file, or of the environment. Raises InvalidProducers."""
    if settings.intake_keys_file:
        try:
            text = settings.intake_keys_file.read_text()
        except OSError as error:
            raise InvalidProducers(f"POINTLEDGER_INTAKE_KEYS_FILE: {error.strerror}") from None
    else:
        text = settings.intake_keys.get_secret_value() if settings.intake_keys else '{"producers": []}'
    try:
        return producers_from(read_json(text))
    except InvalidProducers:
        raise
    except ValueError:
        raise InvalidProducers("not JSON") from None


class Intake:
    """Judges messages and accepts what they ask for."""

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
        self._producers = producers
        self._look_at = 0.0

    def receive(self, messages: Sequence[Message]) -> Counter[str]:
        """Returns when what became of each is committed; how many are accepted, dead and held. Raises what
        the database raises, AcceptanceBusy and BacklogFull; receiving the messages again is always safe."""
        with self._database.connect() as connection:
            now = job_runs.now(connection)
        judged = self._within_quotas([self._judge(message, now) for message in messages])
        judged = self._accept(judged)
        counts: Counter[str] = Counter()
        with unfrozen(self._database, self._idle_ms) as connection:
            for one in judged:
                counts[self._keep(connection, one)] += 1
            failpoints.before("letters-commit")
        failpoints.after("letters-commit")
        return counts

    def retry_held(self) -> Counter[str]:
        """Tries letters again whose moment has come, in the order of their coming; one intake at a time."""
        counts: Counter[str] = Counter()
        with unfrozen(self._database, self._idle_ms) as connection:
            if not dead_letters.one_at_a_time(connection):
                return counts
            over: set[str | None] = set()  # producers who have sent enough for this minute
            for letter in dead_letters.due(connection, DOOR, _HELD_AT_ONCE):
                counts[self._retry(connection, letter, over)] += 1
        return counts

    def replay(self, letter_id: int) -> list[str]:
        """Makes commands of a letter of events, however old; their task ids. Raises LetterMissing and
        LetterUnfit."""
        with unfrozen(self._database, self._idle_ms) as connection:
            found = dead_letters.letters(connection, letter_id=letter_id, limit=1)
        if not found or found[0].door != DOOR:
            raise LetterMissing(str(letter_id))
        letter = found[0]
        try:
            receipt = self._acceptance.accept(self._commands_in(letter, None))
        except (Unfit, InvalidCommand, IdempotencyKeyReused) as error:
            reason = error.misfit if isinstance(error, Unfit) else letter.reason
            with unfrozen(self._database, self._idle_ms) as connection:
                dead_letters.try_again(connection, letter.id, reason, str(error), None)
            raise LetterUnfit(str(error)) from None
        with unfrozen(self._database, self._idle_ms) as connection:
            dead_letters.settle(connection, letter.id)
        _log.warning("letter_replayed", action="replay", letter=letter.id, door=letter.door)
        return receipt.task_ids

    def run(
        self,
        mailbox: Mailbox,
        stopping: Callable[[], bool],
        pause: Callable[[float], object] = time.sleep,
    ) -> None:
        """Goes on, whatever is away, until `stopping`; the messages at hand are finished."""

        def step() -> None:
            self.step(mailbox, wait_seconds=1.0)
            self._look_at_held()

        def tell(error: Exception, seconds: float) -> None:
            _log.warning("intake_waits", action="intake", error=type(error).__name__, seconds=seconds)

        go_on(step, stopping, pause, passing=_PASSING, tell=tell)

    def step(self, mailbox: Mailbox, *, wait_seconds: float = 0.0) -> Counter[str]:
        """Receives what is there, up to a batch; the broker forgets it after that."""
        messages = mailbox.take(AT_ONCE, wait_seconds)
        if not messages:
            return Counter()
        counts = self.receive(messages)
        failpoints.before("forget")
        mailbox.done()
        failpoints.after("forget")
        for state, messages_so in counts.items():
            counters.RECEIVED.labels(DOOR, state).inc(messages_so)
        _log.info("received", action="intake", **counts)
        return counts

    # ------------------------------------------------------------------------------------------ judging

    def _judge(self, message: Message, now: datetime) -> _Judged:
        producer = None
        try:
            producer = self._sender(message)
            return _Judged(message, producer, commands_of(message.raw, producer, now))
        except Unfit as unfit:
            return _Judged(message, producer, [], unfit)

    def _sender(self, message: Message) -> Producer:
        """Who has signed it. Raises Unfit."""
        if len(message.raw) > MAX_BYTES:
            raise Unfit(Misfit.TOO_LARGE, f"{len(message.raw)} bytes; a message has {MAX_BYTES} at most")
        if message.reply_to is not None:
            raise Unfit(Misfit.REPLY_REFUSED, "reply_to: nothing is sent to a channel of a message's choice")
        headers = message.text_headers
        require_structured(message.raw, headers)
        producer = self._producers.who_signed(
            message.raw, headers.get(PRODUCER), headers.get(KEY), headers.get(SIGNATURE)
        )
        if producer is None:
            raise Unfit(Misfit.UNSIGNED, f"no producer's signature: {PRODUCER}, {KEY}, {SIGNATURE}")
        return producer

    def _within_quotas(self, judged: list[_Judged]) -> list[_Judged]:
        """What is more than a producer may send waits, and so does what follows: its order stays."""
        bounded = sorted({one.producer.name for one in judged if one.producer and one.producer.per_minute})
        if not bounded:
            return judged
        with unfrozen(self._database, self._idle_ms) as connection:
            over = dead_letters.holds_back(connection, bounded, Misfit.QUOTA)
            return [self._counted(connection, one, over) for one in judged]

    def _counted(self, connection: sa.Connection, one: _Judged, over: set[str]) -> _Judged:
        producer = one.producer
        if producer is None or producer.per_minute is None or not one.commands:
            return one
        name, most = producer.name, producer.per_minute
        if name not in over and dead_letters.take_quota(connection, name, len(one.commands), most):
            return one
        over.add(name)
        return _Judged(one.message, producer, [], Unfit(Misfit.QUOTA, f"more than {most} events in a minute"))

    # ---------------------------------------------------------------------------------------- accepting

    def _accept(self, judged: list[_Judged]) -> list[_Judged]:
        """All at once; where a key was used with other content, message by message."""
        try:
            self._acceptance.accept([command for one in judged for command in one.commands])
            return judged
        except IdempotencyKeyReused:
            return [self._accept_one(one) for one in judged]

    def _accept_one(self, one: _Judged) -> _Judged:
        try:
            self._acceptance.accept(one.commands)
            return one
        except IdempotencyKeyReused as error:
            return _Judged(one.message, one.producer, [], Unfit(Misfit.KEY_REUSED, str(error)))

    def _keep(self, connection: sa.Connection, one: _Judged) -> str:
        """What is no command becomes a letter; how the message ended."""
        if one.unfit is None:
            return "accepted"
        unfit, message = one.unfit, one.message
        producer = one.producer.name if one.producer else None
        held = _HELD_SECONDS.get(unfit.misfit)
        dead_letters.keep(
            connection,
            door=DOOR,
            raw=message.raw[: MAX_BYTES + 1],  # of one that is larger, that it is
            reason=unfit.misfit,
            error=str(unfit),
            producer=producer,
            headers={name: text for name, text in message.text_headers.items() if name in _SIGNED_BY},
            held_seconds=held,
        )
        state = "held" if unfit.misfit in HELD else "dead"
        _log.warning("no_command", action="intake", state=state, reason=unfit.misfit, producer=producer)
        return state

    # ------------------------------------------------------------------------------------------ letters

    def _look_at_held(self) -> None:
        if time.monotonic() >= self._look_at and not self.retry_held()["accepted"]:
            self._look_at = time.monotonic() + _LOOK_SECONDS

    def _retry(self, connection: sa.Connection, letter: Letter, over: set[str | None]) -> str:
        try:
            commands = self._commands_in(letter, letter.received_at)
            producer = self._producers.named(letter.producer)
            most = producer.per_minute if producer else None
            if letter.producer in over:
                return "held"
            if most and not dead_letters.take_quota(connection, letter.producer or "", len(commands), most):
                over.add(letter.producer)
                return "held"
            self._acceptance.accept(commands)
        except (Unfit, IdempotencyKeyReused) as error:
            misfit = error.misfit if isinstance(error, Unfit) else Misfit.KEY_REUSED
            held = _HELD_SECONDS.get(misfit)
            dead_letters.try_again(connection, letter.id, misfit, str(error), held)
            return "dead" if held is None else "held"
        dead_letters.settle(connection, letter.id)
        return "accepted"

    def _commands_in(self, letter: Letter, first_seen_at: datetime | None) -> list[AnyCommand]:
        """What a letter asks for. Raises Unfit and InvalidCommand."""
        if letter.reason == Misfit.BINARY_MODE:  # its attributes went with the headers
            raise Unfit(Misfit.BINARY_MODE, letter.error)
        message = Message(letter.raw, letter.headers or {})
        producer = self._producers.named(letter.producer) or self._sender(message)
        return commands_of(letter.raw, producer, first_seen_at)
