"""Acceptance: the one door into the journal, behind every door. What it accepts is durable.

A command is new, or it repeats one: the same id, or the same key of the same tenant, actor and kind. A
repetition with the same content answers with the first one's outcome, also under its own id; with other
content it is refused, and nothing of what came with it is accepted.
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
from pointledger.client.duplicates import first_of_each, note_repetitions, told
from pointledger.client.receipts import Receipt, Verdict, _receipt
from pointledger.domain.commands import AnyCommand
from pointledger.domain.commands.records import Line, encode
from pointledger.errors import AcceptanceBusy, IdempotencyKeyReused, LaneCountDiffers, LedgerError
from pointledger.ids import show_id
from pointledger.messaging.doorbell import Doorbells
from pointledger.settings import Settings
from pointledger.storage.database import AnyConnection, committing_each, execute
from pointledger.storage.errors import (
    DATABASE_ERRORS,
    LOCK_TIMED_OUT,
    Attempt,
    is_transient,
    sqlstate,
    telling,
)
from pointledger.storage.queue import journal

_AT_ONCE = 1000  # commands per statement: more gain nothing and hold their keys longer


_TRIES = 3  # when the connection is lost: sending again is safe, for the ids stay the same


_SET_LOCK_TIMEOUT = "SELECT set_config('lock_timeout', %(timeout)s, true)"


_SET_IDLE_TIMEOUT = "SELECT set_config('idle_in_transaction_session_timeout', %(timeout)s, true)"


_NOTHING = "nothing was accepted"


Written = TypeVar("Written")


CallersConnection = sa.Connection | orm.Session | psycopg.Connection[Any]


class Acceptance:
    """Accepts commands, in transactions of its own or in the caller's. With a `backlog` it accepts nothing
    while too much waits: each method raises BacklogFull then, and nothing has happened."""

    def __init__(
        self,
        database: sa.Engine,
        doorbells: Doorbells,
        settings: Settings,
        backlog: Backlog | None = None,
    ) -> None:
        self._database = database
        self._committing_each = committing_each(database)
        self._backlog = backlog
        self._doorbells = doorbells
        self.lanes = settings.lanes
        self._batch_size = settings.batch_size
        self._idle_timeout = {"timeout": str(settings.idle_timeout_ms)}

    def accept(self, commands: Sequence[AnyCommand]) -> Receipt:
        """Returns when all are committed, in the order given; rings their lanes.

        Raises IdempotencyKeyReused (then nothing is accepted, but for one case that the message tells:
        the other content was committed while we waited for it), AcceptanceBusy (then all others are
        accepted), and DatabaseAway and DatabaseFailed, which say whether something may be accepted. Sending
        the same commands again is always safe.
        """
        with telling(_NOTHING, lambda: _maybe(commands)) as attempt:
            self._require_room()
            lines = [encode(command, self.lanes) for command in commands]
            try:
                new = self._commit(lines, attempt)
            except DATABASE_ERRORS as error:
                if sqlstate(error) != LOCK_TIMED_OUT:
                    raise
                new = self._commit_row_by_row(lines, attempt)
        receipt = _receipt(lines, new)
        self.ring(receipt)
        return receipt

    def accept_each(self, commands: Sequence[AnyCommand]) -> list[Verdict | LedgerError]:
        """Accepts commands that have nothing to do with each other, in one transaction: what is wrong with
        one touches no other. Each one's verdict, or IdempotencyKeyReused or AcceptanceBusy.

        A repetition answers with the first one's id; its own is not kept, for nobody has been told it. Raises
        DatabaseAway and DatabaseFailed, as `accept` does.
        """
        with telling(_NOTHING, lambda: _maybe(commands)) as attempt:
            self._require_room()
            lines = [encode(command, self.lanes) for command in commands]
            try:
                verdicts = self._commit_each(lines, attempt)
            except DATABASE_ERRORS as error:
                if sqlstate(error) != LOCK_TIMED_OUT:
                    raise
                verdicts = [self._commit_one(line, attempt) for line in lines]
        self._doorbells.ring({line.lane for line in lines})
        return verdicts

    def accept_within(
        self, commands: Sequence[AnyCommand], connection: CallersConnection, ring: Ring | None = None
    ) -> Receipt:
        """Accepts in the caller's open READ COMMITTED transaction: accepted when that commits.

        With an ORM session the lanes are rung after its commit, by `ring` if given; otherwise call `ring`
        then. Raises IdempotencyKeyReused and AcceptanceBusy, after which the transaction is as it was before,
        and what the caller's connection raises.
        """
        with telling(_NOTHING):
            self._require_room()
        lines = [encode(command, self.lanes) for command in commands]
        inner = connection.connection() if isinstance(connection, orm.Session) else connection
        before = execute(inner, "SELECT current_setting('lock_timeout')").fetchone()[0]
        execute(inner, "SAVEPOINT pointledger_accept")
        try:
            new = self._write(inner, lines)
        except BaseException as error:
            with suppress(Exception):  # the caller hears of the first error
                execute(inner, "ROLLBACK TO SAVEPOINT pointledger_accept")
            if sqlstate(error) == LOCK_TIMED_OUT:
                raise AcceptanceBusy("nothing of this call is accepted", 0) from error
            raise
        execute(inner, "RELEASE SAVEPOINT pointledger_accept")
        execute(inner, _SET_LOCK_TIMEOUT, {"timeout": before})
        receipt = _receipt(lines, new)
        if isinstance(connection, orm.Session):
            ring_after_commit(connection, receipt.lanes, ring or self._doorbells.ring)
        return receipt

    def ring(self, receipt: Receipt) -> None:
        """Tells the workers; best effort, for the beat looks after what waits. Also where nothing is new:
        the answer to an earlier try may have been lost before it rang."""
        self.ring_lanes(receipt.lanes)

    def ring_lanes(self, lanes: Iterable[int]) -> None:
        """The same, of lanes."""
        self._doorbells.ring(lanes)

    def has_room(self, lanes: Collection[int]) -> bool:
        """Whether each of the lanes has less than a batch waiting. Feeders of much ask before they go on, so
        that a live command waits behind one batch at most."""
        with telling(), self._database.connect() as connection:
            return not journal.full_lanes(connection, sorted(lanes), self._batch_size)

    def _commit_each(self, lines: Sequence[Line], attempt: Attempt) -> list[Verdict | LedgerError]:
        if self._commit_alone(lines, attempt):
            return [Verdict(lines[0].id, True)]
        return self._committed(lambda connection: self._write_each(connection, lines), attempt)

    def _commit_one(self, line: Line, attempt: Attempt) -> Verdict | LedgerError:
        try:
            return self._commit_each([line], attempt)[0]
        except DATABASE_ERRORS as error:
            if sqlstate(error) != LOCK_TIMED_OUT:
                raise
            return AcceptanceBusy(show_id(line.id), 0)

    def _write_each(self, connection: sa.Connection, lines: Sequence[Line]) -> list[Verdict | LedgerError]:
        verdicts: list[Verdict | LedgerError] = [Verdict(line.id, True) for line in lines]
        if journal.accept(connection, lines, self.lanes) == len(lines):
            return verdicts
        self._require_lanes(connection)
        for position, first_id, same_content in journal.firsts(connection, lines):
            line = lines[position]
            if not same_content:
                verdicts[position] = IdempotencyKeyReused(f"id {show_id(line.id)}")
            elif first_id != line.id:
                verdicts[position] = Verdict(first_id, False)
        return verdicts

    def _commit(self, lines: Sequence[Line], attempt: Attempt) -> int:
        if self._commit_alone(lines, attempt):
            return 1
        return self._committed(lambda connection: self._write(connection, lines), attempt)

    def _commit_alone(self, lines: Sequence[Line], attempt: Attempt) -> bool:
        """A command that comes alone in one statement, which is its own transaction. False: it repeats
        another, or did not come alone, and nothing has happened."""

        def transact() -> int:
            failpoints.before("accept-commit")
            with self._committing_each.connect() as connection:
                attempt.committing()
                written = journal.accept(connection, lines, self.lanes)
            failpoints.after("accept-commit")
            return written

        return len(lines) == 1 and self._tried(transact, attempt) == 1

    def _committed(self, write: Callable[[sa.Connection], Written], attempt: Attempt) -> Written:
        def transact() -> Written:
            with self._database.begin() as connection:
                # Frozen between its statements, a process would keep others from its keys for ever.
                execute(connection, _SET_IDLE_TIMEOUT, self._idle_timeout)
                written = write(connection)
                failpoints.before("accept-commit")
                attempt.committing()
            failpoints.after("accept-commit")
            return written

        return self._tried(transact, attempt)

    @staticmethod
    def _tried(transact: Callable[[], Written], attempt: Attempt) -> Written:
        """Again, when nobody is at fault: the ids stay the same."""
        for tries_left in reversed(range(_TRIES)):
            try:
                with attempt.transacting():
                    return transact()
            except DATABASE_ERRORS as error:
                if not tries_left or not _is_lost(error):
                    raise
        raise AssertionError("the last try returns or raises")

    def _commit_row_by_row(self, lines: Sequence[Line], attempt: Attempt) -> int:
        """So that somebody's open transaction with the same key stalls only its own twin."""
        with self._database.connect() as connection:
            first_of_each(connection, lines)  # a reuse that can be seen already: nothing is accepted
        new, busy, reused = 0, [], []
        for line in lines:
            try:
                new += self._commit([line], attempt)
            except IdempotencyKeyReused:
                reused.append(told(line))  # the twin had other content
            except DATABASE_ERRORS as error:
                if sqlstate(error) != LOCK_TIMED_OUT:
                    raise
                busy.append(show_id(line.id))
        if busy or reused:
            self._doorbells.ring({line.lane for line in lines})
        if reused:
            raise IdempotencyKeyReused(f"{'; '.join(reused)}; the others are accepted")
        if busy:
            raise AcceptanceBusy(f"{', '.join(busy)}; all others are accepted", new)
        return new

    def _write(self, connection: AnyConnection, lines: Sequence[Line]) -> int:
        """Writes the commands that are new; how many. What repeats another is checked and noted."""
        new = 0
        for start in range(0, len(lines), _AT_ONCE):
            part = lines[start : start + _AT_ONCE]
            written = journal.accept(connection, part, self.lanes)
            if written < len(part):
                self._require_lanes(connection)
                note_repetitions(connection, part)
            new += written
        return new

    def _require_room(self) -> None:
        if self._backlog is not None:
            self._backlog.require_room()

    def _require_lanes(self, connection: AnyConnection) -> None:
        if (found := journal.lane_count(connection)) != self.lanes:
            raise LaneCountDiffers(f"the database has {found} lanes, this process {self.lanes}")


def _is_lost(error: BaseException) -> bool:
    """Whether it is worth to try at once again: not where somebody's lock, or the pool, made us wait."""
    has_waited = isinstance(error, sa.exc.TimeoutError) or sqlstate(error) == LOCK_TIMED_OUT
    return is_transient(error) and not has_waited


def _maybe(commands: Sequence[AnyCommand]) -> str:
    few = len(commands) == 1
    which = f"command {show_id(commands[0].id)}" if few else f"some or all of {len(commands)} commands"
    return f"{which} may be accepted; sending the same {'object' if few else 'objects'} again is safe"
