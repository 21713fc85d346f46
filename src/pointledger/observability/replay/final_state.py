"""Compares the final state: accounts with their lots, holds, wallets and usage, as decided and as stored.

Workers can keep running. Users whom a later batch has changed are left out.
"""

from collections.abc import Iterable, Iterator
from datetime import date
from itertools import chain, islice
from operator import itemgetter
from typing import Any, NamedTuple
from uuid import UUID

import sqlalchemy as sa

from pointledger.domain.ledger.account import Account
from pointledger.domain.program.limits import DAY, MONTH, WEEK
from pointledger.observability.replay import rows as row_format
from pointledger.observability.replay.compare import pair_by_key
from pointledger.observability.replay.pack import window_of
from pointledger.observability.replay.report import ReplayCheck, ReplayReport
from pointledger.observability.replay.rows import Row
from pointledger.observability.replay.state import SpilledState
from pointledger.storage.invariants.base import FIRST_ID
from pointledger.storage.replay import reads
from pointledger.storage.replay.digests import accounts_with_lot_digests, digest_of_rows

_PAGE = 5_000  # rows in one snapshot; accounts come with their lots
_MOST_DIFFERENCES = 10_000  # in memory


class _Difference(NamedTuple):
    """Two rows that differ, or a row without a counterpart.

    `owner` is a user or an account, or None if all users share the row.
    """

    check: ReplayCheck
    columns: tuple[str, ...]
    kept: Row | None
    decided: Row | None
    owner: object
    shown: tuple[str, ...]  # columns that identify the row


