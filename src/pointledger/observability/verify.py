"""The audit: proves, at any moment and while workers apply commands, that the ledger adds up.

It asks the queries that must find nothing (`storage/invariants*.py`), in bounded snapshots, table after
table, chunk after chunk; it locks nothing and keeps only what it found. What it compares is of one snapshot
always, so commands that are applied meanwhile are seen whole or not at all.

Not asked, for the database alone cannot tell: whether commands were applied in the order of their acceptance.
Concurrent acceptances may take either order, and a dead command that was retried leaves no trace of it. Nor
whether each decision was right: for that they are decided again (`replays`).
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
    Offences,
    Walk,
    next_chunk,
    offences,
    size,
    snapshot,
)
from pointledger.storage.invariants.commands import ALIASES, CALLBACKS, FAILURES, JOURNAL, PENDING
from pointledger.storage.invariants.erasures import ERASURES
from pointledger.storage.invariants.expiry import EXPIRY_CHANGES
from pointledger.storage.invariants.holds import HOLDS
from pointledger.storage.invariants.limits import SHARED_USAGE, common_zones
from pointledger.storage.invariants.lots import LOTS, MOVES
from pointledger.storage.invariants.outbox import OUTBOX
from pointledger.storage.invariants.outcomes import OUTCOMES
from pointledger.storage.invariants.tables import ACTS, JOB_RUNS, ONCE
from pointledger.storage.invariants.wallets import WALLET_LINES, WALLETS
from pointledger.storage.ledger import program
from pointledger.storage.queries import accounts as account_queries
from pointledger.storage.queries import wallets

WALKS = (
    ACCOUNTS, LOTS, MOVES, EXPIRY_CHANGES, HOLDS, WALLETS, WALLET_LINES, JOURNAL, OUTCOMES, PENDING, FAILURES,
    ALIASES, ACTS, ERASURES, JOB_RUNS, SHARED_USAGE, OUTBOX, CALLBACKS,
)  # fmt: skip
INVARIANTS = (*ONCE, *(invariant for walk in WALKS for invariant in walk.invariants))

Progress = Callable[[int, int], None]


@dataclass(slots=True)
class Finding:
    """An invariant and what belies it: how many rows in all, and the first of them."""

    invariant: Invariant
    violations: int = 0
    rows: list[dict[str, Any]] = field(default_factory=list)

    def add(self, found: Offences) -> None:
        self.violations += found.count
        self.rows += [{name: plain(value) for name, value in row.items()} for row in found.rows]


@dataclass(frozen=True, slots=True)
class AuditReport:
    """What the audit found. `accounts` and `entries`: how many it has checked."""

    findings: tuple[Finding, ...]
    accounts: int
    entries: int
    seconds: float

    @property
    def violations(self) -> int:
        """All offending rows, also those that are not shown."""
        return sum(finding.violations for finding in self.findings)

    def as_json(self) -> dict[str, Any]:
        """The form in which every door gives it; `rows` is cut off at `limit_rows`."""
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


def audit(engine: sa.Engine, *, limit_rows: int = 20, on_progress: Progress | None = None) -> AuditReport:
    """Checks every invariant. `on_progress` is told the rows done and, as far as known, all rows.

    At most `limit_rows` offending rows are kept per invariant. Raises what the database raises.
    """
    return _Audit(engine, limit_rows, on_progress).run()


@dataclass(frozen=True, slots=True)
class Integrity:
    """What was found of one account: `is_sound` where nothing belies an invariant."""

    account_id: str
    user_id: str
    entries: int
    findings: tuple[Finding, ...]

    @property
    def is_sound(self) -> bool:
        return not any(finding.violations for finding in self.findings)

    def as_json(self) -> dict[str, Any]:
        """The form in which every door gives it."""
        invariants = [
            {"id": found.invariant.id, "name": found.invariant.name, "rows": found.rows}
            for found in self.findings
        ]
        head = {"account_id": self.account_id, "user_id": self.user_id, "is_sound": self.is_sound}
        return head | {"entries": self.entries, "invariants": invariants}


def integrity(engine: sa.Engine, tenant_id: str, user_id: str, *, limit_rows: int = 20) -> Integrity:
    """Checks one account: its chain of before, after and seq, its totals, lots, holds and limits, and the
    user's wallet; what the audit asks of all accounts, of one moment. Raises TenantMissing, AccountMissing.
    """
    with snapshot(engine) as connection:
        program.tenant(connection, tenant_id)
        account = account_queries.account(connection, tenant_id, user_id)
        if account is None:
            raise AccountMissing(f"{user_id} of {tenant_id}")
        things = [(ACCOUNTS, account["id"])]
        if wallet := wallets.wallet(connection, tenant_id, user_id):
            things.append((WALLETS, wallet["wallet_id"]))
        zones, findings = common_zones(connection), []
        for walk, shown_id in things:
            here = parse_id(shown_id)
            chunk = Chunk((tenant_id, UUID(int=here.int - 1)), (tenant_id, here))
            for invariant in walk.invariants:
                finding = Finding(invariant)
                finding.add(offences(connection, invariant, chunk, limit_rows, zones=zones))
                findings.append(finding)
    return Integrity(account["id"], user_id, account["version"], tuple(findings))


class _Audit:
    """One audit under way."""

    def __init__(self, engine: sa.Engine, limit_rows: int, on_progress: Progress | None) -> None:
        self._engine = engine
        self._limit_rows = limit_rows
        self._on_progress = on_progress
        self._findings = {invariant.id: Finding(invariant) for invariant in sorted(INVARIANTS, key=_place)}
        self._zones: list[str] = []
        self._done = dict.fromkeys((walk.table for walk in WALKS), 0)
        self._all_rows = 0
        self._entries = 0

    def run(self) -> AuditReport:
        began = time.monotonic()
        with snapshot(self._engine) as connection:
            self._zones = common_zones(connection)
            self._ask(connection, ONCE, Chunk((), ()))
        if self._on_progress:
            self._all_rows = sum(self._size_of(walk) for walk in WALKS)
        for walk in WALKS:
            self._walk(walk)
        seconds = round(time.monotonic() - began, 3)
        return AuditReport(tuple(self._findings.values()), self._done[ACCOUNTS.table], self._entries, seconds)

    def _size_of(self, walk: Walk) -> int:
        with snapshot(self._engine) as connection:
            return size(connection, walk.table, walk.key, Chunk(walk.first, walk.last))

    def _walk(self, walk: Walk) -> None:
        """The table to its end. Rows that appear behind the chunk that is looked at are left to the next
        audit: they commit whole, and a table that grows as fast as it is read must not hold this one."""
        after = walk.first
        while after != walk.last:
            with snapshot(self._engine) as connection:
                chunk = next_chunk(connection, walk, after)
                self._ask(connection, walk.invariants, chunk)
                self._count(connection, walk, chunk)
            after = chunk.to

    def _ask(self, connection: sa.Connection, invariants: tuple[Invariant, ...], chunk: Chunk) -> None:
        for invariant in invariants:
            finding = self._findings[invariant.id]
            room = self._limit_rows - len(finding.rows)
            finding.add(offences(connection, invariant, chunk, room, zones=self._zones))

    def _count(self, connection: sa.Connection, walk: Walk, chunk: Chunk) -> None:
        self._done[walk.table] += size(connection, walk.table, walk.key, chunk)
        if walk.table == ACCOUNTS.table:
            self._entries += size(connection, "entries", ENTRIES_KEY, chunk)
        if self._on_progress:
            done = sum(self._done.values())
            self._on_progress(done, max(done, self._all_rows))


def _place(invariant: Invariant) -> tuple[str, int, str]:
    """I2 comes before I11."""
    number = invariant.id[1:].rstrip("abcdef")
    return invariant.id[0], int(number), invariant.id
