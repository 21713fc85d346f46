"""Verifies that the ledger adds up, at any time and while workers apply commands.

It runs the queries that must find nothing (`storage/invariants`), table by table and chunk by chunk. Each
chunk is read in one bounded snapshot, so a concurrent command is seen whole or not yet. It takes no locks and
stores nothing.

It cannot check the order in which commands were applied. Concurrent acceptances may take either order, and a
retried dead command leaves no trace. It also does not check decisions: `replay` makes them again.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from pointledger.domain.values.json_values import plain
from pointledger.errors import AccountMissing
from pointledger.ids import parse_id
from pointledger.storage.invariants.accounts import ACCOUNTS
from pointledger.storage.invariants.base import (
    ENTRIES_KEY,
    Chunk,
    Invariant,
    Violations,
    Walk,
    next_chunk,
    size,
    snapshot,
    violations,
)
from pointledger.storage.invariants.commands import ALIASES, CALLBACKS, FAILURES, JOURNAL, PENDING
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
    ALIASES, AUDIT_LOG, ERASURES, JOB_RUNS, SHARED_USAGE, OUTBOX, CALLBACKS,
)  # fmt: skip
INVARIANTS = (*ONCE, *(invariant for walk in WALKS for invariant in walk.invariants))

Progress = Callable[[int, int], None]


@dataclass(slots=True)
class InvariantResult:
    """An invariant, the number of rows that violate it, and the first of them."""

    invariant: Invariant
    violations: int = 0
    rows: list[dict[str, Any]] = field(default_factory=list)

    def add(self, found: Violations) -> None:
        self.violations += found.count
        self.rows += [{name: plain(value) for name, value in row.items()} for row in found.rows]


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
    return _Verification(engine, limit_rows, on_progress).run()


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
            raise AccountMissing(f"{user_id} of {tenant_id}")
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


class _Verification:
    """One run of `verify`."""

    def __init__(self, engine: sa.Engine, limit_rows: int, on_progress: Progress | None) -> None:
        self._engine = engine
        self._limit_rows = limit_rows
        self._on_progress = on_progress
        ordered = sorted(INVARIANTS, key=_sort_key)
        self._findings = {invariant.id: InvariantResult(invariant) for invariant in ordered}
        self._zones: list[str] = []
        self._done = dict.fromkeys((walk.table for walk in WALKS), 0)
        self._all_rows = 0
        self._entries = 0

    def run(self) -> VerifyReport:
        began = time.monotonic()
        with snapshot(self._engine) as connection:
            self._zones = common_zones(connection)
            self._check(connection, ONCE, Chunk((), ()))
        if self._on_progress:
            self._all_rows = sum(self._size_of(walk) for walk in WALKS)
        for walk in WALKS:
            self._walk(walk)
        seconds = round(time.monotonic() - began, 3)
        return VerifyReport(
            tuple(self._findings.values()), self._done[ACCOUNTS.table], self._entries, seconds
        )

    def _size_of(self, walk: Walk) -> int:
        with snapshot(self._engine) as connection:
            return size(connection, walk.table, walk.key, Chunk(walk.first, walk.last))

    def _walk(self, walk: Walk) -> None:
        """Check a table chunk by chunk. Rows that commit behind the current chunk wait for the next run."""
        after = walk.first
        while after != walk.last:
            with snapshot(self._engine) as connection:
                chunk = next_chunk(connection, walk, after)
                self._check(connection, walk.invariants, chunk)
                self._count(connection, walk, chunk)
            after = chunk.to

    def _check(self, connection: sa.Connection, invariants: tuple[Invariant, ...], chunk: Chunk) -> None:
        for invariant in invariants:
            finding = self._findings[invariant.id]
            room = self._limit_rows - len(finding.rows)
            finding.add(violations(connection, invariant, chunk, room, zones=self._zones))

    def _count(self, connection: sa.Connection, walk: Walk, chunk: Chunk) -> None:
        self._done[walk.table] += size(connection, walk.table, walk.key, chunk)
        if walk.table == ACCOUNTS.table:
            self._entries += size(connection, "entries", ENTRIES_KEY, chunk)
        if self._on_progress:
            done = sum(self._done.values())
            self._on_progress(done, max(done, self._all_rows))


def _sort_key(invariant: Invariant) -> tuple[str, int, str]:
    """Sort I2 before I11."""
    number = invariant.id[1:].rstrip("abcdef")
    return invariant.id[0], int(number), invariant.id
