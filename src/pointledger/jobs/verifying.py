"""Checks the invariants of a tenant on request, piece by piece, so that a check survives its worker.

It checks the tables whose rows name their tenant: accounts, entries, lots, holds, limits, wallets, the audit
log and the day totals. `pointledger verify` also checks the queue and the events, of all tenants together.
One piece runs at a time, so that checks never keep more than one worker from live commands.
"""

import time
from collections.abc import Sequence

import sqlalchemy as sa

from pointledger.logs import Log
from pointledger.observability.verification import Verification
from pointledger.observability.verify import WALKS
from pointledger.storage.database import IDLE_TIMEOUT_MS, bounded_transaction
from pointledger.storage.invariants.base import Walk
from pointledger.storage.queue import verify_runs
from pointledger.storage.queue.verify_runs import Progress, VerifyRun

_SECONDS = 1.0  # per piece, of which beat sends one every three seconds, so that live commands go on
_MOST_ATTEMPTS = 5  # at one piece; a chunk that kills its worker must not do so for good
_LIMIT_ROWS = 20  # violating rows that are kept of each invariant

_log = Log(__name__)


class TenantChecks:
    """Goes on with the checks that people asked for."""

    def __init__(self, database: sa.Engine, *, idle_timeout_ms: int = IDLE_TIMEOUT_MS) -> None:
        self._database = database
        self._idle_timeout_ms = idle_timeout_ms

    def go_on(self, seconds: float = _SECONDS) -> bool:
        """Check for so many seconds, at least one chunk. Return False if no check waits."""
        with bounded_transaction(self._database, self._idle_timeout_ms) as connection:
            taken = verify_runs.take(connection)
            if taken and taken.attempts > _MOST_ATTEMPTS:
                verify_runs.give_up(connection, taken, "the same piece failed five times; see the log")
                _log.error("verify_given_up", action="verify", tenant_id=taken.tenant_id, walk=taken.walk)
                return True
        if taken is None:
            return False
        progress = self._piece(taken, time.monotonic() + seconds)
        with bounded_transaction(self._database, self._idle_timeout_ms) as connection:
            verify_runs.save(connection, taken, progress)
        if progress.walk is None and progress.violations:
            _log.error(
                "invariants_broken",
                action="verify",
                tenant_id=taken.tenant_id,
                violations=progress.violations,
                invariants=[found["id"] for found in progress.findings],
            )
        return True

    def _piece(self, taken: VerifyRun, stop_at: float) -> Progress:
        check = Verification(self._database, _walks(taken.tenant_id), _LIMIT_ROWS)
        if taken.walk is None:
            check.begin(counts_rows=True)
        else:
            check.resume(taken.walk, taken.after or [], taken.findings)
            check.rows_done, check.rows_known = taken.rows_done, taken.rows_known
            check.accounts, check.entries = taken.accounts, taken.entries
        while check.step() and time.monotonic() < stop_at:
            pass
        walk, after = check.place
        return Progress(
            walk,
            after,
            check.rows_done,
            max(check.rows_known, check.rows_done),
            check.accounts,
            check.entries,
            check.violations,
            check.as_json(),
        )


def _walks(tenant_id: str) -> Sequence[Walk]:
    return [part for walk in WALKS if (part := walk.of_tenant(tenant_id))]
