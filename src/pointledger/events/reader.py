"""Reads messages of the ingest queue: checks the signature and turns the events into commands."""

from dataclasses import dataclass
from datetime import datetime

from pydantic import TypeAdapter

from pointledger.domain.commands import AnyCommand
from pointledger.domain.events.ingested import (
    MAX_BYTES,
    InvalidEvent,
    RejectReason,
    commands_of,
    require_structured,
)
from pointledger.domain.events.producers import Producer, Producers, producers_from
from pointledger.domain.values.fields import EntityId
from pointledger.domain.values.json_values import read_json
from pointledger.errors import InvalidProducers
from pointledger.events.ingest_queue import Message
from pointledger.settings import Settings
from pointledger.storage.queue.dead_letters import DeadLetter

_ID = TypeAdapter[str](EntityId)
PRODUCER, KEY, SIGNATURE = SIGNATURE_HEADERS = "x-producer", "x-key", "x-signature"


@dataclass(frozen=True, slots=True)
class ReadMessage:
    """A message with its commands, or the reason why it is invalid.

    An unsigned one has no `producer`. `tenant_id` is the tenant that an invalid one names, so that its people
    see it: None if it names several, or one for which the producer may send nothing.
    """

    message: Message
    producer: Producer | None
    commands: list[AnyCommand]
    invalid: InvalidEvent | None = None
    tenant_id: str | None = None


def load_producers(settings: Settings) -> Producers:
    """Load the producers from the keys file or the environment. Raise InvalidProducers."""
    if settings.ingest_keys_file:
        try:
            text = settings.ingest_keys_file.read_text()
        except OSError as error:
            raise InvalidProducers(f"POINTLEDGER_INGEST_KEYS_FILE: {error.strerror}") from None
    else:
        text = settings.ingest_keys.get_secret_value() if settings.ingest_keys else '{"producers": []}'
    try:
        return producers_from(read_json(text))
    except InvalidProducers:
        raise
    except ValueError:
        raise InvalidProducers("not JSON") from None


class EventReader:
    """Reads messages that known producers have signed."""

    def __init__(self, producers: Producers) -> None:
        self._producers = producers

    def read(self, message: Message, now: datetime) -> ReadMessage:
        """Return the commands of a message, or why it has none."""
        producer = None
        try:
            producer = self._signer(message)
            return ReadMessage(message, producer, commands_of(message.raw, producer, now))
        except InvalidEvent as error:
            return ReadMessage(message, producer, [], error, _tenant_named(message.raw, producer))

    def commands_in(self, dead_letter: DeadLetter, first_seen_at: datetime | None) -> list[AnyCommand]:
        """Return the commands of a dead letter. Raise InvalidEvent and InvalidCommand."""
        if dead_letter.reason == RejectReason.BINARY_MODE:  # its attributes were headers, which are not kept
            raise InvalidEvent(RejectReason.BINARY_MODE, dead_letter.error)
        message = Message(dead_letter.raw, dead_letter.headers or {})
        producer = self.producer_named(dead_letter.producer) or self._signer(message)
        return commands_of(dead_letter.raw, producer, first_seen_at)

    def producer_named(self, name: str | None) -> Producer | None:
        """Return the producer of this name, if it is known."""
        return self._producers.named(name)

    def _signer(self, message: Message) -> Producer:
        """Return the producer that signed the message. Raise InvalidEvent."""
        if len(message.raw) > MAX_BYTES:
            raise InvalidEvent(
                RejectReason.TOO_LARGE, f"{len(message.raw)} bytes; a message has {MAX_BYTES} at most"
            )
        if message.reply_to is not None:
            raise InvalidEvent(
                RejectReason.REPLY_REFUSED,
                "reply_to: the ledger sends no replies to a channel of the message",
            )
        headers = message.text_headers
        require_structured(message.raw, headers)
        producer = self._producers.authenticate(
            message.raw, headers.get(PRODUCER), headers.get(KEY), headers.get(SIGNATURE)
        )
        if producer is None:
            raise InvalidEvent(
                RejectReason.UNSIGNED, f"no producer's signature: {PRODUCER}, {KEY}, {SIGNATURE}"
            )
        return producer


def _tenant_named(raw: bytes, producer: Producer | None) -> str | None:
    if producer is None:
        return None
    try:
        document = read_json(raw)
        events = document if isinstance(document, list) else [document]
        named = {_ID.validate_python(event["tenantid"]) for event in events}
    except (ValueError, TypeError, KeyError):  # not JSON, no tenant, or no id of one
        return None
    tenant_id = named.pop() if len(named) == 1 else None
    return tenant_id if tenant_id and producer.may_send_for(tenant_id) else None
