"""Queries about the queue: what waits, what is stuck, and who fills it."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from pointledger.client.given_ids import given_id
from pointledger.client.queries.base import Queries
from pointledger.client.queries.results import iso
from pointledger.errors import InvalidCommand
from pointledger.ids import first_id_of, show_id
from pointledger.storage.database import read_only
from pointledger.storage.ledger import program
from pointledger.storage.queries import activity, queue, trouble
from pointledger.storage.queries.activity import Moment
from pointledger.storage.queries.current import moment_of
from pointledger.storage.queries.queue import JobRun, TenantLine
from pointledger.storage.queries.trouble import DeadGroup, FailingLine, SizedDeadLetter, Trouble
from pointledger.storage.queue import failures, pauses
from pointledger.storage.queue.failures import DeadCommand, DeadCommandFilter

PAGE = 50
MOST = 500  # of a page
MOST_TENANTS = 200  # that one call compares
MINUTES, MOST_MINUTES = 15, 60  # of activity
_SLICES = 60  # of activity: as many points as a small chart shows
_RUNS = 7  # of each job: a week
_BEYOND_ANY_LETTER = 2**63 - 1
_BEYOND_ANY_ID = "7" + "Z" * 25


@dataclass(frozen=True, slots=True)
class Lane:
    """A lane as a tenant's people see it. Counts end at 10,000."""

    lane: int
    """Its number, from 0."""
    own: int
    """Pending commands of the tenant."""
    all: int
    """Pending commands of all tenants, which share the lane."""
    oldest_seconds: float | None
    """The age of the tenant's first pending command."""
    per_second: float
    """Commands of the tenant that were applied per second in the last minute, of those that wrote entries."""
    attempts: int
    """Batches that began and have not ended. More than a few mean that workers die of a command."""


@dataclass(frozen=True, slots=True)
class Queue:
    """What waits of a tenant, and what needs an operator."""

    tenant_id: str
    """The tenant."""
    as_of: str
    """The moment of the answer, in ISO 8601."""
    paused_since: str | None
    """Since when the tenant is paused, in ISO 8601. None: it is not."""
    lanes: tuple[Lane, ...]
    """Every lane."""
    trouble: Trouble
    """Dead and failing commands, dead letters and deferred messages."""

    @property
    def waiting(self) -> int:
        """The tenant's pending commands in all lanes, each up to 10,000."""
        return sum(lane.own for lane in self.lanes)

    @property
    def oldest_seconds(self) -> float:
        """The lag: the age of the tenant's first pending command. 0 if none waits."""
        return max((lane.oldest_seconds or 0.0 for lane in self.lanes), default=0.0)

    @property
    def per_second(self) -> float:
        """The tenant's commands that were applied per second in the last minute."""
        return sum(lane.per_second for lane in self.lanes)


@dataclass(frozen=True, slots=True)
class Jobs:
    """The periodic jobs of a tenant."""

    runs: tuple[JobRun, ...]
    """The last week's runs of each nightly job, the latest first. `finished_at` is None while it runs."""
    open_erasures: int
    """Erased users for whom the journal is still searched."""
    erasures_since: datetime | None
    """Since when the first of them is searched for."""