class FinalStateComparison:
    """Compares one tenant's final state, after all of its commands are decided."""

    def __init__(self, engine: sa.Engine, tenant_id: str, batch: int, report: ReplayReport) -> None:
        self._engine = engine
        self._tenant_id = tenant_id
        self._batch = batch
        self._report = report

    def compare(self, spilled: SpilledState) -> None:
        """Report every difference."""
        differences = chain(
            self._accounts(spilled), self._holds(spilled), self._wallets(spilled), self._usage(spilled)
        )
        moved: set[str] = set()
        while some := list(islice(differences, _MOST_DIFFERENCES)):
            users, accounts = self._moved_on()
            moved |= users
            for each in some:
                has_changed = users if each.owner is None else each.owner in users or each.owner in accounts
                if not has_changed:
                    self._report_difference(each)
        self._report.moved_on += len(moved)

    def _moved_on(self) -> tuple[set[str], set[UUID]]:
        """Return the users of later batches, and their accounts."""
        if reads.horizon(self._engine).batch == self._batch:
            return set(), set()
        return reads.moved_on(self._engine, self._tenant_id, self._batch)

    def _report_difference(self, each: _Difference) -> None:
        rows = [
            dict(zip(each.columns, row, strict=True)) if row else None for row in (each.kept, each.decided)
        ]
        known = rows[0] or rows[1] or {}
        about = {"tenant_id": self._tenant_id, **{name: known[name] for name in each.shown}}
        self._report.add(each.check, about, *rows)

    # ------------------------------------------------------------------------------- accounts and lots

    def _accounts(self, spilled: SpilledState) -> Iterator[_Difference]:
        kept = accounts_with_lot_digests(
            self._engine, row_format.ACCOUNT_COLUMNS, row_format.LOT_COLUMNS, self._tenant_id, _PAGE
        )
        decided = ((key.decode(), account) for key, account in spilled.accounts.in_order())
        differing = {UUID(bytes=key) for key, _ in spilled.lots.differing.in_order()}
        open_again: set[UUID] = set()
        for stored, replayed in pair_by_key(kept, decided, lambda stored: stored[0][0], itemgetter(0)):
            account = replayed[1] if replayed else None
            if account:
                spilled.holds.update(account.holds)
            decided_row = row_format.account_row(account) if account else None
            row, digest = stored or (None, None)
            yield from _unequal(
                ReplayCheck.ACCOUNT, row_format.ACCOUNT_COLUMNS, row, decided_row, ("user_id",)
            )
            yield from self._lots(row[_ACCOUNT_ID] if row else None, digest, account, differing, open_again)
        ended = (lot for _, lot in spilled.lots.differing.in_order() if lot.id not in open_again)
        while some := {lot.id: row_format.lot_row(lot) for lot in islice(ended, _PAGE)}:
            yield from self._ended(some)

    def _lots(
        self,
        account_id: UUID | None,
        digest: bytes | None,
        account: Account | None,
        differing: set[UUID],
        open_again: set[UUID],
    ) -> Iterator[_Difference]:
        """Compare the open lots of an account. Lots that end as stored were compared and dropped before."""
        lots = [*account.lots, *account.pending] if account else []
        if differing:
            open_again.update(lot.id for lot in lots if lot.id in differing)
        lots.sort(key=lambda lot: lot.id.int)
        if digest == (digest_of_rows([row_format.lot_row(lot) for lot in lots]) if lots else None):
            return
        kept = self._open_lots(account_id) if account_id and digest else {}
        for lot in lots:
            yield from _unequal(*_LOT, kept.pop(lot.id, None), row_format.lot_row(lot), *_LOT_SHOWN)
        for lot_id, row in kept.items():
            if lot_id not in differing:
                yield from _unequal(*_LOT, row, None, *_LOT_SHOWN)

    def _open_lots(self, account_id: UUID) -> dict[UUID, Row]:
        with reads.utc_snapshot(self._engine) as connection:
            found = reads.open_lots(connection, row_format.LOT_COLUMNS, self._tenant_id, account_id)
        return {row[0]: row for row in found}

    def _ended(self, decided: dict[UUID, Row]) -> Iterator[_Difference]:
        with reads.utc_snapshot(self._engine) as connection:
            found = reads.by_id(connection, "lots", row_format.LOT_COLUMNS, self._tenant_id, list(decided))
        kept = {row[0]: row for row in found}
        for lot_id, row in decided.items():
            yield from _unequal(*_LOT, kept.get(lot_id), row, *_LOT_SHOWN)

    # -------------------------------------------------------------------------- holds, wallets, usage

    def _holds(self, spilled: SpilledState) -> Iterator[_Difference]:
        """Compare the holds. `_accounts` has added the open ones."""
        kept = self._in_order("holds", row_format.HOLD_COLUMNS, (FIRST_ID,))
        decided = (row_format.hold_row(hold) for _, hold in spilled.holds.in_order())
        columns = (*row_format.HOLD_COLUMNS[:-1], "lots")
        for stored, replayed in pair_by_key(kept, decided, itemgetter(0), itemgetter(0)):
            yield from _unequal(
                ReplayCheck.HOLD, columns, stored, replayed, ("id", "account_id"), "account_id"
            )

    def _wallets(self, spilled: SpilledState) -> Iterator[_Difference]:
        kept = self._in_order("wallets", row_format.WALLET_COLUMNS, ("",))
        decided = (row_format.wallet_row(wallet) for _, wallet in spilled.wallets.in_order())
        for stored, replayed in pair_by_key(kept, decided, itemgetter(0), itemgetter(0)):
            yield from _unequal(ReplayCheck.WALLET, row_format.WALLET_COLUMNS, stored, replayed, ("user_id",))

    def _usage(self, spilled: SpilledState) -> Iterator[_Difference]:
        with reads.utc_snapshot(self._engine) as connection:
            closed = reads.last_closed(connection, self._tenant_id)
        shared = self._in_order("shared_usage", row_format.USAGE_COLUMNS[1:], ("", "", date.min))
        own = self._in_order("usage", row_format.USAGE_COLUMNS, ("", "", "", date.min))
        kept = chain((("", *row) for row in shared), own)
        decided = (
            row_format.usage_row(window_of(self._tenant_id, key), used)
            for key, used in spilled.usage.in_order()
        )
        key = itemgetter(slice(4))
        for stored, replayed in pair_by_key(_counted(kept), _counted(decided), key, key):
            if stored is None and replayed and _may_be_pruned(replayed, closed):
                continue
            yield from _unequal(
                ReplayCheck.USAGE, row_format.USAGE_COLUMNS, stored, replayed, row_format.USAGE_COLUMNS[:4]
            )

    def _in_order(self, table: str, columns: tuple[str, ...], first: tuple[Any, ...]) -> Iterator[Row]:
        return reads.all_by_key(self._engine, table, columns, self._tenant_id, first, _PAGE)


_ACCOUNT_ID = row_format.ACCOUNT_COLUMNS.index("id")
_LOT = ReplayCheck.LOT, row_format.LOT_COLUMNS
_LOT_SHOWN = ("id", "account_id", "entry_id"), "account_id"


def _unequal(
    check: ReplayCheck,
    columns: tuple[str, ...],
    kept: Row | None,
    decided: Row | None,
    shown: tuple[str, ...],
    owner: str = "user_id",
) -> Iterator[_Difference]:
    if kept != decided:
        known = kept or decided or ()
        owner_id = known[columns.index(owner)] or None  # None: all users share the row
        yield _Difference(check, columns, kept, decided, owner_id, shown)


def _counted(rows: Iterable[Row]) -> Iterator[Row]:
    """Return the rows that count points or times."""
    return (row for row in rows if row[-2] or row[-1])


def _may_be_pruned(used: Row, closed: date | None) -> bool:
    """Return whether the usage is of a closed window, which the ledger may have pruned."""
    _, _, period, starts_on, _, _ = used
    return closed is not None and period in (DAY, WEEK, MONTH) and starts_on <= closed
