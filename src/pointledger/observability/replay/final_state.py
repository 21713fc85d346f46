"""Compares the final state: accounts with their lots, holds, wallets and usage, as decided and as stored.

Workers may go on meanwhile. Whom they have touched behind the last batch that was replayed is left out.
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
from pointledger.observability.replay import rows as made
from pointledger.observability.replay.compare import pairs
from pointledger.observability.replay.pack import window_of
from pointledger.observability.replay.report import Check, ReplayReport
from pointledger.observability.replay.rows import Row
from pointledger.observability.replay.state import Shelves
from pointledger.storage.invariants.base import FIRST_ID
from pointledger.storage.replay import reads
from pointledger.storage.replay.digests import accounts_in_order, of_rows

_PAGE = 5_000  # rows in one snapshot; of accounts, with their lots
_AT_ONCE = 10_000  # differences in memory


class _Difference(NamedTuple):
    """Rows of these columns that differ, or one that has no other. `owner`: a user or an account; None: all
    users share it."""

    check: Check
    columns: tuple[str, ...]
    kept: Row | None
    decided: Row | None
    owner: object
    shown: tuple[str, ...]  # columns that identify the row


class Standing:
    """Compares one tenant's final state, after all of its commands are decided."""

    def __init__(self, engine: sa.Engine, tenant_id: str, batch: int, report: ReplayReport) -> None:
        self._engine = engine
        self._tenant_id = tenant_id
        self._batch = batch
        self._report = report

    def compare(self, shelves: Shelves) -> None:
        """Report every difference."""
        differing = chain(
            self._accounts(shelves), self._holds(shelves), self._wallets(shelves), self._usage(shelves)
        )
        moved: set[str] = set()
        while some := list(islice(differing, _AT_ONCE)):
            users, accounts = self._moved_on()
            moved |= users
            for each in some:
                is_moving = users if each.owner is None else each.owner in users or each.owner in accounts
                if not is_moving:
                    self._differ(each)
        self._report.moved_on += len(moved)

    def _moved_on(self) -> tuple[set[str], set[UUID]]:
        """Return the users, and their accounts, that workers have changed since."""
        if reads.horizon(self._engine).batch == self._batch:
            return set(), set()
        return reads.moved_on(self._engine, self._tenant_id, self._batch)

    def _differ(self, each: _Difference) -> None:
        rows = [
            dict(zip(each.columns, row, strict=True)) if row else None for row in (each.kept, each.decided)
        ]
        known = rows[0] or rows[1] or {}
        about = {"tenant_id": self._tenant_id, **{name: known[name] for name in each.shown}}
        self._report.add(each.check, about, *rows)

    # ------------------------------------------------------------------------------- accounts and lots

    def _accounts(self, shelves: Shelves) -> Iterator[_Difference]:
        kept = accounts_in_order(self._engine, made.ACCOUNTS, made.LOTS, self._tenant_id, _PAGE)
        decided = ((key.decode(), account) for key, account in shelves.accounts.in_order())
        unlike = {UUID(bytes=key) for key, _ in shelves.lots.unlike.in_order()}
        alive: set[UUID] = set()
        for one, other in pairs(kept, decided, lambda one: one[0][0], itemgetter(0)):
            account = other[1] if other else None
            if account:
                shelves.holds.update(account.holds)
            decided_row = made.account(account) if account else None
            row, digest = one or (None, None)
            yield from _unequal(Check.ACCOUNT, made.ACCOUNTS, row, decided_row, ("user_id",))
            yield from self._lots(row[_ACCOUNT_ID] if row else None, digest, account, unlike, alive)
        ended = (lot for _, lot in shelves.lots.unlike.in_order() if lot.id not in alive)
        while some := {lot.id: made.lot(lot) for lot in islice(ended, _PAGE)}:
            yield from self._ended(some)

    def _lots(
        self,
        account_id: UUID | None,
        digest: bytes | None,
        account: Account | None,
        unlike: set[UUID],
        alive: set[UUID],
    ) -> Iterator[_Difference]:
        """Compare the open lots. Ended lots that are stored as decided are dropped."""
        lots = [*account.lots, *account.pending] if account else []
        if unlike:
            alive.update(lot.id for lot in lots if lot.id in unlike)
        lots.sort(key=lambda lot: lot.id.int)
        if digest == (of_rows([made.lot(lot) for lot in lots]) if lots else None):
            return
        kept = self._living(account_id) if account_id and digest else {}
        for lot in lots:
            yield from _unequal(*_LOT, kept.pop(lot.id, None), made.lot(lot), *_LOT_SHOWN)
        for lot_id, row in kept.items():
            if lot_id not in unlike:
                yield from _unequal(*_LOT, row, None, *_LOT_SHOWN)

    def _living(self, account_id: UUID) -> dict[UUID, Row]:
        with reads.reading(self._engine) as connection:
            found = reads.living_lots(connection, made.LOTS, self._tenant_id, account_id)
        return {row[0]: row for row in found}

    def _ended(self, decided: dict[UUID, Row]) -> Iterator[_Difference]:
        with reads.reading(self._engine) as connection:
            found = reads.by_id(connection, "lots", made.LOTS, self._tenant_id, list(decided))
        kept = {row[0]: row for row in found}
        for lot_id, row in decided.items():
            yield from _unequal(*_LOT, kept.get(lot_id), row, *_LOT_SHOWN)

    # ------------------------------------------------------------------------------------- the others

    def _holds(self, shelves: Shelves) -> Iterator[_Difference]:
        """Compare the holds. Open holds arrived with their accounts."""
        kept = self._in_order("holds", made.HOLDS, (FIRST_ID,))
        decided = (made.hold(hold) for _, hold in shelves.holds.in_order())
        columns = (*made.HOLDS[:-1], "lots")
        for one, other in pairs(kept, decided, itemgetter(0), itemgetter(0)):
            yield from _unequal(Check.HOLD, columns, one, other, ("id", "account_id"), "account_id")

    def _wallets(self, shelves: Shelves) -> Iterator[_Difference]:
        kept = self._in_order("wallets", made.WALLETS, ("",))
        decided = (made.wallet(wallet) for _, wallet in shelves.wallets.in_order())
        for one, other in pairs(kept, decided, itemgetter(0), itemgetter(0)):
            yield from _unequal(Check.WALLET, made.WALLETS, one, other, ("user_id",))

    def _usage(self, shelves: Shelves) -> Iterator[_Difference]:
        with reads.reading(self._engine) as connection:
            closed = reads.last_closed(connection, self._tenant_id)
        shared = self._in_order("shared_usage", made.USAGE[1:], ("", "", date.min))
        own = self._in_order("usage", made.USAGE, ("", "", "", date.min))
        kept = chain((("", *row) for row in shared), own)
        decided = (
            made.usage(window_of(self._tenant_id, key), used) for key, used in shelves.usage.in_order()
        )
        key = itemgetter(slice(4))
        for one, other in pairs(_counted(kept), _counted(decided), key, key):
            if one is None and other and _may_be_forgotten(other, closed):
                continue
            yield from _unequal(Check.USAGE, made.USAGE, one, other, made.USAGE[:4])

    def _in_order(self, table: str, columns: tuple[str, ...], first: tuple[Any, ...]) -> Iterator[Row]:
        return reads.in_order(self._engine, table, columns, self._tenant_id, first, _PAGE)


_ACCOUNT_ID = made.ACCOUNTS.index("id")
_LOT = Check.LOT, made.LOTS
_LOT_SHOWN = ("id", "account_id", "entry_id"), "account_id"


def _unequal(
    check: Check,
    columns: tuple[str, ...],
    kept: Row | None,
    decided: Row | None,
    shown: tuple[str, ...],
    owner: str = "user_id",
) -> Iterator[_Difference]:
    if kept != decided:
        known = kept or decided or ()
        whose = known[columns.index(owner)] or None  # None: all users share it
        yield _Difference(check, columns, kept, decided, whose, shown)


def _counted(rows: Iterable[Row]) -> Iterator[Row]:
    """Return the counters that count anything."""
    return (row for row in rows if row[-2] or row[-1])


def _may_be_forgotten(used: Row, closed: date | None) -> bool:
    """Return whether the window has ended, so it may have been pruned."""
    _, _, period, starts_on, _, _ = used
    return closed is not None and period in (DAY, WEEK, MONTH) and starts_on <= closed
