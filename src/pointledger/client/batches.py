"""The door for many earns at once. A batch becomes that many earn commands, accepted all or none; each has
an outcome of its own, and one failure does not touch the others.

The commands' ids follow from the batch's id and their places in it. So the batch's row, which is written in
the same transaction, is all that has to be remembered: sending the batch again finds it and does nothing.
A row that is no earn command is kept as it came, and its outcome is refused with INVALID_COMMAND.
"""

import json
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from hashlib import blake2b
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from pydantic import TypeAdapter, ValidationError

from pointledger.client.acceptor import Acceptance
from pointledger.client.receipts import Receipt
from pointledger.domain.commands import Earn, command_from
from pointledger.domain.commands.outcomes import INVALID_COMMAND, Outcome
from pointledger.domain.values.fields import EntityId, Key
from pointledger.domain.values.validation import explain
from pointledger.errors import BatchMissing, IdempotencyKeyReused, InvalidCommand
from pointledger.ids import derive_id, milliseconds_in, new_id, parse_id, show_id
from pointledger.settings import Settings
from pointledger.storage.database import looking, transaction
from pointledger.storage.errors import DATABASE_ERRORS, Attempt, is_transient, telling
from pointledger.storage.queries import outcomes
from pointledger.storage.queue import batches, dead_letters
from pointledger.storage.queue.batches import Batch

MOST_ROWS = 50_000  # all are accepted in one transaction: two seconds
_TRIES = 3  # when the connection is lost, or somebody is sending the same batch
_OUTCOMES_AT_ONCE = 1_000
_FIELDS = frozenset({"user_id", "amount", "expires_at", "occurred_at", "reason", "source", "description"})
_DOOR = "batch-earn"
_MAYBE = "the batch may have been accepted; sending it again with the same key is safe"

Row = tuple[str, int] | Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class BatchReceipt:
    """What was accepted: the batch's id, and its commands' ids in the order of its rows. `new`: how many
    commands were not there before; 0 when the batch was sent again."""

    batch_id: str
    task_ids: tuple[str, ...]
    new: int


@dataclass(frozen=True, slots=True)
class BatchOutcome:
    """What came of a batch as a whole; `state` is pending as long as some command waits, then done."""

    batch_id: str
    tenant_id: str
    state: str
    accepted_at: datetime
    size: int
    applied: int
    refused: dict[str, int]  # by reason
    dead: int
    pending: int
    points_earned: int

    def as_json(self) -> dict[str, Any]:
        """The fields, moments in ISO 8601 UTC."""
        return asdict(self) | {"accepted_at": self.accepted_at.isoformat().replace("+00:00", "Z")}


