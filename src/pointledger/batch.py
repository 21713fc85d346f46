"""A batch: applied in one transaction, or taken apart until whoever spoils it stands alone.

| what went wrong                 | what happens                                       | charged       |
| ------------------------------- | -------------------------------------------------- | ------------- |
| deciding raised                 | it is built again without that command and user    | that command  |
| saving failed                   | it is halved, and halved again                     | who is left   |
| nobody's fault (`is_transient`) | the caller tries again                             | nobody        |
| the process died over it, twice | the lane's commands go one at a time               | who was alone |

A command that was charged waits, and with it its user only; after the last wait it is dead.
"""

from contextlib import suppress
from uuid import UUID

import sqlalchemy as sa
import structlog

from pointledger.domain.decide import Accepted, decide
from pointledger.locks import User
from pointledger.settings import Settings
from pointledger.storage import books, failures, journal, lanes
from pointledger.storage.database import is_transient, transaction
from pointledger.storage.programmes import Programmes

_DEATHS = 2  # of processes over one lane; after these its commands go one at a time
_CULPRITS = 10  # that one batch may lose before the rest waits for the next: each costs a rebuild

_log = structlog.get_logger()


class _CommandFailed(Exception):
    """Deciding about this command raised."""

    def __init__(self, accepted: Accepted) -> None:
        super().__init__(accepted.command.id)
        self.accepted = accepted


class Batches:
    """Applies batches of one lane's commands, in order, and charges those that cannot be applied."""

    def __init__(self, database: sa.Engine, settings: Settings) -> None:
        self._database = database
        self._settings = settings
        self._programmes = Programmes()

    def apply(self, lane: int, batch: list[Accepted], suspects: set[User]) -> int:
        """How many got their outcome. `suspects` are users with a command that has failed before: theirs
        go one at a time. Raises what is nobody's fault; the batch, or a part of it, still waits then."""
        with transaction(self._database, self._settings) as connection:
            deaths, blamed = lanes.begin_try(connection, lane)
        try:
            held: set[User] = set()
            if blamed:
                self._charge(lane, blamed, "the process died while it applied this command", held)
            alone = batch if deaths >= _DEATHS else [a for a in batch if sender(a) in suspects]
            together = [] if deaths >= _DEATHS else [a for a in batch if sender(a) not in suspects]
            done = self._apply_alone(lane, alone, held)
            return done + self._apply_together(lane, together, held)
        except Exception:
            # This process lives: what it could not finish must not count as a death.
            with suppress(Exception), transaction(self._database, self._settings) as connection:
                lanes.end_try(connection, lane)
            raise

    def _apply_alone(self, lane: int, batch: list[Accepted], held: set[User]) -> int:
        """One command per transaction, its name on the lane's row, so that a death tells who it was."""
        done = 0
        for accepted in batch:
            if sender(accepted) in held:
                continue
            with transaction(self._database, self._settings) as connection:
                lanes.begin_try(connection, lane, accepted.command.id)
            done += self._apply_together(lane, [accepted], held)
        return done

    def _apply_together(self, lane: int, batch: list[Accepted], held: set[User]) -> int:
        """The batch in one transaction, as often rebuilt or halved as it takes."""
        for _ in range(_CULPRITS):
            batch = [accepted for accepted in batch if sender(accepted) not in held]
            if not batch:
                return 0
            try:
                return self._transact(lane, batch)
            except _CommandFailed as failure:
                self._charge(lane, failure.accepted.command.id, _told(failure.__cause__), held)
            except Exception as error:
                if is_transient(error):
                    raise
                if len(batch) > 1:
                    middle = len(batch) // 2
                    first = self._apply_together(lane, batch[:middle], held)
                    return first + self._apply_together(lane, batch[middle:], held)
                self._charge(lane, batch[0].command.id, _told(error), held)
        return 0

    def _transact(self, lane: int, batch: list[Accepted]) -> int:
        """The one transaction: fence, claim, load, decide, save."""
        with transaction(self._database, self._settings) as connection:
            recorded_at = lanes.fence(connection, lane)
            waiting = journal.claim(connection, lane, [accepted.seq for accepted in batch])
            batch = [accepted for accepted in batch if accepted.seq in waiting]
            book = books.load(connection, batch, recorded_at, self._programmes)
            decisions = []
            for accepted in batch:
                try:
                    decisions.append((accepted, decide(book, accepted)))
                except Exception as error:
                    raise _CommandFailed(accepted) from error
            books.save(connection, book, decisions)
            journal.done(connection, lane, [accepted.seq for accepted in batch])
            if failures.exist(connection, lane):
                failures.forget(connection, [accepted.command.id for accepted in batch])
            lanes.end_try(connection, lane)
        return len(batch)

    def _charge(self, lane: int, command_id: UUID, error: str, held: set[User]) -> None:
        """Counts the failure; the command waits before it is tried again, or is dead."""
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
                tenant = self._programmes.tenants(connection, [charged.tenant_id]).get(charged.tenant_id)
                hold = tenant is not None and tenant.dead_policy == "hold"
                failures.bury(connection, lane, command_id, hold=hold)
            else:
                failures.back_off(connection, command_id, waits[charged.attempts - 1])
        _log.error(
            "command_dead" if is_dead else "command_failed",
            action="drain",
            lane=lane,
            command_id=str(command_id),
            tenant_id=charged.tenant_id,
            attempts=charged.attempts,
            error=error,
        )


def sender(accepted: Accepted) -> User:
    """In whose order a command stands."""
    return accepted.command.tenant_id, accepted.command.user_id


def _told(error: BaseException | None) -> str:
    return f"{type(error).__name__}: {error}"
