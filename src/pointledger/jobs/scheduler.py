"""Schedules periodic jobs: finds due accounts and accepts commands for them. It changes no account itself.

Each nightly job runs once per tenant and local date. `open_runs` creates a row for each run, and each job
method processes a bounded piece of one run. If beat was down for three nights, the scheduler catches up on
three dates. Ten beat processes still create one run. A run that is interrupted resumes where it stopped.
Repeated pieces are safe, because the user and the moment are the key of a command.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zlib import crc32

import sqlalchemy as sa

from pointledger import failpoints
from pointledger.client.acceptor import Acceptance
from pointledger.client.receipts import Receipt
from pointledger.domain.commands import ActivateDue, AnyCommand, ExpireDue, ReleaseHoldsDue
from pointledger.domain.commands.records import lane_of
from pointledger.domain.program.tenant import Tenant
from pointledger.domain.values.actor import JOB
from pointledger.errors import InvalidCommand
from pointledger.ids import derive_id, milliseconds_of, parse_id
from pointledger.storage.database import IDLE_TIMEOUT_MS, bounded_transaction
from pointledger.storage.events import reminders
from pointledger.storage.ledger import erasures, program
from pointledger.storage.queue import job_runs, pauses, pending

EXPIRE_POINTS = "expire-points"
RESET_DAILY_LIMITS = "reset-daily-limits"

_PAGE = 400  # users per query
_AT_ONCE = 100  # commands per call: each may have many lots, and live commands queue behind them
_MAX_LEFT = 25  # of them still pending when the next are accepted, so that no worker runs out of work
_CATCH_UP_DAYS = 31  # for which runs are opened after beat was down
_PAUSE_SECONDS = 0.02  # while workers apply the commands
_STANDSTILL_SECONDS = 2.0  # to wait for progress: a stuck command must not stop the job
_LEAST_SECONDS = 0.1  # without workers the wait is halved each time, down to this
_ACTIVATION_SECONDS = 10.0  # per call; the next call continues where it stopped
_RELEASE_SECONDS = 10.0  # per call; the next call begins after 15 s, from the start
_SEARCH_SECONDS = 10.0  # per call; the next call continues where it stopped


def _pause(_lanes: list[int]) -> None:
    time.sleep(_PAUSE_SECONDS)


class JobScheduler:
    """Accepts due commands a little ahead of the workers, lane by lane.

    So the workers apply few large batches, and most lanes stay free for live commands. `help_on` is called
    with the lanes whose commands are pending; a worker applies some of them itself.
    """

    def __init__(
        self,
        database: sa.Engine,
        acceptance: Acceptance,
        *,
        help_on: Callable[[list[int]], object] = _pause,
        idle_timeout_ms: int = IDLE_TIMEOUT_MS,
    ) -> None:
        self._database = database
        self._acceptance = acceptance
        self._help_on = help_on
        self._idle_timeout_ms = idle_timeout_ms
        self._wait_seconds = _STANDSTILL_SECONDS

    def open_runs(self, job: str, *, from_today: bool = False) -> int:
        """Create a run for each tenant and local midnight since its last run, and return their number.

        `from_today`: a tenant's first run is today's, not that of the day when the tenant was created.
        """
        opened = 0
        with bounded_transaction(self._database, self._idle_timeout_ms) as connection:
            now, last = job_runs.now(connection), job_runs.last_dates(connection, job)
            for tenant, known_since in program.all_tenants(connection):
                since = None if from_today else known_since
                for day in _days(tenant, last.get(tenant.tenant_id), since, now):
                    as_of = tenant.day_starts_at(day)
                    opened += job_runs.open_run(connection, job, tenant.tenant_id, day, as_of)
            failpoints.before("open-runs-commit")
        failpoints.after("open-runs-commit")
        return opened

    def expire_points(self) -> bool:
        """Process a piece of an expiry run, and return False if there is no run."""
        with bounded_transaction(self._database, self._idle_timeout_ms) as connection:
            run = job_runs.take_run(connection, EXPIRE_POINTS)
            failpoints.before("take-run-commit")
        failpoints.after("take-run-commit")
        if run is None:
            return False
        tenant = self._tenant(run.tenant_id)
        most = _room(tenant.expire_accounts_per_run, run.found)
        page = self._due(tenant, run.as_of, (run.reached_expiry, run.reached_user), most)
        for _ in self._feed(_expiries(run.tenant_id, run.as_of, page)):
            pass
        with bounded_transaction(self._database, self._idle_timeout_ms) as connection:
            reached = page[-1] if page else None
            job_runs.put_back(connection, run, reached, found=len(page), finished=len(page) < _PAGE)
            failpoints.before("put-back-commit")
        failpoints.after("put-back-commit")
        return True

    def reset_daily_limits(self) -> bool:
        """Close the daily windows that ended at a run's midnight, and return False if there is no run."""
        with bounded_transaction(self._database, self._idle_timeout_ms) as connection:
            run = job_runs.take_run(connection, RESET_DAILY_LIMITS)
            if run is None:
                return False
            tenant = program.tenant(connection, run.tenant_id)
            day = tenant.day_before(run.local_date)
            if job_runs.close_windows(connection, tenant, day):
                reminders.write_window_closed(connection, tenant, day)
            if tenant.backdating_days is not None:
                # From the day of the oldest command that is pending or can be retried, plus one day.
                oldest = job_runs.waits_since(connection, run.tenant_id)
                today = min(run.local_date, tenant.local_date(oldest)) if oldest else run.local_date
                job_runs.prune_usage(connection, tenant, today - timedelta(days=tenant.backdating_days + 1))
            job_runs.put_back(connection, run, finished=True)
            failpoints.before("put-back-commit")
        failpoints.after("put-back-commit")
        return True

    def activate_points(self) -> int:
        """Accept a command for each user whose next pending lot is due, and return their number.

        Postgres' clock decides what is due.
        This job needs no row: a lot that is found twice gives the same command, so it can stop anywhere.
        """
        accepted, stop_at = 0, time.monotonic() + _ACTIVATION_SECONDS
        with self._database.connect() as connection:
            tenants = [tenant.tenant_id for tenant, _ in program.all_tenants(connection)]
        for tenant in tenants:
            after: tuple[datetime | None, str] = (None, "")
            while time.monotonic() < stop_at:
                with self._database.connect() as connection:
                    page = job_runs.activations_due(connection, tenant, after, _PAGE)
                if not page:
                    break
                accepted += sum(fed.new for fed in self._feed([_activation(tenant, due) for due in page]))
                after = page[-1][:2]
        return accepted

    def release_holds(self) -> int:
        """Accept a command for each user and moment at which a hold has timed out, and return their number.

        Postgres' clock decides what is due.
        This job needs no row: a hold that is found twice gives the same command, so it can stop anywhere.
        """
        accepted, stop_at = 0, time.monotonic() + _RELEASE_SECONDS
        after: tuple[Any, ...] = job_runs.BEFORE_ANY_HOLD
        while time.monotonic() < stop_at:
            with self._database.connect() as connection:
                page = job_runs.holds_due(connection, after, _PAGE)
            if not page:
                break
            accepted += sum(fed.new for fed in self._feed(_releases(page)))
            after = page[-1][:3]
        return accepted

    def finish_erasures(self) -> int:
        """Redact erased users in the journal, and return the number of finished searches.

        Each piece is a separate transaction and records how far it came.
        """
        finished, stop_at = 0, time.monotonic() + _SEARCH_SECONDS
        while time.monotonic() < stop_at:
            with bounded_transaction(self._database, self._idle_timeout_ms) as connection:
                is_last = erasures.search_next(connection)
                failpoints.before("search-commit")
            failpoints.after("search-commit")
            if is_last is None:
                break
            finished += is_last
        return finished

    def expire_now(
        self, as_of: datetime | None = None, tenant_id: str | None = None, limit: int | None = None
    ) -> Iterator[Receipt]:
        """Accept expiry commands for all accounts that are due at `as_of` (default: now), page by page.

        `limit`: the maximum number of accounts of each tenant (default: its `expire_accounts_per_run`).
        Without `tenant_id`, paused tenants are left out. Raise InvalidCommand if `as_of` is in the future,
        because an account's clock never goes back.
        """
        with self._database.connect() as connection:
            now = job_runs.now(connection)
            as_of = as_of or now
            if as_of > now:
                raise InvalidCommand("as_of: is in the future")
            paused = pauses.paused(connection)
            tenants = [tenant for tenant, _ in program.all_tenants(connection)]
        if tenant_id is None:
            wanted = [tenant for tenant in tenants if tenant.tenant_id not in paused]
        else:
            wanted = [self._tenant(tenant_id)]
        for tenant in wanted:
            yield from self._expire_of(tenant, as_of, limit or tenant.expire_accounts_per_run)

    def _expire_of(self, tenant: Tenant, as_of: datetime, limit: int | None) -> Iterator[Receipt]:
        after: tuple[datetime | None, str] = (None, "")
        found = 0
        while page := self._due(tenant, as_of, after, _room(limit, found)):
            yield from self._feed(_expiries(tenant.tenant_id, as_of, page))
            after, found = page[-1], found + len(page)

    def _tenant(self, tenant_id: str) -> Tenant:
        with self._database.connect() as connection:
            return program.tenant(connection, tenant_id)

    def _due(
        self, tenant: Tenant, as_of: datetime, after: tuple[datetime | None, str], most: int
    ) -> list[job_runs.DueAccount]:
        if not tenant.lets_expire(as_of) or not most:
            return []
        with self._database.connect() as connection:
            return job_runs.due(connection, tenant.tenant_id, as_of, after, most)

    def _feed(self, commands: Sequence[AnyCommand]) -> Iterator[Receipt]:
        """Accept commands piece by piece, as the workers apply them, in order per user."""
        lanes = self._acceptance.lanes
        ordered = sorted(commands, key=lambda command: lane_of(command.tenant_id, command.user_id, lanes))
        for start in range(0, len(ordered), _AT_ONCE):
            receipt = self._acceptance.accept(ordered[start : start + _AT_ONCE])
            yield receipt
            self._keep_pace(receipt)

    def _keep_pace(self, receipt: Receipt) -> None:
        ids = [parse_id(task_id) for task_id in receipt.task_ids]
        give_up_at = time.monotonic() + self._wait_seconds
        while time.monotonic() < give_up_at:
            with self._database.connect() as connection:
                waiting = pending.lanes_of_waiting(connection, ids)
            if waiting.total() <= _MAX_LEFT:
                self._wait_seconds = _STANDSTILL_SECONDS
                return
            self._help_on(list(waiting))
        self._wait_seconds = max(self._wait_seconds / 2, _LEAST_SECONDS)


