"""Applies a batch in one transaction. If that fails, it isolates the failing command.

| what went wrong                       | what happens to the batch                        | failed command |
| ------------------------------------- | ------------------------------------------------ | -------------- |
| deciding raised                       | it is rebuilt without the command and its user   | that one       |
| saving failed or timed out            | it is halved, again and again                    | the last one   |
| a command timed out alone             | it waits; the failure counts if others go on     | that one       |
| another session has locked a user     | it goes on without the user (`held_users.py`)    | none           |
| deciding takes too long, or a command | what is decided is saved, and the rest goes back | none           |
| in a hurry waits in one of the lanes  |                                                  |                |
| a newer program wrote the command     | its user waits for a minute                      | none           |
| the erasure key is missing            | users without an account wait for a minute       | none           |
| a transient error (`is_transient`)    | the caller tries again                           | none           |
| other lanes used up a shared limit    | it is decided again with locked counters         | none           |
| a refusal waits for earlier commands  | it is decided again without it (`precedence.py`) | none           |
| the process crashed twice in the lane | the commands of the lane go one at a time        | the one alone  |

A failed command backs off, and so do the later commands of its user. After the last retry it is dead.
"""

import time
from collections.abc import Callable, Collection
from functools import partial
from uuid import UUID

import sqlalchemy as sa

from pointledger import failpoints
from pointledger.domain.commands.accepted import Accepted, users_of
from pointledger.domain.commands.outcomes import Decision
from pointledger.domain.ledger.book import Book
from pointledger.engine import report
from pointledger.engine.batch_sizes import BatchSizes
from pointledger.engine.decide_time import DecideTime
from pointledger.engine.failures import FailureRecorder, describe
from pointledger.engine.held_users import HeldUsers
from pointledger.engine.locks import User
from pointledger.engine.peeked import Lanes, Peeked, lanes_of, per_lane, sender
from pointledger.engine.phases import CommandFailed, LimitMoved, decide, lock, save
from pointledger.engine.precedence import LaneScope, Unsettled, settle, without
from pointledger.engine.timeouts import Timeouts
from pointledger.errors import ErasureKeyMissing, TenantUnreadable
from pointledger.logs import Log
from pointledger.observability import counters
from pointledger.settings import Settings
from pointledger.storage.database import transaction
from pointledger.storage.errors import LOCK_TIMED_OUT, is_timeout, is_transient, sqlstate
from pointledger.storage.ledger import book as books
from pointledger.storage.ledger import erasures
from pointledger.storage.ledger.program import Programs
from pointledger.storage.queue import lanes, pending
from pointledger.storage.queue.precedence import Place

_MAX_REBUILDS = 10  # each poison command costs one; then the rest waits for the next batch

_log = Log(__name__)


