"""Verifies that the ledger adds up, at any time and while workers apply commands.

It runs the queries that must find nothing (`storage/invariants`), table by table and chunk by chunk. Each
chunk is read in one bounded snapshot, so a concurrent command is seen whole or not yet. It takes no locks and
stores nothing.

It cannot check the order in which commands were applied. Concurrent acceptances may take either order, and a
retried dead command leaves no trace. It also does not check decisions: `replay` makes them again.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from pointledger.errors import AccountMissing
from pointledger.ids import parse_id
from pointledger.observability.verification import InvariantResult, Verification
from pointledger.storage.invariants.accounts import ACCOUNTS
from pointledger.storage.invariants.base import Chunk, snapshot, violations
from pointledger.storage.invariants.commands import ALIASES, CALLBACKS, FAILURES, JOURNAL, PENDING
from pointledger.storage.invariants.day_totals import DAY_MARKS, DAY_TOTALS
from pointledger.storage.invariants.erasures import ERASURES
from pointledger.storage.invariants.expiry import EXPIRY_CHANGES
from pointledger.storage.invariants.holds import HOLDS
from pointledger.storage.invariants.limits import SHARED_USAGE, common_zones
from pointledger.storage.invariants.lots import LOTS, MOVES
from pointledger.storage.invariants.outbox import OUTBOX
from pointledger.storage.invariants.outcomes import OUTCOMES
from pointledger.storage.invariants.tables import AUDIT_LOG, JOB_RUNS, ONCE
from pointledger.storage.invariants.wallets import WALLET_LINES, WALLETS
from pointledger.storage.ledger import program
from pointledger.storage.queries import accounts as account_queries
from pointledger.storage.queries import wallets

WALKS = (
    ACCOUNTS, LOTS, MOVES, EXPIRY_CHANGES, HOLDS, WALLETS, WALLET_LINES, JOURNAL, OUTCOMES, PENDING, FAILURES,
    ALIASES, AUDIT_LOG, ERASURES, JOB_RUNS, SHARED_USAGE, OUTBOX, CALLBACKS, DAY_TOTALS, DAY_MARKS,
)  # fmt: skip
INVARIANTS = (*ONCE, *(invariant for walk in WALKS for invariant in walk.invariants))

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """The result for every invariant, and the number of accounts and entries checked."""

    findings: tuple[InvariantResult, ...]
    accounts: int
    entries: int
    seconds: float

    @property
    def violations(self) -> int:
        """The number of violating rows, including those not shown."""
        return sum(finding.violations for finding in self.findings)

    def as_json(self) -> dict[str, Any]:
        """Return the JSON form. `rows` contains at most `limit_rows` rows."""
        return {
            "violations": self.violations,
            "invariants": [
                {"id": finding.invariant.id, "name": finding.invariant.name, "rows": finding.rows}
                for finding in self.findings
            ],
            "accounts": self.accounts,
            "entries": self.entries,
            "seconds": self.seconds,
        }


def verify(engine: sa.Engine, *, limit_rows: int = 20, on_progress: Progress | None = None) -> VerifyReport:
    """Check every invariant and keep at most `limit_rows` violating rows of each.

    It calls `on_progress` with the rows done and an estimate of all rows. Raises what the database raises.
    """
    began = time.monotonic()
    check = Verification(engine, WALKS, limit_rows)
    check.begin(counts_rows=on_progress is not None)
    while check.step():
        if on_progress:
            on_progress(check.rows_done, max(check.rows_done, check.rows_known))
    seconds = round(time.monotonic() - began, 3)
    return VerifyReport(tuple(check.findings.values()), check.accounts, check.entries, seconds)


@dataclass(frozen=True, slots=True)
class AccountReport:
    """The results for one account. `is_sound` is true if no invariant is violated."""

    account_id: str
    user_id: str
    entries: int
    findings: tuple[InvariantResult, ...]

    @property
    def is_sound(self) -> bool:
        return not any(finding.violations for finding in self.findings)

    def as_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        invariants = [
            {"id": found.invariant.id, "name": found.invariant.name, "rows": found.rows}
            for found in self.findings
        ]
        head = {"account_id": self.account_id, "user_id": self.user_id, "is_sound": self.is_sound}
        return head | {"entries": self.entries, "invariants": invariants}


def verify_account(engine: sa.Engine, tenant_id: str, user_id: str, *, limit_rows: int = 20) -> AccountReport:
    """Check one account and its user's wallet in one snapshot, with the invariants of `verify`.

    They cover the chain of entries, totals, lots, holds and limits. Raises TenantMissing, AccountMissing.
    """
    with snapshot(engine) as connection:
        program.tenant(connection, tenant_id)
        account = account_queries.account(connection, tenant_id, user_id)
        if account is None:
            raise AccountMissing(f"tenant {tenant_id}").about(tenant_id, user_id)
        targets = [(ACCOUNTS, account["id"])]
        if wallet := wallets.wallet(connection, tenant_id, user_id):
            targets.append((WALLETS, wallet["wallet_id"]))
        zones, findings = common_zones(connection), []
        for walk, shown_id in targets:
            row_id = parse_id(shown_id)
            chunk = Chunk((tenant_id, UUID(int=row_id.int - 1)), (tenant_id, row_id))
            for invariant in walk.invariants:
                finding = InvariantResult(invariant)
                finding.add(violations(connection, invariant, chunk, limit_rows, zones=zones))
                findings.append(finding)
    return AccountReport(account["id"], user_id, account["version"], tuple(findings))
