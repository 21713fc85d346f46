"""Applies a batch in one transaction. If that fails, it isolates the failing command.

| what went wrong                       | what happens to the batch                        | failed command |
| ------------------------------------- | ------------------------------------------------ | -------------- |
| deciding raised                       | it is rebuilt without the command and its user   | that one       |
| saving failed or timed out            | it is halved, again and again                    | the last one   |
| a command timed out alone             | it waits; the failure counts if others go on     | that one       |
| another session has locked a user     | it goes on without the user (`held_users.py`)    | none           |
| deciding takes too long               | what is decided is saved, and the rest goes back | none           |
| a newer program wrote the command     | its user waits for a minute                      | none           |
| the erasure key is missing            | the users of the batch wait for a minute         | none           |
| a transient error (`is_transient`)    | the caller tries again                           | none           |
| other lanes used up a shared limit    | it is decided again with locked counters         | none           |
| a refusal waits for earlier commands  | it is decided again without it (`precedence.py`) | none           |
| the process crashed twice in the lane | the commands of the lane go one at a time        | the one alone  |

A failed command backs off, and so do the later commands of its user. After the last retry it is dead.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

import sqlalchemy as sa

from pointledger import failpoints
from pointledger.domain.commands.accepted import Accepted
from pointledger.domain.commands.outcomes import Decision
from pointledger.domain.decisions.audit import AuditRecord, decide_audited
from pointledger.domain.ledger.book import Book
from pointledger.engine import report
from pointledger.engine.batch_sizes import BatchSizes
from pointledger.engine.failures import FailureRecorder, describe
from pointledger.engine.held_users import HeldUsers
from pointledger.engine.locks import User
from pointledger.engine.precedence import LaneScope, Unsettled, sender, settle, without
from pointledger.engine.timeouts import Timeouts
from pointledger.errors import ErasureKeyMissing, TenantUnreadable
from pointledger.logs import Log
from pointledger.observability import counters
from pointledger.settings import Settings
from pointledger.storage.database import transaction
from pointledger.storage.errors import LOCK_TIMED_OUT, is_timeout, is_transient, sqlstate
from pointledger.storage.ledger import book as books
from pointledger.storage.ledger import erasures
from pointledger.storage.ledger.audit_log import save_audit_records
from pointledger.storage.ledger.program import Programs
from pointledger.storage.queue import failures, lanes, pending
from pointledger.storage.queue.precedence import Place

_MAX_CRASHES = 2  # in one lane; from then on its commands go one at a time
_CHECK_EVERY = 4  # commands: reading the clock costs a hundredth of one
_MAX_REBUILDS = 10  # each poison command costs one; then the rest waits for the next batch

_log = Log(__name__)


@dataclass(frozen=True, slots=True)
class Peeked:
    """A lane's next commands.

    Users in `crash_suspects` have a command that failed before, so their commands go one at a time. After
    `_MAX_CRASHES` crashes all do. `quarantined` was applied alone when the last process crashed.
    """

    batch: list[Accepted]
    crash_suspects: set[User]
    crashes: int
    quarantined: UUID | None
    is_all: bool  # no other command of the lane may go now
    is_noted: bool = False  # the lane's row notes that a batch begins


class _CommandFailed(Exception):
    """Deciding this command raised an exception."""

    def __init__(self, accepted: Accepted) -> None:
        super().__init__(accepted.command.id)
        self.accepted = accepted


class _LimitMoved(Exception):
    """Other lanes have used up the part of a shared limit that this batch relied on."""


class Batches:
    """Applies batches of one lane's commands, in order."""

    def __init__(
        self,
        database: sa.Engine,
        settings: Settings,
        callbacks_due: Callable[[], object] = lambda: None,
        ring: Callable[[set[int]], object] = lambda lanes: None,
    ) -> None:
        """`callbacks_due` is called when callbacks can be sent. `ring` gets the lanes that waited for a
        command that is now applied."""
        self._database = database
        self._settings = settings
        self._callbacks_due = callbacks_due
        self._ring = ring
        self.has_waiting = False  # whether a command had to wait for others since this was last reset
        self._programs = Programs()
        self._pseudonyms = settings.pseudonyms
        self.failures = FailureRecorder(database, settings)
        self._held = HeldUsers(database, settings, self.failures)
        self._timeouts = Timeouts()
        self.sizes = BatchSizes(settings.batch_size)
        self._failed_lanes: set[int] = set()  # lanes whose last attempt raised, but did not end this process
        self._is_noted = False  # whether the peek has noted the next attempt on the lane's row

    def clear_crash(self, lane: int) -> None:
        """Clear the noted attempt of the lane if it raised: this process lives, so it was no crash."""
        if lane not in self._failed_lanes:
            return
        with transaction(self._database, self._settings) as connection:
            lanes.clear_attempts(connection, lane)
        self._failed_lanes.discard(lane)

    def attempt_failed(self, lane: int) -> None:
        """Remember that an attempt raised; `clear_crash` clears it at the lane's next peek."""
        self._failed_lanes.add(lane)

    def apply(self, lane: int, peeked: Peeked) -> int:
        """Apply the commands and return how many got their outcome.

        Raise transient errors; the batch, or a part of it, is still pending then.
        """
        blocked: set[User] = set()
        # Recording a failure clears the noted attempt.
        self._is_noted = peeked.is_noted and not peeked.quarantined
        careful = peeked.crashes >= _MAX_CRASHES
        alone = [a for a in peeked.batch if careful or sender(a) in peeked.crash_suspects]
        together = [a for a in peeked.batch if not careful and sender(a) not in peeked.crash_suspects]
        if peeked.quarantined:
            error = "the process crashed while it applied this command"
            self.failures.record(lane, peeked.quarantined, error, blocked)
        done = sum(self._apply_together(lane, [accepted], blocked, alone=True) for accepted in alone)
        return done + self._apply_together(lane, together, blocked)

    def _apply_together(
        self, lane: int, batch: list[Accepted], blocked: set[User], *, alone: bool = False
    ) -> int:
        """Apply the batch in one transaction; rebuild or halve it as often as necessary.

        `alone`: note the command's id on the lane's row, so that a crash identifies it.
        """
        self._held.exclude(lane, batch, blocked)
        for _ in range(_MAX_REBUILDS):
            batch = [accepted for accepted in batch if sender(accepted) not in blocked]
            if not batch:
                return 0
            self._note_attempt(lane, batch[0].command.id if alone else None)
            try:
                return self._transact(lane, batch, blocked)
            except _CommandFailed as failure:
                self.failures.record(lane, failure.accepted.command.id, describe(failure.__cause__), blocked)
            except TenantUnreadable as error:
                affected = [accepted for accepted in batch if accepted.command.tenant_id == error.tenant_id]
                self.failures.defer_users(lane, affected, str(error), blocked)
            except ErasureKeyMissing as error:  # a user without an account may be an erased one
                self.failures.defer_users(lane, batch, str(error), blocked)
            except Exception as error:
                if sqlstate(error) == LOCK_TIMED_OUT and self._held.find(lane, batch, blocked):
                    continue
                if is_transient(error) and not is_timeout(error):
                    raise
                if len(batch) > 1:
                    middle = len(batch) // 2
                    first = self._apply_together(lane, batch[:middle], blocked)
                    return first + self._apply_together(lane, batch[middle:], blocked)
                self._failed_alone(lane, batch[0], error, blocked)
        blocked.update(sender(accepted) for accepted in batch)  # the rest waits for the next batch, in order
        return 0

    def _failed_alone(self, lane: int, accepted: Accepted, error: Exception, blocked: set[User]) -> None:
        """Count the failure, or defer a command that timed out and may not be the cause."""
        pause = self._timeouts.pause_after(accepted.command.id) if is_timeout(error) else None
        if pause is None:
            self.failures.record(lane, accepted.command.id, describe(error), blocked)
            return
        counters.TIMED_OUT.inc()
        self.failures.defer_users(lane, [accepted], describe(error), blocked, pause)

    def _note_attempt(self, lane: int, alone_id: UUID | None) -> None:
        is_noted, self._is_noted = self._is_noted, False
        if is_noted and alone_id is None:
            return
        with transaction(self._database, self._settings) as connection:
            lanes.note_attempt(connection, lane, alone_id, is_noted=is_noted)
            failpoints.before("attempt-commit")
        failpoints.after("attempt-commit")

    def _transact(self, lane: int, batch: list[Accepted], blocked: set[User]) -> int:
        """Run the transaction, and run it again when its premises do not hold.

        If other lanes have come too near to a shared limit, it locks the counters. If a refusal is not final
        yet, it leaves out the commands that must wait.
        """
        lock_counters, locked_lanes = False, {lane}
        waits: dict[User, tuple[UUID, Place]] = {}  # each sender's first waiting command, and its obstacle
        while True:
            try:
                done = self._decide_and_save(lane, batch, blocked, locked_lanes, lock_counters=lock_counters)
                break
            except _LimitMoved:
                assert not lock_counters, "locked counters do not change"
                lock_counters = True
            except Unsettled as unsettled:
                locked_lanes |= unsettled.lanes_to_lock
                batch, stopped = without(batch, unsettled.waits)
                waits |= stopped
        if waits:
            self.failures.make_wait(lane, dict(waits.values()))
            self.has_waiting = True
        blocked.update(waits)
        return done

    def _decide_and_save(
        self,
        lane: int,
        batch: list[Accepted],
        blocked: set[User],
        locked_lanes: set[int],
        *,
        lock_counters: bool,
    ) -> int:
        """Lock the lanes, claim, load, decide, save, count, end."""
        began = time.monotonic()
        with transaction(self._database, self._settings) as connection:
            batch, some_failed = _claim(connection, lane, batch, blocked, locked_lanes)
            failpoints.before("load")
            book = books.load(connection, batch, self._programs, lock_counters=lock_counters)
            failpoints.after("load")
            erasures.load_erased(connection, book, batch, self._pseudonyms)
            decisions, audit_records = _decided(book, batch, self.sizes.decide_seconds)
            self.sizes.note_decided(lane, len(batch), len(decisions))
            batch = batch[: len(decisions)]
            if not lock_counters and not books.confirm_counters(connection, book):
                raise _LimitMoved
            scope = LaneScope(lane, locked_lanes, self._settings.lanes)
            decisions = settle(connection, scope, decisions, some_have_waited=some_failed)
            books.save(connection, book)
            if not books.count(connection, book):
                raise _LimitMoved
            books.save_outcomes(connection, book, decisions)
            erasures.save_erased(connection, book, batch)
            save_audit_records(connection, audit_records)
            ended = pending.done(connection, lane, [accepted.seq for accepted in batch])
            if some_failed:
                failures.clear(connection, [accepted.command.id for accepted in batch])
            failpoints.before("batch-commit")
        failpoints.after("batch-commit")
        if ended.callbacks_due:
            self._callbacks_due()
        if ended.lanes:
            self._ring(ended.lanes)
        self._timeouts.note_applied(accepted.command.id for accepted in batch)
        report.rule_errors(lane, book)
        report.count(decisions, time.monotonic() - began)
        return len(batch)