class Batches:
    """Applies batches of the lanes' commands, in order."""

    def __init__(
        self,
        database: sa.Engine,
        settings: Settings,
        callbacks_due: Callable[[], object] = lambda: None,
        ring: Callable[[set[int]], object] = lambda lanes: None,
        is_awaited: Callable[[set[int]], bool] = lambda lanes: False,
    ) -> None:
        """`callbacks_due` is called when callbacks can be sent. `ring` gets the lanes that waited for a
        command that is now applied. `is_awaited`: whether a command in a hurry waits in one of the lanes."""
        self._database = database
        self._settings = settings
        self._callbacks_due = callbacks_due
        self._ring = ring
        self._is_awaited = is_awaited
        self.waiting: set[int] = set()  # lanes in which a command had to wait since this was last cleared
        self._programs = Programs()
        self._pseudonyms = settings.pseudonyms
        self.failures = FailureRecorder(database, settings)
        self._held = HeldUsers(database, settings, self.failures)
        self._timeouts = Timeouts()
        self.sizes = BatchSizes(settings.batch_size)
        self._failed_lanes: set[int] = set()  # lanes whose last attempt raised, but did not end this process
        self._noted: set[int] = set()  # lanes whose rows note the next attempt since the peek

    def clear_crashes(self, of: Collection[int]) -> None:
        """Clear the noted attempts of lanes that raised: this process lives, so they were no crashes."""
        failed = self._failed_lanes.intersection(of)
        if not failed:
            return
        with transaction(self._database, self._settings) as connection:
            lanes.clear_attempts(connection, list(failed))
        self._failed_lanes -= failed

    def attempt_failed(self, of: Collection[int]) -> None:
        """Remember that an attempt raised; `clear_crashes` clears it at the lanes' next peek."""
        self._failed_lanes.update(of)

    def apply(self, peeked: Peeked) -> int:
        """Apply the commands and return how many got their outcome.

        Raise transient errors; the batch, or a part of it, is still pending then.
        """
        blocked: set[User] = set()
        # Recording a failure clears the noted attempt.
        self._noted = peeked.noted - peeked.quarantined.keys()
        for lane, command_id in peeked.quarantined.items():
            error = "the process crashed while it applied this command"
            self.failures.record(lane, command_id, error, blocked)
        alone: list[Accepted] = []
        together: list[Accepted] = []
        for accepted in peeked.batch:
            user = sender(accepted)
            is_alone = user in peeked.crash_suspects or peeked.lanes[user] in peeked.careful
            (alone if is_alone else together).append(accepted)
        done = sum(self._apply_together(peeked.lanes, [one], blocked, alone=True) for one in alone)
        done += self._apply_together(peeked.lanes, together, blocked)
        self._forget_noted()
        return done

    def _forget_noted(self) -> None:
        """Take back the noted attempts of lanes that were not tried, as others hold their users."""
        if self._noted:
            with transaction(self._database, self._settings) as connection:
                lanes.forget_attempt(connection, list(self._noted))
            self._noted = set()

    def _apply_together(
        self, of: Lanes, batch: list[Accepted], blocked: set[User], *, alone: bool = False
    ) -> int:
        """Apply the batch in one transaction; rebuild or halve it as often as necessary.

        `alone`: note the command's id on its lane's row, so that a crash identifies it.
        """
        self._held.exclude(of, batch, blocked)
        for _ in range(_MAX_REBUILDS):
            batch = [accepted for accepted in batch if sender(accepted) not in blocked]
            if not batch:
                return 0
            self._note_attempt(lanes_of(of, batch), batch[0].command.id if alone else None)
            try:
                return self._transact(of, batch, blocked)
            except CommandFailed as failure:
                failed = failure.accepted
                self.failures.record(
                    of[sender(failed)], failed.command.id, describe(failure.__cause__), blocked
                )
            except TenantUnreadable as error:
                affected = [accepted for accepted in batch if accepted.command.tenant_id == error.tenant_id]
                self.failures.defer_users(of, affected, str(error), blocked)
            except ErasureKeyMissing as error:
                affected = [accepted for accepted in batch if users_of([accepted]) & error.users]
                self.failures.defer_users(of, affected, str(error), blocked)
            except Exception as error:
                if sqlstate(error) == LOCK_TIMED_OUT and self._held.find(of, batch, blocked):
                    continue
                if is_transient(error) and not is_timeout(error):
                    raise
                if len(batch) > 1:
                    middle = len(batch) // 2
                    first = self._apply_together(of, batch[:middle], blocked)
                    return first + self._apply_together(of, batch[middle:], blocked)
                self._failed_alone(of, batch[0], error, blocked)
        blocked.update(sender(accepted) for accepted in batch)  # the rest waits for the next batch, in order
        return 0

    def _failed_alone(self, of: Lanes, accepted: Accepted, error: Exception, blocked: set[User]) -> None:
        """Count the failure, or defer a command that timed out and may not be the cause."""
        pause = self._timeouts.pause_after(accepted.command.id) if is_timeout(error) else None
        if pause is None:
            self.failures.record(of[sender(accepted)], accepted.command.id, describe(error), blocked)
            return
        counters.TIMED_OUT.inc()
        self.failures.defer_users(of, [accepted], describe(error), blocked, pause)

    def _note_attempt(self, of: set[int], alone_id: UUID | None) -> None:
        is_noted = of <= self._noted
        missing = of if alone_id else of - self._noted
        self._noted -= of
        if not missing:
            return
        with transaction(self._database, self._settings) as connection:
            lanes.note_attempt(connection, list(missing), alone_id, is_noted=is_noted)
            failpoints.before("attempt-commit")
        failpoints.after("attempt-commit")

    def _transact(self, of: Lanes, batch: list[Accepted], blocked: set[User]) -> int:
        """Run the transaction, and run it again when its premises do not hold.

        If other lanes have come too near to a shared limit, it locks the counters. If a refusal is not final
        yet, it leaves out the commands that must wait.
        """
        lock_counters, own_lanes = False, lanes_of(of, batch)
        locked_lanes = own_lanes.copy()
        waits: dict[User, tuple[UUID, Place]] = {}  # each sender's first waiting command, and its obstacle
        while True:
            try:
                done = self._decide_and_save(
                    of, batch, blocked, own_lanes, locked_lanes, lock_counters=lock_counters
                )
                break
            except LimitMoved:
                assert not lock_counters, "locked counters do not change"
                lock_counters = True
            except Unsettled as unsettled:
                locked_lanes |= unsettled.lanes_to_lock
                batch, stopped = without(batch, unsettled.waits)
                waits |= stopped
        if waits:
            self.failures.make_wait(of, waits)
            self.waiting |= {of[user] for user in waits}
        blocked.update(waits)
        return done

    def _decide_and_save(
        self,
        of: Lanes,
        batch: list[Accepted],
        blocked: set[User],
        own_lanes: set[int],
        locked_lanes: set[int],
        *,
        lock_counters: bool,
    ) -> int:
        """Lock the lanes, claim, load, decide, save, count, end.

        `own_lanes`: those of the whole batch, also of commands that must wait.
        """
        began = time.monotonic()
        with transaction(self._database, self._settings) as connection:
            claimed, locked = lock(connection, of, batch, locked_lanes)
            # A command that cannot be claimed blocks its user. It may be claimable in the next transaction,
            # and no later command of the user may overtake it.
            blocked.update(sender(accepted) for accepted in batch if accepted.seq not in claimed.seqs)
            batch = [accepted for accepted in batch if accepted.seq in claimed.seqs]
            failpoints.before("load")
            book = books.load(connection, batch, locked, self._programs, lock_counters=lock_counters)
            failpoints.after("load")
            erasures.load_erased(connection, book, batch, self._pseudonyms)
            is_awaited = partial(self._is_awaited, own_lanes) if self.sizes.is_shared else None
            decide_time = DecideTime(self.sizes.decide_seconds, is_awaited)
            decisions, audit_records = decide(book, batch, decide_time)
            if decide_time.is_up or (self.sizes.is_adapting and len(decisions) == len(batch)):
                self.sizes.note_decided(per_lane(of, batch), per_lane(of, batch[: len(decisions)]))
            if not lock_counters and not books.confirm_counters(connection, book):
                raise LimitMoved
            scope = LaneScope(locked_lanes, self._settings.lanes)
            decisions = settle(connection, scope, decisions, some_have_waited=claimed.failed)
            ended = save(
                connection, of, book, decisions, audit_records, lanes=own_lanes, some_failed=claimed.failed
            )
            failpoints.before("batch-commit")
        failpoints.after("batch-commit")
        self._end(ended, book, decisions, time.monotonic() - began)
        return len(decisions)

    def _end(
        self,
        ended: pending.Finished,
        book: Book,
        decisions: list[tuple[Accepted, Decision]],
        seconds: float,
    ) -> None:
        """Wake those who waited for the batch, and report it."""
        if ended.callbacks_due:
            self._callbacks_due()
        if ended.lanes:
            self._ring(ended.lanes)
        self._timeouts.note_applied([accepted.command.id for accepted, _ in decisions])
        report.rule_errors(book)
        report.count(decisions, book.recorded_at, seconds)