def _expiries(tenant_id: str, as_of: datetime, page: list[job_runs.DueAccount]) -> list[AnyCommand]:
    return [ExpireDue(tenant_id=tenant_id, user_id=due.user_id, as_of=as_of, actor=JOB) for due in page]


def _activation(tenant_id: str, due: job_runs.ActivationDue) -> ActivateDue:
    """Return the activation command; the same account and moment give the same id."""
    moment = due.next_activation_at.astimezone(UTC)
    return ActivateDue(
        id=derive_id(due.account_id, crc32(moment.isoformat().encode()), max(milliseconds_of(moment), 0)),
        tenant_id=tenant_id,
        user_id=due.user_id,
        as_of=moment,
        actor=JOB,
    )


def _releases(page: list[job_runs.HoldDue]) -> list[AnyCommand]:
    """Return one command per user and moment; its id is derived from the hold's, so it is always the same."""
    first = {(due.tenant_id, due.user_id, due.expires_at): due for due in reversed(page)}
    return [
        ReleaseHoldsDue(
            id=derive_id(due.id, 0, milliseconds_of(due.expires_at)),
            tenant_id=due.tenant_id,
            user_id=due.user_id,
            as_of=due.expires_at,
            actor=JOB,
        )
        for due in reversed(first.values())
    ]


def _room(limit: int | None, found: int) -> int:
    """Return the maximum size of the next page."""
    return _PAGE if limit is None else max(min(limit - found, _PAGE), 0)


def _days(tenant: Tenant, last: date | None, known_since: datetime | None, now: datetime) -> list[date]:
    """Return the local dates that have begun and have no run yet, oldest first."""
    today = tenant.local_date(now)
    after = last or (tenant.local_date(known_since) if known_since else today - timedelta(days=1))
    first = max(after + timedelta(days=1), today - timedelta(days=_CATCH_UP_DAYS - 1))
    days = [first + timedelta(days=days) for days in range((today - first).days + 1)]
    return [day for day in days if tenant.occurs(day)]
