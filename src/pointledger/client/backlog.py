"""Limits the backlog: no tenant, and not all together, may have too many pending commands.

Callers get BacklogFull at once, so pending commands do not fill the disk or time out unseen. Acceptance
resumes when the workers have caught up. Periodic jobs are exempt, because each bounds its own commands.

| refused are                         | while                                                               |
| ----------------------------------- | ------------------------------------------------------------------- |
| commands of one tenant              | more than its share of the limit is pending of it, or it is too old |
| commands of all tenants with much   | the limit is reached; a tenant with less than a batch is let in     |

Entry points that read a queue of all tenants have no limit per tenant: a message that stays there would hold
up the messages of all tenants behind it.
"""

import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field

import sqlalchemy as sa

from pointledger.errors import BacklogFull, TenantBacklogFull
from pointledger.logs import Log
from pointledger.settings import Settings
from pointledger.storage.database import INDEX_PLANS_ONLY, run
from pointledger.storage.errors import DATABASE_ERRORS, TIMED_OUT, is_transient, sqlstate
from pointledger.storage.queries import health
from pointledger.storage.queries.health import Waiting

_FRESH_SECONDS = 1.0  # how long a status is used; it misses the commands accepted since
_SHARE = 50  # a slow query's status is used 50 times as long as it took, so queries cost 2 % at most
_QUICK_SECONDS = 0.01  # no caller waits for a query that took longer the last time
_LATE_SECONDS = 5.0  # a query ends sooner, so a thread that has not ended then does not run
_QUERY_MS = 2_000
_NONE = Waiting(0, 0.0)

_log = Log(__name__)


@dataclass(frozen=True, slots=True)
class BacklogStatus:
    """What is pending of each tenant. Counts end at the limit of the whole."""

    settings: Settings
    tenants: dict[str, Waiting] = field(default_factory=dict)

    @property
    def waiting(self) -> int:
        """The number of pending commands."""
        return sum(tenant.commands for tenant in self.tenants.values())

    @property
    def seconds(self) -> float:
        """The age of the oldest runnable command."""
        return max((tenant.seconds for tenant in self.tenants.values()), default=0.0)

    @property
    def is_full(self) -> bool:
        """Whether only tenants with little work are let in."""
        return self.waiting >= self.settings.backlog_limit

    @property
    def full_tenants(self) -> dict[str, Waiting]:
        """The tenants whose commands are not accepted because of their own backlog."""
        return {tenant_id: tenant for tenant_id, tenant in self.tenants.items() if self._is_over(tenant)}

    def is_busy(self, tenant_id: str) -> bool:
        """Return whether the tenant has at least a batch of pending commands."""
        return self.tenants.get(tenant_id, _NONE).commands >= self.settings.batch_size

    def refusal_of(self, tenant_id: str, *, shares: bool = True) -> BacklogFull | None:
        """Return the error with which the tenant's commands are refused now, or None.

        Without `shares`, only the limit of all tenants together counts.
        """
        tenant, limit = self.tenants.get(tenant_id, _NONE), self.settings.tenant_backlog_limit
        if shares and self._is_over(tenant):
            seen = f"{tenant.commands} pending, the oldest for {tenant.seconds:.0f} s"
            return TenantBacklogFull(f"tenant {tenant_id}: {seen}; its limit is {limit}")
        if self.is_full and self.is_busy(tenant_id):
            return BacklogFull(f"{self.waiting} pending of at most {self.settings.backlog_limit}")
        return None

    def _is_over(self, tenant: Waiting) -> bool:
        too_many = tenant.commands >= self.settings.tenant_backlog_limit
        return too_many or tenant.seconds >= self.settings.backlog_seconds


class Backlog:
    """Measures the backlog about once a second for all threads of a process, instead of for every command.

    With some 10,000 pending commands that takes milliseconds, and a thread of its own does it. But in some
    programs no such thread runs, as in uWSGI without `enable-threads`. Then a caller measures again.
    """

    def __init__(self, database: sa.Engine, settings: Settings, *, shares: bool = True) -> None:
        """`shares`: whether tenants have limits of their own."""
        self._database = database
        self._settings = settings
        self._shares = shares
        self._lock = threading.Lock()
        self._refresh_at = 0.0
        self._took_seconds = 0.0
        self._is_measuring = False
        self._status = BacklogStatus(settings)

    def status(self) -> BacklogStatus:
        """Return the last status. If it is too old and no other thread measures, have it measured."""
        now = time.monotonic()
        with self._lock:
            if now < self._refresh_at:
                return self._status
            is_late, self._is_measuring = self._is_measuring, True
            self._refresh_at = now + _LATE_SECONDS
        if is_late or self._took_seconds < _QUICK_SECONDS or not self._start_refresh():
            self._refresh()
        return self._status

    def refusals(self, tenant_ids: Iterable[str]) -> dict[str, BacklogFull]:
        """Return the error of each tenant whose commands are not accepted now."""
        status = self.status()
        errors = {tenant_id: status.refusal_of(tenant_id, shares=self._shares) for tenant_id in tenant_ids}
        return {tenant_id: error for tenant_id, error in errors.items() if error}

    @staticmethod
    def measure(connection: sa.Connection, settings: Settings) -> BacklogStatus:
        """Query the current status."""
        return BacklogStatus(settings, health.waiting_by_tenant(connection, settings.backlog_limit))

    def _start_refresh(self) -> bool:
        """Measure in a thread. Return False if none can be started."""

        def refresh() -> None:
            with suppress(*DATABASE_ERRORS):  # the next caller gets it
                self._refresh()

        try:
            threading.Thread(target=refresh, name="backlog", daemon=True).start()
        except RuntimeError:  # the program ends, or has too many threads
            return False
        return True

    def _refresh(self) -> None:
        """Measure. Raise an error that will not pass; the next caller measures again."""
        began = time.monotonic()
        try:
            with self._database.begin() as connection:
                run(connection, _SET_LOCAL, statement=str(_QUERY_MS))
                status = self.measure(connection, self._settings)
            self._log_changes(self._status, status)
            self._status = status
        except DATABASE_ERRORS as error:
            if not is_transient(error) and sqlstate(error) != TIMED_OUT:
                self._note_end(0.0, 0.0)
                raise
            # The last status stays valid. If the database is unavailable, acceptance fails by itself.
        took = time.monotonic() - began
        self._note_end(took, max(_FRESH_SECONDS, _SHARE * took))

    def _note_end(self, took_seconds: float, fresh_seconds: float) -> None:
        with self._lock:
            self._is_measuring = False
            self._took_seconds = took_seconds
            self._refresh_at = time.monotonic() + fresh_seconds

    @staticmethod
    def _log_changes(before: BacklogStatus, now: BacklogStatus) -> None:
        if before.is_full != now.is_full:
            event = "backlog_full" if now.is_full else "backlog_has_room"
            _log.warning(event, action="accept", waiting=now.waiting)
        for tenant_id in before.full_tenants.keys() ^ now.full_tenants.keys():
            event = "tenant_backlog_full" if tenant_id in now.full_tenants else "tenant_backlog_has_room"
            waiting = now.tenants.get(tenant_id, _NONE).commands
            _log.warning(event, action="accept", tenant_id=tenant_id, waiting=waiting)


_SET_LOCAL = f"SELECT set_config('statement_timeout', %(statement)s, true), {INDEX_PLANS_ONLY}"