def _claim(
    connection: sa.Connection, lane: int, batch: list[Accepted], blocked: set[User], locked_lanes: set[int]
) -> tuple[list[Accepted], bool]:
    """Lock the lanes; return the commands that may go now, and whether some of the lane have failed before.

    A command that cannot be claimed blocks its user. It may be claimable in the next transaction, and no
    later command of the user may overtake it.
    """
    failpoints.before("lock-lanes")
    lanes.lock_lanes(connection, *locked_lanes)
    failpoints.after("lock-lanes")
    claimed = pending.claim(connection, lane, [accepted.seq for accepted in batch])
    blocked.update(sender(accepted) for accepted in batch if accepted.seq not in claimed.seqs)
    return [accepted for accepted in batch if accepted.seq in claimed.seqs], claimed.failed


def _decided(
    book: Book, batch: list[Accepted], cpu_seconds: float
) -> tuple[list[tuple[Accepted, Decision]], list[AuditRecord]]:
    """Decide commands one after the other until the time is up; return also their audit records.

    Raise _CommandFailed.
    """
    decisions: list[tuple[Accepted, Decision]] = []
    audit_records: list[AuditRecord] = []
    ends_at = time.thread_time() + cpu_seconds
    for accepted in batch:
        if len(decisions) % _CHECK_EVERY == 1 and time.thread_time() > ends_at:
            break
        try:
            failpoints.before("decide")
            decisions.append((accepted, decide_audited(book, accepted, audit_records)))
            failpoints.after("decide")
        except Exception as error:
            raise _CommandFailed(accepted) from error
    return decisions, audit_records