class QueueQueries(Queries):
    """Queries about the queue of one database."""

    def queue(self, tenant_id: str) -> Queue:
        """Read what waits of the tenant, lane by lane, and what needs attention. Raises TenantMissing."""
        with read_only(self._database) as connection:
            program.tenant(connection, tenant_id)
            now = moment_of(connection)
            paused_since = pauses.paused(connection).get(tenant_id)
            rates = queue.rates(connection, tenant_id, first_id_of(now - timedelta(minutes=1)))
            found = queue.lanes(connection, tenant_id)
            wrong = trouble.counts(connection, tenant_id)
        lanes = [
            Lane(each.lane, each.own, each.all, each.oldest_seconds, rates.get(each.lane, 0.0), each.attempts)
            for each in found
        ]
        return Queue(tenant_id, iso(now), iso(paused_since) if paused_since else None, tuple(lanes), wrong)

    def waiting_by_tenant(self, tenant_ids: Collection[str]) -> list[TenantLine]:
        """Read what waits of each of these tenants, those with most pending commands first.

        Raises InvalidCommand for more than 200 tenants.
        """
        with read_only(self._database) as connection:
            return queue.tenants(connection, _few(tenant_ids))

    def dead_by_tenant(self, tenant_ids: Collection[str]) -> dict[str, int]:
        """Count the dead commands of each of these tenants, 20,000 in all at most. A tenant with none is left
        out. Raises InvalidCommand for more than 200 tenants."""
        with read_only(self._database) as connection:
            return trouble.dead_by_tenant(connection, _few(tenant_ids))

    def activity(self, tenant_id: str, minutes: int = MINUTES) -> list[Moment]:
        """Read how many of the tenant's commands were applied per second in the last minutes, in sixty slices
        of time, and how long samples of them took. Raises TenantMissing, and InvalidCommand."""
        if not 1 <= minutes <= MOST_MINUTES:
            raise InvalidCommand(f"minutes: must be 1 to {MOST_MINUTES}, not {minutes}")
        with read_only(self._database) as connection:
            program.tenant(connection, tenant_id)
            until = moment_of(connection)
            since = until - timedelta(minutes=minutes)
            return activity.recent(connection, tenant_id, since, until, minutes * 60 // _SLICES)

    # ------------------------------------------------------------------- failing and dead commands

    def failing(self, tenant_id: str, limit: int = PAGE) -> list[FailingLine]:
        """Read the tenant's commands that are tried again after a failed attempt, those that failed most
        often first. Raises TenantMissing."""
        with read_only(self._database) as connection:
            program.tenant(connection, tenant_id)
            return trouble.failing(connection, tenant_id, _limited(limit))

    def dead_groups(self, tenant_id: str) -> list[DeadGroup]:
        """Read the tenant's dead commands by cause and kind, the largest groups first. It groups the latest
        20,000. Raises TenantMissing."""
        with read_only(self._database) as connection:
            program.tenant(connection, tenant_id)
            return trouble.dead_groups(connection, tenant_id)

    def dead_commands(
        self, tenant_id: str, which: DeadCommandFilter = failures.ALL_DEAD, limit: int = PAGE
    ) -> list[DeadCommand]:
        """Read the tenant's dead commands of the filter, the latest first. Its `until` is inclusive: for the
        next page give the last one's `dead_at`. Raises TenantMissing."""
        with read_only(self._database) as connection:
            program.tenant(connection, tenant_id)
            return failures.dead(connection, which._replace(tenant=tenant_id), limit=_limited(limit))

    def count_dead(self, tenant_id: str, which: DeadCommandFilter = failures.ALL_DEAD) -> int:
        """Count the tenant's dead commands of the filter: those that `retry_all` would retry. Raises
        TenantMissing."""
        with read_only(self._database) as connection:
            program.tenant(connection, tenant_id)
            return failures.count_dead(connection, which._replace(tenant=tenant_id))

    # --------------------------------------------------------------------- messages, batches and jobs

    def dead_letters(
        self,
        tenant_id: str,
        state: Literal["dead", "deferred", "replayed"] | None = None,
        *,
        before: int | None = None,
        limit: int = PAGE,
    ) -> list[SizedDeadLetter]:
        """Read a page of the messages that name the tenant and are no commands, the latest first: those with
        an id below `before`. A message that cannot be read names no tenant. Raises TenantMissing."""
        below = _BEYOND_ANY_LETTER if before is None else max(0, min(before, _BEYOND_ANY_LETTER))
        with read_only(self._database) as connection:
            program.tenant(connection, tenant_id)
            return trouble.dead_letters(connection, tenant_id, state, below, _limited(limit))

    def dead_letter(self, tenant_id: str, dead_letter_id: int) -> SizedDeadLetter | None:
        """Read one message of the tenant that is no command, or None. Raises TenantMissing."""
        if not 0 < dead_letter_id < _BEYOND_ANY_LETTER:
            return None
        found = self.dead_letters(tenant_id, before=dead_letter_id + 1, limit=1)
        return found[0] if found and found[0].id == dead_letter_id else None

    def batches(
        self, tenant_id: str, *, before: str | None = None, limit: int = PAGE
    ) -> list[dict[str, Any]]:
        """Read a page of the tenant's batches of earns, the latest first: those with an id below `before`.
        `batch_outcome` says what came of one. Raises TenantMissing, and InvalidCommand for a malformed id."""
        below = given_id("before", before or _BEYOND_ANY_ID)
        with read_only(self._database) as connection:
            program.tenant(connection, tenant_id)
            found = queue.batches(connection, tenant_id, below, _limited(limit))
        return [
            batch._asdict() | {"id": show_id(batch.id), "accepted_at": iso(batch.accepted_at)}
            for batch in found
        ]

    def jobs(self, tenant_id: str) -> Jobs:
        """Read the progress of the tenant's periodic jobs. Raises TenantMissing."""
        with read_only(self._database) as connection:
            program.tenant(connection, tenant_id)
            runs = queue.job_runs(connection, tenant_id, _RUNS)
            return Jobs(tuple(runs), *queue.open_erasures(connection, tenant_id))


def _few(tenant_ids: Collection[str]) -> list[str]:
    if len(tenant_ids) > MOST_TENANTS:
        raise InvalidCommand(f"tenant_ids: at most {MOST_TENANTS}, not {len(tenant_ids)}")
    return sorted(set(tenant_ids))


def _limited(limit: int) -> int:
    return max(1, min(limit, MOST))