class BatchDoor:
    """Accepts batches of earns, and tells what came of them."""

    def __init__(self, database: sa.Engine, acceptance: Acceptance, settings: Settings) -> None:
        self._database = database
        self._acceptance = acceptance
        self._settings = settings

    def accept(self, tenant_id: str, given: Sequence[Row | Any], key: str, actor: str) -> BatchReceipt:
        """Accepts the batch, unless it was accepted before. Raises InvalidCommand where not a row but the
        batch is malformed, IdempotencyKeyReused, and DatabaseAway and DatabaseFailed, which say whether the
        batch may be accepted."""
        _check(EntityId, tenant_id, "tenant_id")
        _check(EntityId, actor, "actor")
        _check(Key, key, "idempotency_key")
        if not 1 <= len(given) <= MOST_ROWS:
            raise InvalidCommand(f"rows: a batch has 1 to {MOST_ROWS} rows, not {len(given)}")
        rows = [_fields(row) for row in given]
        batch = Batch(new_id(), tenant_id, _fingerprint(rows), len(rows))
        with telling("nothing was accepted", lambda: _MAYBE) as attempt:
            for tries_left in reversed(range(_TRIES)):
                try:
                    with attempt.transacting():
                        return self._accept(batch, rows, key, actor, attempt)
                except DATABASE_ERRORS as error:
                    if not tries_left or not is_transient(error):
                        raise
                    time.sleep(random.uniform(0.005, 0.02))  # noqa: S311  (jitter)
        raise AssertionError("the last try returns or raises")

    def _accept(self, batch: Batch, rows: list[Any], key: str, actor: str, attempt: Attempt) -> BatchReceipt:
        commands, misfits = _expanded(batch, rows, actor)
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
                return _repeated(batches.first(connection, batch.tenant_id, actor, key), batch, key)
            receipt = self._write(connection, commands, misfits)
            attempt.committing()
        self._acceptance.ring(receipt)
        return BatchReceipt(show_id(batch.id), _task_ids(batch), receipt.new)

    def _write(
        self, connection: sa.Connection, commands: list[Earn], misfits: list[tuple[UUID, Any, str]]
    ) -> Receipt:
        for task_id, row, error in misfits:
            raw = json.dumps(row, default=str).encode()
            dead_letters.keep(
                connection, door=_DOOR, task_id=task_id, raw=raw, reason=INVALID_COMMAND, error=error
            )
        if not commands:
            return Receipt([], 0, frozenset())
        return self._acceptance.accept_within(commands, connection)

    def pages(self, batch_id: str) -> Iterator[list[UUID]]:
        """The commands of a batch, in the order of its rows, a thousand at a time. Raises BatchMissing."""
        ids = _command_ids(self._batch(batch_id))
        return (ids[start : start + _OUTCOMES_AT_ONCE] for start in range(0, len(ids), _OUTCOMES_AT_ONCE))

    def outcomes_of(self, page: list[UUID]) -> list[Outcome]:
        """The outcome of each."""
        with looking(self._database) as connection:
            found = outcomes.outcomes(connection, page)
        return [found[command_id] for command_id in page]

    def outcome(self, batch_id: str) -> BatchOutcome:
        """What came of the whole. Raises BatchMissing."""
        batch = self._batch(batch_id)
        assert batch.accepted_at, "what stands in the table has its moment"
        states = {"applied": 0, "refused": 0, "dead": 0, "pending": 0}
        refused: dict[str, int] = {}
        points = 0
        for outcome in (outcome for page in self.pages(batch_id) for outcome in self.outcomes_of(page)):
            states[outcome.state] += 1
            if outcome.state == "refused":
                reason = outcome.reason or ""
                refused[reason] = refused.get(reason, 0) + 1
            points += (outcome.data or {}).get("points_earned", 0)
        return BatchOutcome(
            batch_id=show_id(batch.id),
            tenant_id=batch.tenant_id,
            state="pending" if states["pending"] else "done",
            accepted_at=batch.accepted_at,
            size=batch.size,
            applied=states["applied"],
            refused=refused,
            dead=states["dead"],
            pending=states["pending"],
            points_earned=points,
        )

    def _batch(self, batch_id: str) -> Batch:
        try:
            asked = parse_id(batch_id)
        except ValueError as error:
            raise InvalidCommand(f"batch_id: {error}") from None
        with looking(self._database) as connection:
            found = batches.batch(connection, asked)
        if found is None:
            raise BatchMissing(batch_id)
        return found


def _expanded(batch: Batch, rows: list[Any], actor: str) -> tuple[list[Earn], list[tuple[UUID, Any, str]]]:
    """The rows as commands; and those that are none, each with its id and what is wrong with it."""
    commands, misfits = [], []
    for command_id, row in zip(_command_ids(batch), rows, strict=True):
        try:
            commands.append(_command(batch, command_id, row, actor))
        except InvalidCommand as error:
            misfits.append((command_id, row, str(error)))
    return commands, misfits


def _command(batch: Batch, command_id: UUID, row: Any, actor: str) -> Earn:
    if not isinstance(row, dict):
        raise InvalidCommand("row: user_id and amount, as an object or a pair")
    if unknown := sorted(str(name)[:100] for name in row.keys() - _FIELDS):
        raise InvalidCommand(f"{', '.join(unknown[:10])}: a row has {', '.join(sorted(_FIELDS))} only")
    source = {"source": f"batch {show_id(batch.id)}"}
    fields = source | row | {"id": command_id, "tenant_id": batch.tenant_id, "actor": actor}
    command = command_from(Earn.kind, fields)
    assert isinstance(command, Earn), "that is its kind"
    return command


def _fields(row: Any) -> Any:
    """A row as an object, where it is a pair; anything else is left to be refused."""
    if isinstance(row, Mapping):
        return dict(row)
    if isinstance(row, tuple) and len(row) == 2:  # noqa: PLR2004  (user and amount)
        return {"user_id": row[0], "amount": row[1]}
    return row


def _fingerprint(rows: list[Any]) -> bytes:
    """Tells whether two batches ask for the same."""
    text = json.dumps(rows, sort_keys=True, default=str)
    return blake2b(text.encode(), digest_size=16).digest()


def _repeated(known: Batch, sent: Batch, key: str) -> BatchReceipt:
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
        raise InvalidCommand(f"{name}: {explain(error)}") from None
