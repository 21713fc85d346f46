"""Writes commands to the journal. Every entry point uses it, and a command is durable when it returns.

A command is a duplicate if an earlier one has the same id, or the same key with the same tenant, actor and
kind. A duplicate with the same content gets the outcome of the first command, also under its own id. A
duplicate with other content is rejected, together with all commands of the same call.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import psycopg
import sqlalchemy as sa
from sqlalchemy import orm

from pointledger import failpoints
from pointledger.client.after_commit import Ring, ring_after_commit
from pointledger.client.backlog import Backlog
from pointledger.client.duplicates import describe, first_of_each, note_duplicates
from pointledger.client.receipts import AcceptResult, Receipt, live, receipt_of
from pointledger.domain.commands import AnyCommand
from pointledger.domain.commands.records import JournalRecord, encode
from pointledger.errors import (
    AcceptanceBusy,
    BacklogFull,
    IdempotencyKeyReused,
    LaneCountDiffers,
    LedgerError,
)
from pointledger.ids import show_id
from pointledger.messaging.doorbell import Doorbells
from pointledger.settings import Settings
from pointledger.storage.database import AnyConnection, autocommit_engine, execute
from pointledger.storage.errors import (
    DATABASE_ERRORS,
    LOCK_TIMED_OUT,
    Attempt,
    is_transient,
    sqlstate,
    translate_errors,
)
from pointledger.storage.queue import journal, pending

_AT_ONCE = 1000  # commands per statement: more are no faster and lock their keys longer
_ATTEMPTS = 3  # when the connection is lost: another attempt is safe, because the ids stay the same

_SET_LOCK_TIMEOUT = "SELECT set_config('lock_timeout', %(timeout)s, true)"
_SET_IDLE_TIMEOUT = "SELECT set_config('idle_in_transaction_session_timeout', %(timeout)s, true)"

_NOTHING = "nothing was accepted"

Written = TypeVar("Written")
CallersConnection = sa.Connection | orm.Session | psycopg.Connection[Any]


class Acceptance:
    """Accepts commands, in its own transactions or in the caller's.

    With a `backlog`, each method raises BacklogFull while too many commands are pending, and accepts none.
    """

    def __init__(
        self,
        database: sa.Engine,
        doorbells: Doorbells,
        settings: Settings,
        backlog: Backlog | None = None,
    ) -> None:
        self._database = database
        self._autocommit = autocommit_engine(database)
        self._backlog = backlog
        self._doorbells = doorbells
        self.lanes = settings.lanes
        self._batch_size = settings.batch_size
        self._idle_timeout = {"timeout": str(settings.idle_timeout_ms)}

    def accept(self, commands: Sequence[AnyCommand]) -> Receipt:
        """Commit all commands in the given order and ring their lanes.

        Raise IdempotencyKeyReused: no command is accepted, unless the other content was committed during the
        call; then the message says that the others are accepted. Raise AcceptanceBusy: all others are
        accepted. DatabaseAway and DatabaseFailed say whether some commands may be accepted. Sending the same
        commands again is always safe.
        """
        with translate_errors(_NOTHING, lambda: _maybe(commands)) as attempt:
            self._require_room(commands)
            records = [encode(command, self.lanes) for command in commands]
            try:
                new = self._commit(records, attempt)
            except DATABASE_ERRORS as error:
                if sqlstate(error) != LOCK_TIMED_OUT:
                    raise
                new = self._commit_one_by_one(records, attempt)
        receipt = receipt_of(records, new)
        self.ring(receipt)
        return receipt

    def accept_each(self, commands: Sequence[AnyCommand]) -> list[AcceptResult | LedgerError]:
        """Accept independent commands in one transaction: an error of one does not affect the others.

        Return each command's result, or its IdempotencyKeyReused, AcceptanceBusy or BacklogFull. A duplicate
        returns the first command's id; its own is not kept, because no caller has seen it. Raise DatabaseAway
        and DatabaseFailed, as `accept` does.
        """
        with translate_errors(_NOTHING, lambda: _maybe(commands)) as attempt:
            refused = self._without_room(commands)
            records = [encode(one, self.lanes) for one in commands if one.tenant_id not in refused]
            try:
                results = self._commit_each(records, attempt) if records else []
            except DATABASE_ERRORS as error:
                if sqlstate(error) != LOCK_TIMED_OUT:
                    raise
                results = [self._commit_one(record, attempt) for record in records]
        self._doorbells.ring({record.lane for record in records}, live=live(records))
        in_order = iter(results)
        return [refused.get(command.tenant_id) or next(in_order) for command in commands]

    def accept_within(
        self, commands: Sequence[AnyCommand], connection: CallersConnection, ring: Ring | None = None
    ) -> Receipt:
        """Accept commands in the caller's open READ COMMITTED transaction, which commits them.

        With an ORM session, the lanes are rung after its commit, by `ring` if given. Otherwise the caller
        calls `ring` then. Raise IdempotencyKeyReused and AcceptanceBusy, which leave the transaction as it
        was, and the errors of the caller's connection.
        """
        with translate_errors(_NOTHING):
            self._require_room(commands)
        records = [encode(command, self.lanes) for command in commands]
        inner = connection.connection() if isinstance(connection, orm.Session) else connection
        before = execute(inner, "SELECT current_setting('lock_timeout')").fetchone()[0]
        execute(inner, "SAVEPOINT pointledger_accept")
        try:
            new = self._write(inner, records)
        except BaseException as error:
            with suppress(Exception):  # the caller gets the first error
                execute(inner, "ROLLBACK TO SAVEPOINT pointledger_accept")
            if sqlstate(error) == LOCK_TIMED_OUT:
                raise AcceptanceBusy("no command of this call is accepted", 0) from error
            raise
        execute(inner, "RELEASE SAVEPOINT pointledger_accept")
        execute(inner, _SET_LOCK_TIMEOUT, {"timeout": before})
        receipt = receipt_of(records, new)
        if isinstance(connection, orm.Session):
            ring_after_commit(connection, receipt.lanes, ring or self._doorbells.ring)
        return receipt

    def ring(self, receipt: Receipt) -> None:
        """Ring the lanes of the receipt; best effort, because beat also rings lanes whose commands wait.

        Duplicates ring as well: an earlier call may have committed and failed before it rang.
        """
        self._doorbells.ring(receipt.lanes, live=receipt.live)

    def ring_lanes(self, lanes: Iterable[int]) -> None:
        """Ring these lanes; best effort."""
        self._doorbells.ring(lanes)

    def has_room(self, lanes: Collection[int], tenant_id: str | None = None) -> bool:
        """Return whether each lane has less than a batch pending, of all tenants or of one.

        A bulk caller checks it between calls, so a live command waits behind one batch at most.
        """
        with translate_errors(), self._database.connect() as connection:
            return not pending.full_lanes(connection, sorted(lanes), self._batch_size, tenant_id)

    def _commit_each(
        self, records: Sequence[JournalRecord], attempt: Attempt
    ) -> list[AcceptResult | LedgerError]:
        if self._commit_alone(records, attempt):
            return [AcceptResult(records[0].id, True)]
        return self._committed(lambda connection: self._write_each(connection, records), attempt)

    def _commit_one(self, record: JournalRecord, attempt: Attempt) -> AcceptResult | LedgerError:
        try:
            return self._commit_each([record], attempt)[0]
        except DATABASE_ERRORS as error:
            if sqlstate(error) != LOCK_TIMED_OUT:
                raise
            return AcceptanceBusy(show_id(record.id), 0)

    def _write_each(
        self, connection: sa.Connection, records: Sequence[JournalRecord]
    ) -> list[AcceptResult | LedgerError]:
        results: list[AcceptResult | LedgerError] = [AcceptResult(record.id, True) for record in records]
        if journal.accept(connection, records, self.lanes) == len(records):
            return results
        self._require_lanes(connection)
        for position, first_id, same_content in journal.firsts(connection, records):
            record = records[position]
            if not same_content:
                results[position] = IdempotencyKeyReused(f"id {show_id(record.id)}")
            elif first_id != record.id:
                results[position] = AcceptResult(first_id, False)
        return results

    def _commit(self, records: Sequence[JournalRecord], attempt: Attempt) -> int:
        if self._commit_alone(records, attempt):
            return 1
        return self._committed(lambda connection: self._write(connection, records), attempt)

    def _commit_alone(self, records: Sequence[JournalRecord], attempt: Attempt) -> bool:
        """Accept a single command in one statement without a transaction block.

        Return False, without a change, if there are more commands or if it is a duplicate.
        """

        def transact() -> int:
            failpoints.before("accept-commit")
            with self._autocommit.connect() as connection:
                attempt.committing()
                written = journal.accept(connection, records, self.lanes)
            failpoints.after("accept-commit")
            return written

        return len(records) == 1 and self._retried(transact, attempt) == 1

    def _committed(self, write: Callable[[sa.Connection], Written], attempt: Attempt) -> Written:
        def transact() -> Written:
            with self._database.begin() as connection:
                # A process that stalls between its statements must not keep its keys locked.
                execute(connection, _SET_IDLE_TIMEOUT, self._idle_timeout)
                written = write(connection)
                failpoints.before("accept-commit")
                attempt.committing()
            failpoints.after("accept-commit")
            return written

        return self._retried(transact, attempt)

    @staticmethod
    def _retried(transact: Callable[[], Written], attempt: Attempt) -> Written:
        """Run `transact`, and run it again if the connection is lost: the ids stay the same."""
        for attempts_left in reversed(range(_ATTEMPTS)):
            try:
                with attempt.transacting():
                    return transact()
            except DATABASE_ERRORS as error:
                if not attempts_left or not _is_lost(error):
                    raise
        raise AssertionError("the last attempt returns or raises")

    def _commit_one_by_one(self, records: Sequence[JournalRecord], attempt: Attempt) -> int:
        """Commit each command alone, so an open transaction with the same key blocks only its duplicate."""
        with self._database.connect() as connection:
            first_of_each(connection, records)  # raises for a reused key that is visible already
        new, busy, reused = 0, [], []
        for record in records:
            try:
                new += self._commit([record], attempt)
            except IdempotencyKeyReused:
                reused.append(describe(record))  # the other transaction committed other content
            except DATABASE_ERRORS as error:
                if sqlstate(error) != LOCK_TIMED_OUT:
                    raise
                busy.append(show_id(record.id))
        if busy or reused:
            self._doorbells.ring({record.lane for record in records})
        if reused:
            raise IdempotencyKeyReused(f"{'; '.join(reused)}; the others are accepted")
        if busy:
            raise AcceptanceBusy(f"{', '.join(busy)}; all others are accepted", new)
        return new

    def _write(self, connection: AnyConnection, records: Sequence[JournalRecord]) -> int:
        """Write the new commands and return how many there are. Check duplicates and note their ids."""
        new = 0
        for start in range(0, len(records), _AT_ONCE):
            part = records[start : start + _AT_ONCE]
            written = journal.accept(connection, part, self.lanes)
            if written < len(part):
                self._require_lanes(connection)
                note_duplicates(connection, part)
            new += written
        return new

    def _require_room(self, commands: Sequence[AnyCommand]) -> None:
        for error in self._without_room(commands).values():
            raise error

    def _without_room(self, commands: Sequence[AnyCommand]) -> dict[str, BacklogFull]:
        """Return the error of each tenant whose commands are not accepted now."""
        if self._backlog is None:
            return {}
        return self._backlog.refusals({command.tenant_id for command in commands})

    def _require_lanes(self, connection: AnyConnection) -> None:
        if (found := journal.lane_count(connection)) != self.lanes:
            raise LaneCountDiffers(f"the database has {found} lanes, this process {self.lanes}")


def _is_lost(error: BaseException) -> bool:
    """Return whether another attempt can succeed at once: not if a lock or the pool timed out."""
    has_waited = isinstance(error, sa.exc.TimeoutError) or sqlstate(error) == LOCK_TIMED_OUT
    return is_transient(error) and not has_waited


def _maybe(commands: Sequence[AnyCommand]) -> str:
    if len(commands) == 1:
        command_id = show_id(commands[0].id)
        return f"command {command_id} may be accepted; sending the same object again is safe"
    return f"some or all of {len(commands)} commands may be accepted; sending the same objects again is safe"
