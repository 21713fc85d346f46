"""Turns decided objects into rows with the compared columns."""

from collections.abc import Iterator
from operator import attrgetter
from typing import Any

from pointledger.domain.ledger.book import Book
from pointledger.domain.ledger.holds import Hold
from pointledger.domain.ledger.lots import Lot
from pointledger.domain.program.limits import Usage, Window
from pointledger.storage.ledger.accounts import ACCOUNT
from pointledger.storage.ledger.book import ENTRY, entry_line
from pointledger.storage.ledger.expiry_changes import CHANGE
from pointledger.storage.ledger.holds import HOLD
from pointledger.storage.ledger.lots import LOT
from pointledger.storage.ledger.wallets import WALLET, WALLET_ENTRY

Row = tuple[Any, ...]

# -------------------------------------------------------------------------------- rows that never change

ENTRY_COLUMNS = ENTRY
MOVE_COLUMNS = ("entry_id", "lot_id", "kind", "amount")
WALLET_ENTRY_COLUMNS = WALLET_ENTRY  # the id is the first
WALLET_LINE_COLUMNS = ("entry_id", "side", "currency", "amount")
EXPIRY_CHANGE_COLUMNS = (
    "lot_id",
    "nth",
    *(name for name in CHANGE if name not in ("lot_id", "nth", "tenant_id")),
)
AUDIT_LOG_COLUMNS = ("command_id", "kind", "state", "refusal", "recorded_at", "before::text", "after::text")

_ENTRY_ID = ENTRY_COLUMNS.index("id")
_wallet_entry = attrgetter(*WALLET_ENTRY_COLUMNS)


def entry_rows(book: Book) -> Iterator[Row]:
    return map(entry_line, book.entries)


def entry_order(row: Row) -> int:
    """Return the sort key of entries: their ids."""
    number: int = row[_ENTRY_ID].int
    return number


def move_rows(book: Book) -> Iterator[Row]:
    for move in book.moves:
        yield move.entry_id, move.lot_id, move.kind, move.amount


def move_order(row: Row) -> tuple[int, int, str]:
    """Return the sort key of moves: entry, lot and kind."""
    entry_id, lot_id, kind, _ = row
    return entry_id.int, lot_id.int, kind


def wallet_entry_rows(book: Book) -> Iterator[Row]:
    return map(_wallet_entry, book.wallets.entries)


def wallet_line_rows(book: Book) -> Iterator[Row]:
    for line in book.wallets.lines:
        yield tuple(line[1:])


def expiry_change_rows(book: Book) -> Iterator[Row]:
    for change in book.expiry_changes:
        yield (
            change.lot.id, change.nth, change.lot.account_id, change.command_id, change.cause, change.was,
            change.becomes, change.after_seq, change.recorded_at,
        )  # fmt: skip


# ------------------------------------------------------------------------- rows of the final state

# `next_expiry_at` and `next_activation_at` are bounds that depend on what a batch loaded. I4e checks them.
ACCOUNT_COLUMNS = (
    "user_id",
    *(
        name
        for name in ACCOUNT
        if name not in ("user_id", "tenant_id", "next_expiry_at", "next_activation_at")
    ),
)
LOT_COLUMNS = tuple(name for name in LOT if name != "tenant_id")  # the id is the first
_HELD = """(SELECT string_agg(concat_ws(' ', hl.lot_id, hl.amount, hl.frozen), ',' ORDER BY hl.lot_id)
            FROM hold_lots hl WHERE hl.tenant_id = holds.tenant_id AND hl.hold_id = holds.id) AS lots"""
HOLD_COLUMNS = (*(name for name in HOLD if name != "tenant_id"), _HELD)  # the id is the first
WALLET_COLUMNS = ("user_id", *(name for name in WALLET if name not in ("user_id", "tenant_id")))
USAGE_COLUMNS = ("user_id", "meter", "period", "starts_on", "points", "times")

account_row = attrgetter(*ACCOUNT_COLUMNS)
lot_row = attrgetter(*LOT_COLUMNS)
wallet_row = attrgetter(*WALLET_COLUMNS)
_hold = attrgetter(*(name for name in HOLD if name != "tenant_id"))


def lot_from_row(tenant_id: str, row: Row) -> Lot:
    """Return the lot of a row with `LOT_COLUMNS`."""
    return Lot(**dict(zip(LOT_COLUMNS, row, strict=True)), tenant_id=tenant_id)


def hold_row(hold: Hold) -> Row:
    lots = sorted((held.lot.id, held.amount, held.frozen) for held in hold.lots)
    return (*_hold(hold), ",".join(f"{lot_id} {amount} {frozen}" for lot_id, amount, frozen in lots))


def usage_row(window: Window, used: Usage) -> Row:
    return window.user_id, window.meter, window.period, window.starts_on, used.points, used.times
