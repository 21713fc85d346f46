"""Records commands that cannot be applied now: they back off, wait for others, or are dead."""

from uuid import UUID

import sqlalchemy as sa

from pointledger import failpoints
from pointledger.domain.commands.accepted import Accepted
from pointledger.engine.locks import User
from pointledger.engine.peeked import Lanes, sender
from pointledger.engine.precedence import LONGEST_SECONDS
from pointledger.logs import Log
from pointledger.observability import counters
from pointledger.settings import Settings
from pointledger.storage.database import transaction
from pointledger.storage.ledger import program
from pointledger.storage.queue import failures, lanes, precedence
from pointledger.storage.queue.precedence import Place

_DEFER_SECONDS = 60.0  # until a worker can read the command: a rolling upgrade takes minutes

_log = Log(__name__)


def describe(error: BaseException | None) -> str:
    """Return the exception's type and message, which is kept with the failed command."""
    return f"{type(error).__name__}: {error}"


class FailureRecorder:
    """Writes to the journal's failures, each time in a transaction that holds the lanes' rows."""

    def __init__(self, database: sa.Engine, settings: Settings) -> None:
        self._database = database
        self._settings = settings

    def record(self, lane: int, command_id: UUID, error: str, blocked: set[User]) -> None:
        """Count the failure and block the user. The command backs off, or is dead after the last retry."""
        with transaction(self._database, self._settings) as connection:
            lanes.lock_lanes(connection, lane)
            lanes.clear_attempts(connection, [lane])  # the command failed, but this process lives
            failure = failures.record_failure(connection, lane, command_id, error)
            if failure is None:
                return  # another worker has applied it meanwhile
            blocked.add((failure.tenant_id, failure.user_id))
            backoff_seconds = self._settings.backoff_seconds
            is_dead = failure.attempts > len(backoff_seconds)
            if is_dead:
                block = program.blocks_users(connection, failure.tenant_id)
                failures.mark_dead(connection, lane, command_id, block=block)
            else:
                failures.back_off(connection, command_id, backoff_seconds[failure.attempts - 1])
            failpoints.before("failure-commit")
        failpoints.after("failure-commit")
        counters.FAILURES.inc()
        counters.COMMANDS_DEAD.inc(is_dead)
        _log.error(
            "command_dead" if is_dead else "command_failed",
            action="drain",
            lane=lane,
            command_id=str(command_id),
            tenant_id=failure.tenant_id,
            attempts=failure.attempts,
            error=error,
        )

    def defer(
        self, lanes_of: Lanes, unreadable: dict[User, tuple[UUID, str]], seconds: float = _DEFER_SECONDS
    ) -> None:
        """Defer commands that cannot be applied now, such as those that only a newer program can read."""
        affected = {lanes_of[user] for user in unreadable}
        with transaction(self._database, self._settings) as connection:
            lanes.lock_lanes(connection, *affected)
            lanes.clear_attempts(connection, list(affected))
            for user, (command_id, error) in unreadable.items():
                failures.defer(connection, lanes_of[user], command_id, error, seconds)

    def defer_users(
        self,
        lanes_of: Lanes,
        batch: list[Accepted],
        error: str,
        blocked: set[User],
        seconds: float = _DEFER_SECONDS,
    ) -> None:
        """Defer each user's first command of the batch, which blocks the user's later ones."""
        firsts = {sender(accepted): accepted.command.id for accepted in reversed(batch)}
        self.defer(lanes_of, {user: (command_id, error) for user, command_id in firsts.items()}, seconds)
        blocked.update(firsts)

    def make_wait(self, lanes_of: Lanes, waits: dict[User, tuple[UUID, Place]]) -> None:
        """Make users' commands, and with them their later ones, wait for those that were accepted earlier."""
        with transaction(self._database, self._settings) as connection:
            lanes.lock_lanes(connection, *{lanes_of[user] for user in waits})
            precedence.let_wait(connection, dict(waits.values()), LONGEST_SECONDS)
