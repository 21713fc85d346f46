"""Accepts independent commands in one statement: what is wrong with one does not affect the others.

| step                                              | commands            | their result               |
| ------------------------------------------------- | ------------------- | -------------------------- |
| write all that are new, in one statement          | new                 | accepted                   |
| find the commands that hold the ids and keys      | with equal content  | the id of the first one    |
| of the rest                                       | with other content  | IdempotencyKeyReused       |
| if the first statement fails, though Postgres is  | all                 | `Alone`: each is accepted  |
| available: one command has spoiled it             |                     | by itself                  |
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import sqlalchemy as sa

from pointledger import failpoints
from pointledger.client.attempts import NOTHING, maybe_accepted, retried
from pointledger.client.duplicates import describe, known, note_aliases
from pointledger.client.receipts import AcceptResult
from pointledger.domain.commands.records import JournalRecord
from pointledger.errors import AcceptanceBusy, IdempotencyKeyReused, LedgerError
from pointledger.ids import show_id
from pointledger.storage.database import autocommit_engine
from pointledger.storage.errors import (
    DATABASE_ERRORS,
    LOCK_TIMED_OUT,
    RAW_ERRORS,
    Attempt,
    failure_of,
    may_pass,
    sqlstate,
    translate_errors,
)
from pointledger.storage.queue import journal
from pointledger.storage.revision import lanes_differ

# A group waits no longer for an open transaction with one of its keys, because all of it waits. Concurrent
# calls with the same key commit within milliseconds.
_GROUP_LOCK_MS = 50


@dataclass(frozen=True, slots=True)
class Alone:
    """The command must be accepted by itself, because its group failed or did not take it in time."""

    maybe_done: bool = False
    """Whether the group may have accepted it."""


GroupResult = AcceptResult | LedgerError | Alone


class GroupAcceptor:
    """Accepts groups, each in a transaction of its own."""

    def __init__(self, database: sa.Engine, lanes: int) -> None:
        self._database = autocommit_engine(database)
        self._lanes = lanes

    def accept(self, records: Sequence[JournalRecord], *, callers_ids: bool) -> list[GroupResult]:
        """Return each command's result, or the error that it would have got alone, or `Alone`.

        `callers_ids`: callers know the ids of their commands, so the id of a repetition will also find the
        outcome. Otherwise a known id means that an earlier attempt of this call was committed.
        """
        if not records:
            return []
        positions: dict[UUID, int] = {}
        for position, record in enumerate(records):
            positions.setdefault(record.id, position)  # the same object again is a repetition
        attempt = Attempt()
        try:
            once = [records[position] for position in positions.values()]
            new = retried(lambda: self._write(once, attempt, _GROUP_LOCK_MS), attempt)
        except RAW_ERRORS as error:
            if sqlstate(error) == LOCK_TIMED_OUT or not may_pass(error):
                return [Alone(attempt.maybe_done)] * len(records)
            return [_failure(error, record, maybe_done=attempt.maybe_done) for record in records]
        accepted = {positions[command_id] for command_id in new}
        rest = [record for position, record in enumerate(records) if position not in accepted]
        found = iter(self._rest(rest, callers_ids=callers_ids))
        return [
            AcceptResult(record.id, True) if position in accepted else next(found)
            for position, record in enumerate(records)
        ]

    def accept_alone(self, record: JournalRecord, group: Alone, *, callers_id: bool) -> AcceptResult:
        """Accept a command by itself. Raise IdempotencyKeyReused, AcceptanceBusy, LaneCountDiffers,
        InvalidCommand, DatabaseAway and DatabaseFailed."""
        with translate_errors(NOTHING, lambda: maybe_accepted([record.id])) as attempt:
            attempt.maybe_done = group.maybe_done
            try:
                new = retried(lambda: self._write([record], attempt, journal.LOCK_MS), attempt)
            except DATABASE_ERRORS as error:
                if sqlstate(error) != LOCK_TIMED_OUT:
                    raise
                raise AcceptanceBusy(show_id(record.id)) from error
            if new:
                return AcceptResult(record.id, True)
            [result] = self._repeated([record], callers_ids=callers_id)
        if isinstance(result, LedgerError):
            raise result
        return result

    def _write(self, records: Sequence[JournalRecord], attempt: Attempt, lock_ms: int) -> set[UUID]:
        """Accept the new commands in one statement without a transaction block. Return their ids."""
        failpoints.before("accept-commit")
        with self._database.connect() as connection:
            attempt.committing()
            new = journal.accept_each(connection, records, self._lanes, lock_ms)
        failpoints.after("accept-commit")
        return new

    def _rest(self, records: Sequence[JournalRecord], *, callers_ids: bool) -> list[GroupResult]:
        try:
            return [*self._repeated(records, callers_ids=callers_ids)]
        except RAW_ERRORS:
            return [Alone()] * len(records)  # none of these was new, so the group has accepted none

    def _repeated(
        self, records: Sequence[JournalRecord], *, callers_ids: bool
    ) -> list[AcceptResult | LedgerError]:
        """Return the first command of each record that was not new, or the record's error."""
        if not records:
            return []
        with self._database.connect() as connection:
            firsts = known(connection, records)
            if len(firsts) < len(records):
                differs = lanes_differ(connection, self._lanes)
                assert differs, "with as many lanes a command is accepted, or its id or key is known"
                return [differs] * len(records)
            if callers_ids:
                note_aliases(connection, records, firsts)
        return [
            _repetition(record, firsts[position], callers_ids=callers_ids)
            for position, record in enumerate(records)
        ]


def _repetition(
    record: JournalRecord, first_id: UUID | None, *, callers_ids: bool
) -> AcceptResult | LedgerError:
    if first_id is None:
        return IdempotencyKeyReused(describe(record))
    return AcceptResult(first_id, is_new=first_id == record.id and not callers_ids)


def _failure(error: BaseException, record: JournalRecord, *, maybe_done: bool) -> LedgerError:
    """Return what this command's caller gets if Postgres is unavailable."""
    effect = maybe_accepted([record.id]) if maybe_done else NOTHING
    failure = failure_of(error, effect, maybe_done=maybe_done)
    failure.__cause__ = error
    return failure
