"""Accepts batches of earns. Each row becomes an earn command, and the commands are accepted all or none.

Each command has its own outcome, and a failure does not affect the others. The commands' ids are derived from
the batch's id and their positions, so the batch's row is enough to recognize a batch that is sent again. An
invalid row is kept as a dead letter, and its outcome is refused with INVALID_COMMAND.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from hashlib import blake2b
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from pydantic import TypeAdapter, ValidationError

from pointledger.client.acceptor import Acceptance
from pointledger.client.attempts import computed, pause
from pointledger.client.counts import count_outcomes
from pointledger.client.given_ids import given_id
from pointledger.client.receipts import Receipt
from pointledger.domain.commands import Earn, command_from
from pointledger.domain.commands.outcomes import INVALID_COMMAND, Outcome
from pointledger.domain.values.fields import EntityId, Key
from pointledger.domain.values.validation import describe
from pointledger.errors import BatchMissing, IdempotencyKeyReused, InvalidCommand
from pointledger.ids import derive_id, milliseconds_in, new_id, show_id
from pointledger.settings import Settings
from pointledger.storage.database import read_only, transaction
from pointledger.storage.errors import DATABASE_ERRORS, Attempt, is_transient, translate_errors
from pointledger.storage.queries import outcomes
from pointledger.storage.queue import batches, dead_letters
from pointledger.storage.queue.batches import Batch

MOST_ROWS = 50_000  # accepted in one transaction, which takes two seconds
_ATTEMPTS = 3  # when the connection is lost, or another client sends the same batch
_OUTCOMES_AT_ONCE = 1_000
_FIELDS = frozenset({"user_id", "amount", "expires_at", "occurred_at", "reason", "source", "description"})
_ENTRY_POINT = "batch-earn"
_MAYBE = "the batch may have been accepted; sending it again with the same key is safe"

Row = tuple[str, int] | Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class BatchReceipt:
    """What was accepted of a batch."""

    batch_id: str
    """The batch's id."""
    task_ids: tuple[str, ...]
    """The ids of its commands, in the order of its rows."""
    new: int
    """How many commands were accepted by this call: 0 when the batch was sent again."""


@dataclass(frozen=True, slots=True)
class BatchOutcome:
    """What came of a batch as a whole."""

    batch_id: str
    """The batch's id."""
    tenant_id: str
    """Its tenant."""
    state: str
    """`pending` as long as some command is pending, then `done`."""
    accepted_at: datetime
    """When it was accepted."""
    size: int
    """How many rows it has."""
    applied: int
    """How many were applied."""
    refused: dict[str, int]
    """How many were refused, by reason."""
    dead: int
    """How many are dead."""
    pending: int
    """How many are pending."""
    points_earned: int
    """The points that were granted in all."""

    def as_json(self) -> dict[str, Any]:
        """Return the fields, with times in ISO 8601 UTC."""
        return asdict(self) | {"accepted_at": self.accepted_at.isoformat().replace("+00:00", "Z")}


