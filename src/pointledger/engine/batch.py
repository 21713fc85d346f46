"""A batch: applied in one transaction, or taken apart until whoever spoils it stands alone.

| what went wrong                 | what happens                                       | charged       |
| ------------------------------- | -------------------------------------------------- | ------------- |
| deciding raised                 | it is built again without that command and user    | that command  |
| saving failed                   | it is halved, and halved again                     | who is left   |
| a newer program wrote it        | its user waits a minute                            | nobody        |
| the erasure key is missing      | the batch's users wait a minute                    | nobody        |
| nobody's fault (`is_transient`) | the caller tries again                             | nobody        |
| others used up a shared limit   | it is decided again, with the counters locked      | nobody        |
| a refusal waits for others      | it is decided again without it (`precedence.py`)   | nobody        |
| the process died over it, twice | the lane's commands go one at a time               | who was alone |

A command that was charged waits, and with it its user only; after the last wait it is dead.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

import sqlalchemy as sa

from pointledger import failpoints
from pointledger.domain.commands.accepted import Accepted
from pointledger.domain.commands.outcomes import Decision
from pointledger.domain.decisions.audit import Act, decide_on_record
from pointledger.domain.ledger.book import Book
from pointledger.engine import report
from pointledger.engine.locks import User
from pointledger.engine.precedence import LONGEST_SECONDS, Lanes, Unsettled, sender, settle, without
from pointledger.errors import ErasureKeyMissing, TenantUnreadable
from pointledger.logs import Log
from pointledger.observability import counters
from pointledger.settings import Settings
from pointledger.storage.database import transaction
from pointledger.storage.errors import is_transient
from pointledger.storage.ledger import book as books
from pointledger.storage.ledger import erasures, program
from pointledger.storage.ledger.audit_log import save_acts
from pointledger.storage.ledger.program import Programmes
from pointledger.storage.queue import failures, journal, lanes, precedence
from pointledger.storage.queue.precedence import Place

_DEATHS = 2  # of processes over one lane; after these its commands go one at a time
_UNKNOWN_WAITS_SECONDS = 60.0  # for a worker that can read it: a rolling upgrade takes minutes
_CULPRITS = 10  # that one batch may lose before the rest waits for the next: each costs a rebuild

_log = Log(__name__)


@dataclass(frozen=True, slots=True)
class Peeked:
    """What waits in a lane. `suspects` are users with a command that has failed before: theirs go one at a
    time, and so do all when processes have died over the lane; `blamed` was alone when the last one did."""

    batch: list[Accepted]
    suspects: set[User]
    deaths: int
    blamed: UUID | None
    is_all: bool  # nothing else waits that may go
    is_noted: bool = False  # the lane's row says that a batch begins


class _CommandFailed(Exception):
    """Deciding about this command raised."""

    def __init__(self, accepted: Accepted) -> None:
        super().__init__(accepted.command.id)
        self.accepted = accepted


class _LimitMoved(Exception):
    """Others have used up of a shared limit what this batch had counted on."""


class Batches:
    """Applies batches of one lane's commands, in order, and charges those that cannot be applied."""

    def __init__(
        self,
        database: sa.Engine,
        settings: Settings,
        callbacks_due: Callable[[], object] = lambda: None,
        ring: Callable[[set[int]], object] = lambda lanes: None,
    ) -> None:
        """`callbacks_due` is called when callbacks can be sent, `ring` with lanes that have waited for what
        is applied now."""
        self._database = database
        self._settings = settings
        self._callbacks_due = callbacks_due
        self._ring = ring
        self.lets_wait = False  # whether a command has had to wait for others since this was last set
        self._programmes = Programmes()
        self._pseudonyms = settings.pseudonyms
        self._survived: set[int] = set()  # lanes whose try ended badly, but not with this process
        self._is_noted = False  # by the peek: the next try of this batch is on the lane's row

    def survive(self, lane: int) -> None:
        """What this process could not finish is no death: says so on the lane's row, where there is cause."""
        if lane not in self._survived:
            return
        with transaction(self._database, self._settings) as connection:
            lanes.end_try(connection, lane)
        self._survived.discard(lane)

    def has_survived(self, lane: int) -> None:
        """This process lives: what it could not finish is no death. It says so when it is here again."""
        self._survived.add(lane)

    def apply(self, lane: int, peeked: Peeked) -> int:
        """How many got their outcome. Raises what is nobody's fault; the batch, or a part of it, still
        waits then."""
        held: set[User] = set()
        self._is_noted = peeked.is_noted and not peeked.blamed  # charging ends the try
        careful = peeked.deaths >= _DEATHS
        alone = [a for a in peeked.batch if careful or sender(a) in peeked.suspects]
        together = [a for a in peeked.batch if not careful and sender(a) not in peeked.suspects]
        if peeked.blamed:
            self.charge(lane, peeked.blamed, "the process died while it applied this command", held)
        done = sum(self._apply_together(lane, [accepted], held, alone=True) for accepted in alone)
        return done + self._apply_together(lane, together, held)

    def _apply_together(
        self, lane: int, batch: list[Accepted], held: set[User], *, alone: bool = False
    ) -> int:
        """The batch in one transaction, as often rebuilt or halved as it takes.

        `alone`: the one command's name goes on the lane's row, so that a death tells who it was.
        """
        for _ in range(_CULPRITS):
            batch = [accepted for accepted in batch if sender(accepted) not in held]
            if not batch:
                return 0
            self._begin_try(lane, batch[0].command.id if alone else None)
            try:
                return self._transact(lane, batch, held)
            except _CommandFailed as failure:
                self.charge(lane, failure.accepted.command.id, told(failure.__cause__), held)
            except TenantUnreadable as error:
                theirs = [accepted for accepted in batch if accepted.command.tenant_id == error.tenant_id]
                self._postpone(lane, theirs, error, held)
            except ErasureKeyMissing as error:  # who has no account may be somebody who was erased
                self._postpone(lane, batch, error, held)
            except Exception as error:
                if is_transient(error):
                    raise
                if len(batch) > 1:
                    middle = len(batch) // 2
                    first = self._apply_together(lane, batch[:middle], held)
                    return first + self._apply_together(lane, batch[middle:], held)
                self.charge(lane, batch[0].command.id, told(error), held)
        held.update(sender(accepted) for accepted in batch)  # they wait for the next batch, and in order
        return 0

    def _begin_try(self, lane: int, alone_id: UUID | None) -> None:
        is_noted, self._is_noted = self._is_noted, False
        if is_noted and alone_id is None:
            return
        with transaction(self._database, self._settings) as connection:
            lanes.begin_try(connection, lane, alone_id, is_noted=is_noted)
            failpoints.before("try-commit")
        failpoints.after("try-commit")

    def _transact(self, lane: int, batch: list[Accepted], held: set[User]) -> int:
        """The one transaction. Far from the limits that lanes share none waits for another; where others have
        come nearer to one meanwhile, it is made again and keeps them out until it has committed. So it is
        where a refusal cannot be given yet."""
        lock_counters, fence = False, {lane}
        waits: dict[User, tuple[UUID, Place]] = {}  # each sender's first that must wait, and for what
        while True:
            try:
                done = self._decide_and_save(lane, batch, held, fence, lock_counters=lock_counters)
                break
            except _LimitMoved:
                assert not lock_counters, "what is locked stands still"
                lock_counters = True
            except Unsettled as unsettled:
                fence |= unsettled.fence
                batch, stopped = without(batch, unsettled.waits)
                waits |= stopped
        self._let_wait(lane, dict(waits.values()))
        held.update(waits)
        return done

    def _decide_and_save(
        self, lane: int, batch: list[Accepted], held: set[User], fence: set[int], *, lock_counters: bool
    ) -> int:
        """Fence, claim, load, decide, save, count, end. Whose command may not go now is held: by the next
        claim it might, and what comes behind it is not to overtake it."""
        began = time.monotonic()
        with transaction(self._database, self._settings) as connection:
            failpoints.before("fence")
            lanes.fence(connection, *fence)
            failpoints.after("fence")
            claimed = journal.claim(connection, lane, [accepted.seq for accepted in batch])
            held.update(sender(accepted) for accepted in batch if accepted.seq not in claimed.seqs)
            batch = [accepted for accepted in batch if accepted.seq in claimed.seqs]
            failpoints.before("load")
            book = books.load(connection, batch, self._programmes, lock_counters=lock_counters)
            failpoints.after("load")
            erasures.load_erased(connection, book, batch, self._pseudonyms)
            decisions, acts = _decided(book, batch)
            if not lock_counters and not books.hold_counters(connection, book):
                raise _LimitMoved
            about = Lanes(lane, fence, self._settings.lanes)
            decisions = settle(connection, about, decisions, some_have_waited=claimed.failed)
            books.save(connection, book)
            if not books.count(connection, book):
                raise _LimitMoved
            books.save_outcomes(connection, book, decisions)
            erasures.save_erased(connection, book, batch)
            save_acts(connection, acts)
            ended = journal.done(connection, lane, [accepted.seq for accepted in batch])
            if claimed.failed:
                failures.forget(connection, [accepted.command.id for accepted in batch])
            failpoints.before("batch-commit")
        failpoints.after("batch-commit")
        if ended.callbacks_due:
            self._callbacks_due()
        if ended.lanes:
            self._ring(ended.lanes)
        report.rule_errors(lane, book)
        report.count(decisions, time.monotonic() - began)
        return len(batch)

    def charge(self, lane: int, command_id: UUID, error: str, held: set[User]) -> None:
        """Counts the failure; the command waits before it is tried again, or is dead. Its user is held."""
        with transaction(self._database, self._settings) as connection:
            lanes.fence(connection, lane)
            lanes.end_try(connection, lane)  # it failed, but this process lives
            charged = failures.charge(connection, lane, command_id, error)
            if charged is None:
                return  # it has been applied meanwhile
            held.add((charged.tenant_id, charged.user_id))
            waits = self._settings.backoff_seconds
            is_dead = charged.attempts > len(waits)
            if is_dead:
                hold = program.holds_followers(connection, charged.tenant_id)
                failures.bury(connection, lane, command_id, hold=hold)
            else:
                failures.back_off(connection, command_id, waits[charged.attempts - 1])
            failpoints.before("charge-commit")
        failpoints.after("charge-commit")
        counters.FAILURES.inc()
        counters.DEATHS.inc(is_dead)
        _log.error(
            "command_dead" if is_dead else "command_failed",
            action="drain",
            lane=lane,
            command_id=str(command_id),
            tenant_id=charged.tenant_id,
            attempts=charged.attempts,
            error=error,
        )

    def postpone(self, lane: int, unreadable: dict[User, tuple[UUID, str]]) -> None:
        """Lets commands that only a newer program can read wait, and their users with them."""
        with transaction(self._database, self._settings) as connection:
            lanes.fence(connection, lane)
            lanes.end_try(connection, lane)
            for command_id, error in unreadable.values():
                failures.postpone(connection, lane, command_id, error, _UNKNOWN_WAITS_SECONDS)

    def _let_wait(self, lane: int, waits: dict[UUID, Place]) -> None:
        """Lets commands, and their users, wait that something accepted before them keeps."""
        if not waits:
            return
        with transaction(self._database, self._settings) as connection:
            lanes.fence(connection, lane)
            precedence.let_wait(connection, lane, waits, LONGEST_SECONDS)
        self.lets_wait = True

    def _postpone(self, lane: int, theirs: list[Accepted], error: Exception, held: set[User]) -> None:
        """Lets each of these commands' users wait at their first."""
        firsts = {sender(accepted): accepted.command.id for accepted in reversed(theirs)}
        self.postpone(lane, {user: (command_id, str(error)) for user, command_id in firsts.items()})
        held.update(firsts)


def _decided(book: Book, batch: list[Accepted]) -> tuple[list[tuple[Accepted, Decision]], list[Act]]:
    """What the commands come to, one after the other, and the acts among them. Raises _CommandFailed."""
    decisions: list[tuple[Accepted, Decision]] = []
    acts: list[Act] = []
    for accepted in batch:
        try:
            failpoints.before("decide")
            decisions.append((accepted, decide_on_record(book, accepted, acts)))
            failpoints.after("decide")
        except Exception as error:
            raise _CommandFailed(accepted) from error
    return decisions, acts


def told(error: BaseException | None) -> str:
    return f"{type(error).__name__}: {error}"
