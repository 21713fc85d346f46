"""Sums up entries by day, so that people see months of a large ledger at once.

Each piece is one transaction of one tenant, and a mark says how far it came. So the job can stop anywhere,
and any number of processes can run it.
"""

import time

import sqlalchemy as sa

from pointledger import failpoints
from pointledger.storage.database import IDLE_TIMEOUT_MS, bounded_transaction, read_only
from pointledger.storage.ledger import day_totals, program

LAG_SECONDS = 60.0  # before entries are summed up, so that a clock may be set back by less
_AT_ONCE = 20_000  # entries of one piece: some 30 ms, in which it holds locks that only this job takes
_SECONDS = 2.0  # per call; the next call continues where it stopped


class DayTotals:
    """Sums up the entries of all tenants."""

    def __init__(
        self,
        database: sa.Engine,
        *,
        lag_seconds: float = LAG_SECONDS,
        at_once: int = _AT_ONCE,
        idle_timeout_ms: int = IDLE_TIMEOUT_MS,
    ) -> None:
        self._database = database
        self._lag_seconds = lag_seconds
        self._at_once = at_once
        self._idle_timeout_ms = idle_timeout_ms

    def sum_up(self) -> bool:
        """Sum up entries for some seconds, and return whether more are left.

        The tenants take turns, so a large one delays no other.
        """
        stop_at = time.monotonic() + _SECONDS
        with bounded_transaction(self._database, self._idle_timeout_ms) as connection:
            horizon = day_totals.horizon(connection, self._lag_seconds)
        if horizon is None:
            return False
        with read_only(self._database) as connection:
            tenants = {tenant.tenant_id: tenant for tenant, _ in program.all_tenants(connection)}
            left = sorted(day_totals.tenants_with_work(connection, list(tenants), horizon))
        while left:
            for tenant_id in list(left):
                if time.monotonic() > stop_at:
                    return True
                with bounded_transaction(self._database, self._idle_timeout_ms) as connection:
                    is_more = day_totals.add_piece(connection, tenants[tenant_id], horizon, self._at_once)
                    failpoints.before("day-totals-commit")
                failpoints.after("day-totals-commit")
                if not is_more:
                    left.remove(tenant_id)
        return False

    def make_anew(self, tenant_id: str) -> None:
        """Delete the tenant's sums, so that the next runs make them anew. Raise TenantMissing."""
        with bounded_transaction(self._database, self._idle_timeout_ms) as connection:
            program.tenant(connection, tenant_id)
            day_totals.forget(connection, tenant_id)