class BatchAcceptor:
    """Accepts batches of earns and returns their outcomes."""

    def __init__(self, database: sa.Engine, acceptance: Acceptance, settings: Settings) -> None:
        self._database = database
        self._acceptance = acceptance
        self._settings = settings

    def accept(self, tenant_id: str, given: Sequence[Row | Any], key: str, actor: str) -> BatchReceipt:
        """Accept the batch, unless it was accepted before.

        Raise InvalidCommand if the batch itself is malformed, and IdempotencyKeyReused. DatabaseAway and
        DatabaseFailed say whether the batch may be accepted.
        """
        _check(EntityId, tenant_id, "tenant_id")
        _check(EntityId, actor, "actor")
        _check(Key, key, "idempotency_key")
        if not 1 <= len(given) <= MOST_ROWS:
            raise InvalidCommand(f"rows: a batch has 1 to {MOST_ROWS} rows, not {len(given)}")
        rows = [_fields(row) for row in given]
        fingerprint = computed(self._database, lambda: _fingerprint(rows), len(rows))
        batch = Batch(new_id(), tenant_id, fingerprint, len(rows))
        with translate_errors("nothing was accepted", lambda: _MAYBE) as attempt:
            for attempts_left in reversed(range(_ATTEMPTS)):
                try:
                    with attempt.transacting():
                        return self._accept(batch, rows, key, actor, attempt)
                except DATABASE_ERRORS as error:
                    if not attempts_left or not is_transient(error):
                        raise
                    pause(self._database)
        raise AssertionError("the last attempt returns or raises")

    def _accept(self, batch: Batch, rows: list[Any], key: str, actor: str, attempt: Attempt) -> BatchReceipt:
        commands, rejected = computed(self._database, lambda: _expanded(batch, rows, actor), batch.size)
        with transaction(self._database, self._settings) as connection:
            is_new = batches.note(
                connection,
                batch.id,
                tenant_id=batch.tenant_id,
                actor=actor,
                key=key,
                fingerprint=batch.fingerprint,
                size=batch.size,
            )
            if not is_new:
                known = batches.first(connection, batch.tenant_id, actor, key)
                return computed(self._database, lambda: _receipt_of_duplicate(known, batch, key), batch.size)
            receipt = self._write(connection, commands, rejected)
            attempt.committing()
        self._acceptance.ring(receipt)
        task_ids = computed(self._database, lambda: _task_ids(batch), batch.size)
        return BatchReceipt(show_id(batch.id), task_ids, receipt.new)

    def _write(
        self, connection: sa.Connection, commands: list[Earn], rejected: list[tuple[UUID, Any, str]]
    ) -> Receipt:
        for task_id, row, error in rejected:
            raw = json.dumps(row, default=str).encode()
            dead_letters.keep(
                connection,
                entry_point=_ENTRY_POINT,
                task_id=task_id,
                raw=raw,
                reason=INVALID_COMMAND,
                error=error,
            )
        if not commands:
            return Receipt([], 0, frozenset())
        return self._acceptance.accept_within(commands, connection)

    def pages(self, batch_id: str) -> Iterator[list[UUID]]:
        """Yield the ids of a batch's commands in the order of its rows, page by page. Raise BatchMissing."""
        ids = _command_ids(self._batch(batch_id))
        return (ids[start : start + _OUTCOMES_AT_ONCE] for start in range(0, len(ids), _OUTCOMES_AT_ONCE))

    def outcomes_of(self, page: list[UUID]) -> list[Outcome]:
        """Return the outcome of each command of a page."""
        with read_only(self._database) as connection:
            found = outcomes.outcomes(connection, page)
        return [found[command_id] for command_id in page]

    def outcome(self, batch_id: str, tenant_id: str | None = None) -> BatchOutcome:
        """Count the outcomes of the whole batch. Raise BatchMissing.

        With `tenant_id`, a batch of another tenant is missing, and that takes no longer to find out.
        """
        batch = self._batch(batch_id)
        if tenant_id not in (None, batch.tenant_id):
            raise BatchMissing(batch_id)
        assert batch.accepted_at, "a batch in the table has the moment of its acceptance"
        with read_only(self._database) as connection:
            counts = count_outcomes(connection, _command_ids(batch))
        return BatchOutcome(
            batch_id=show_id(batch.id),
            tenant_id=batch.tenant_id,
            state="pending" if counts.pending else "done",
            accepted_at=batch.accepted_at,
            size=batch.size,
            applied=counts.applied,
            refused=counts.refused,
            dead=counts.dead,
            pending=len(counts.pending),
            points_earned=counts.points_earned,
        )

    def _batch(self, batch_id: str) -> Batch:
        wanted = given_id("batch_id", batch_id)
        with read_only(self._database) as connection:
            found = batches.batch(connection, wanted)
        if found is None:
            raise BatchMissing(batch_id)
        return found


def _expanded(batch: Batch, rows: list[Any], actor: str) -> tuple[list[Earn], list[tuple[UUID, Any, str]]]:
    """Return the valid rows as commands, and each invalid row with its id and error."""
    commands, rejected = [], []
    for command_id, row in zip(_command_ids(batch), rows, strict=True):
        try:
            commands.append(_command(batch, command_id, row, actor))
        except InvalidCommand as error:
            rejected.append((command_id, row, str(error)))
    return commands, rejected


def _command(batch: Batch, command_id: UUID, row: Any, actor: str) -> Earn:
    if not isinstance(row, dict):
        raise InvalidCommand("row: user_id and amount, as an object or a pair")
    if unknown := sorted(str(name)[:100] for name in row.keys() - _FIELDS):
        raise InvalidCommand(f"{', '.join(unknown[:10])}: a row has {', '.join(sorted(_FIELDS))} only")
    source = {"source": f"batch {show_id(batch.id)}"}
    fields = source | row | {"id": command_id, "tenant_id": batch.tenant_id, "actor": actor}
    command = command_from(Earn.kind, fields)
    assert isinstance(command, Earn), "command_from returns the class of the kind"
    return command


def _fields(row: Any) -> Any:
    """Return a pair as an object; leave an invalid row as it is."""
    if isinstance(row, Mapping):
        return dict(row)
    if isinstance(row, tuple) and len(row) == 2:  # noqa: PLR2004  (user and amount)
        return {"user_id": row[0], "amount": row[1]}
    return row


def _fingerprint(rows: list[Any]) -> bytes:
    """Return a digest that is equal for batches with the same content."""
    text = json.dumps(rows, sort_keys=True, default=str)
    return blake2b(text.encode(), digest_size=16).digest()


def _receipt_of_duplicate(known: Batch, sent: Batch, key: str) -> BatchReceipt:
    if (known.fingerprint, known.size) != (sent.fingerprint, sent.size):
        raise IdempotencyKeyReused(f"batch {show_id(known.id)}, key {key}")
    return BatchReceipt(show_id(known.id), _task_ids(known), 0)


def _command_ids(batch: Batch) -> list[UUID]:
    milliseconds = milliseconds_in(batch.id)
    return [derive_id(batch.id, place, milliseconds) for place in range(1, batch.size + 1)]


def _task_ids(batch: Batch) -> tuple[str, ...]:
    return tuple(show_id(command_id) for command_id in _command_ids(batch))


def _check(kind: Any, value: object, name: str) -> None:
    try:
        TypeAdapter(kind).validate_python(value, strict=True)
    except ValidationError as error:
        raise InvalidCommand(f"{name}: {describe(error)}") from None
