"""Writes commands to the journal. Every entry point uses it, and a command is durable when it returns.

A command is a duplicate if an earlier one has the same id, or the same key with the same tenant, actor and
kind. A duplicate with the same content gets the outcome of the first command, also under its own id. A
duplicate with other content is rejected, together with all commands of the same call.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, Union

import psycopg
import sqlalchemy as sa

from pointledger import failpoints
from pointledger.client.after_commit import Ring, is_session, ring_after_commit, unscoped
from pointledger.client.attempts import NOTHING, computed, maybe_accepted, retried
from pointledger.client.backlog import Backlog
from pointledger.client.duplicates import describe, first_of_each, note_duplicates
from pointledger.client.encoding import encode
from pointledger.client.gatherer import Gatherer
from pointledger.client.group_acceptor import Alone, GroupAcceptor, GroupResult
from pointledger.client.latch import Latch
from pointledger.client.receipts import AcceptResult, Receipt, receipt_of
from pointledger.client.traced import accepting
from pointledger.domain.commands import AnyCommand
from pointledger.domain.commands.records import JournalRecord
from pointledger.errors import (
    AcceptanceBusy,
    BacklogFull,
    IdempotencyKeyReused,
    InvalidCommand,
    LedgerError,
)
from pointledger.ids import show_id
from pointledger.messaging.doorbell import Doorbells
from pointledger.settings import Settings
from pointledger.storage.database import AnyConnection, execute
from pointledger.storage.errors import (
    DATABASE_ERRORS,
    LOCK_TIMED_OUT,
    Attempt,
    sqlstate,
    translate_errors,
)
from pointledger.storage.queue import journal, pending
from pointledger.storage.revision import lanes_differ

if TYPE_CHECKING:
    from sqlalchemy import orm

_AT_ONCE = 1000  # commands per statement: more are no faster and lock their keys longer

_SET_LOCK_TIMEOUT = "SELECT set_config('lock_timeout', %(timeout)s, true)"
_SET_IDLE_TIMEOUT = "SELECT set_config('idle_in_transaction_session_timeout', %(timeout)s, true)"

Written = TypeVar("Written")
# Not with `|`, which cannot join the name of a class that is not imported; see `is_session`.
_OneConnection = Union[sa.Connection, "orm.Session", psycopg.Connection[Any]]
CallersConnection = Union[_OneConnection, "orm.scoped_session[Any]"]


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
        latch: type[Latch] = Latch,
    ) -> None:
        self._database = database
        self._backlog = backlog
        self._doorbells = doorbells
        self.lanes = settings.lanes
        self._batch_size = settings.batch_size
        self._idle_timeout = {"timeout": str(settings.idle_timeout_ms)}
        self._groups = GroupAcceptor(database, settings.lanes)
        self._gatherer = Gatherer(partial(self._groups.accept, callers_ids=True), self._ring_each, latch)

    def accept(self, commands: Sequence[AnyCommand]) -> Receipt:
        """Commit all commands in the given order and ring their lanes.

        A single command shares its statement with those of other threads, but neither result nor error.
        Raise IdempotencyKeyReused: no command is accepted, unless the other content was committed during the
        call; then the message says that the others are accepted. Raise AcceptanceBusy: all others are
        accepted. DatabaseAway and DatabaseFailed say whether some commands may be accepted. Sending the same
        commands again is always safe.
        """
        with accepting(commands) as traced:
            return self._accept_single(traced[0]) if len(traced) == 1 else self._accept_many(traced)

    def _accept_many(self, commands: Sequence[AnyCommand]) -> Receipt:
        with translate_errors(NOTHING, lambda: maybe_accepted([one.id for one in commands])) as attempt:
            self._require_room(commands)
            records = self._encoded_all(commands)
            try:
                new = self._commit(records, attempt)
            except DATABASE_ERRORS as error:
                if sqlstate(error) != LOCK_TIMED_OUT:
                    raise
                new = self._commit_one_by_one(records, attempt)
        receipt = receipt_of(records, new)
        self.ring(receipt)
        return receipt

    def _accept_single(self, command: AnyCommand) -> Receipt:
        with translate_errors(NOTHING):
            self._require_room([command])
            record = encode(command, self.lanes)
        result = self._gatherer.accept(record)
        if isinstance(result, Alone):
            result = self._groups.accept_alone(record, result, callers_id=True)
            self._ring_each([record])
        if isinstance(result, LedgerError):
            raise result
        return receipt_of([record], int(result.is_new))

    def accept_each(self, commands: Sequence[AnyCommand]) -> list[GroupResult]:
        """Accept independent commands in one statement: an error of one does not affect the others.

        Return each command's result, or the error that it would have got alone, or `Alone`: then call
        `accept_alone`. A duplicate returns the first command's id; its own is not kept, because no caller has
        seen it.
        """
        with translate_errors(NOTHING):
            refused = self._without_room(commands)
        encoded = [refused.get(command.tenant_id) or self._encoded(command) for command in commands]
        records = [one for one in encoded if isinstance(one, JournalRecord)]
        results = self._groups.accept(records, callers_ids=False)
        self._ring_each(
            [record for record, one in zip(records, results, strict=True) if isinstance(one, AcceptResult)]
        )
        in_order = iter(results)
        return [next(in_order) if isinstance(one, JournalRecord) else one for one in encoded]

    def _encoded_all(self, commands: Sequence[AnyCommand]) -> list[JournalRecord]:
        def encode_all() -> list[JournalRecord]:
            return [encode(command, self.lanes) for command in commands]

        return computed(self._database, encode_all, len(commands))

    def _encoded(self, command: AnyCommand) -> JournalRecord | InvalidCommand:
        try:
            return encode(command, self.lanes)
        except InvalidCommand as error:
            return error

    def accept_alone(self, command: AnyCommand, group: Alone) -> AcceptResult:
        """Accept a command for which `accept_each` returned `Alone`. Raise what `accept` raises."""
        record = encode(command, self.lanes)
        result = self._groups.accept_alone(record, group, callers_id=False)
        self._ring_each([record])
        return result

    def accept_within(
        self, commands: Sequence[AnyCommand], connection: CallersConnection, ring: Ring | None = None
    ) -> Receipt:
        """Accept commands in the caller's open READ COMMITTED transaction, which commits them.

        With an ORM session, the lanes are rung after its commit, by `ring` if given. Otherwise the caller
        calls `ring` then. Raise IdempotencyKeyReused and AcceptanceBusy, which leave the transaction as it
        was, and the errors of the caller's connection.
        """
        with accepting(commands) as traced:
            return self._accept_within(traced, unscoped(connection), ring)

    def _accept_within(
        self, commands: Sequence[AnyCommand], connection: _OneConnection, ring: Ring | None
    ) -> Receipt:
        with translate_errors(NOTHING):
            self._require_room(commands)
        records = self._encoded_all(commands)
        inner = connection.connection() if is_session(connection) else connection
        if isinstance(inner, sa.Connection) and inner.dialect.driver != "psycopg":
            raise TypeError(f"connection: its driver must be psycopg, not {inner.dialect.driver}")
        before = execute(inner, "SELECT current_setting('lock_timeout')").fetchone()[0]
        execute(inner, "SAVEPOINT pointledger_accept")
        try:
            new = self._write(inner, records)
            execute(inner, "RELEASE SAVEPOINT pointledger_accept")
            execute(inner, _SET_LOCK_TIMEOUT, {"timeout": before})
        except BaseException as error:
            # The caller gets the first error. If this fails, because a canceled RELEASE has worked, the
            # transaction cannot be committed.
            with suppress(Exception):
                execute(inner, "ROLLBACK TO SAVEPOINT pointledger_accept")
            if sqlstate(error) == LOCK_TIMED_OUT:
                raise AcceptanceBusy("no command of this call is accepted", 0) from error
            raise
        receipt = receipt_of(records, new)
        if is_session(connection):
            ring_after_commit(connection, receipt.lanes, ring or self._doorbells.ring)
        return receipt

    def ring(self, receipt: Receipt) -> None:
        """Ring the lanes of the receipt; best effort, because beat also rings lanes whose commands wait.

        Duplicates ring as well: an earlier call may have committed and failed before it rang.
        """
        self._doorbells.ring(receipt.lanes, live=receipt.live)

    def _ring_each(self, records: Sequence[JournalRecord]) -> None:
        """Ring the lanes of commands that came one by one, so that none belongs to a bulk."""
        live = {(record.lane, record.tenant_id) for record in records}
        self._doorbells.ring({record.lane for record in records}, live=live)

    def ring_lanes(self, lanes: Iterable[int]) -> None:
        """Ring these lanes; best effort."""
        self._doorbells.ring(lanes)

    def has_room(self, lanes: Collection[int], tenant_id: str | None = None) -> bool:
        """Return whether each lane has less than a batch pending, of all tenants or of one.

        A bulk caller checks it between calls, so a live command waits behind one batch at most.
        """
        with translate_errors(), self._database.connect() as connection:
            return not pending.full_lanes(connection, sorted(lanes), self._batch_size, tenant_id)

    def _commit(self, records: Sequence[JournalRecord], attempt: Attempt) -> int:
        return self._committed(lambda connection: self._write(connection, records), attempt)

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

        return retried(transact, attempt)

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
        if differs := lanes_differ(connection, self.lanes):
            raise differs
