"""Checks the invariants of a book."""

from typing import Any, NamedTuple

from pointledger.domain.ledger.account import Account
from pointledger.domain.ledger.book import Book
from pointledger.domain.ledger.entry import Entry
from pointledger.domain.ledger.lots import consumption_order

DIRECTION = {"restore": -1, "renew": 0}  # of lot moves; other kinds take points


class Mark(NamedTuple):
    """The sizes of a book's records at one moment."""

    entries: int
    lots: int
    accounts: set[tuple[str, str]]
    usage: str
    clocks: dict[tuple[str, str], Any]


def mark(book: Book) -> Mark:
    used = {window: (usage.points, usage.times) for window, usage in book.usage.items() if usage.times}
    clocks = {key: account.as_of for key, account in book.accounts.items()}
    return Mark(len(book.entries), len(book.new_lots), set(book.accounts), repr(used), clocks)


def assert_only_what_was_due_has_changed(book: Book, before: Mark) -> None:
    after = mark(book)
    assert (after.accounts, after.usage) == (before.accounts, before.usage)
    released = {entry.id for entry in book.entries[before.entries :] if entry.subtype == "timeout"}
    assert all(lot.entry_id in released for lot in book.new_lots[before.lots :])
    for entry in book.entries[before.entries :]:
        if entry.subtype in ("timeout", "activation"):
            continue
        assert (entry.type, entry.subtype) == ("expire", "scheduled")
        assert entry.expires_at is not None
        assert entry.expires_at <= entry.occurred_at


def assert_sound(book: Book, account: Account) -> None:
    """Check the invariants of an account: the specification's two identities and their consequences."""
    assert account.balance + account.frozen_balance + account.pending_balance - account.debt == (
        account.total_earned
        + account.total_transferred_in
        + account.total_adjusted_in
        + account.total_refunded
        - account.total_spent
        - account.total_transferred_out
        - account.total_adjusted_out
        - account.expired_points
        - account.total_clawed_back
    )
    assert account.balance == sum(lot.remaining for lot in account.lots)
    assert account.frozen_balance == sum(lot.frozen for lot in account.lots)
    assert account.pending_balance == sum(lot.remaining for lot in account.pending)
    released = sum(e.amount for e in book.entries if e.account_id == account.id and e.type == "unfreeze")
    assert 0 <= account.balance <= 150 + account.total_refunded + released
    assert account.debt == 0 or account.balance == 0
    assert account.lots == sorted(account.lots, key=consumption_order)

    entries = [entry for entry in book.entries if entry.account_id == account.id]
    assert_entries_sound(book, account, entries)
    assert_lots_sound(book, account)
    assert_holds_sound(account, entries)


def assert_entries_sound(book: Book, account: Account, entries: list[Entry]) -> None:
    """Check that an account's entries are a chain, and that no entry is reversed beyond its amount."""
    assert [entry.seq for entry in entries] == list(range(1, account.version + 1))
    balance = frozen = 0
    for entry in entries:
        balance += entry.delta
        frozen += entry.delta_frozen
        change = entry.delta + entry.delta_frozen + entry.delta_pending - entry.delta_debt
        within = entry.subtype == "activation" or entry.type in ("freeze", "unfreeze")
        assert change == 0 if within else abs(change) == entry.amount
        if within:
            assert entry.amount == abs(entry.delta_frozen or entry.delta_pending)
        assert entry.amount > 0
        assert entry.unsettled == 0
        assert (entry.balance_after, entry.frozen_after) == (balance, frozen)
    assert (balance, frozen) == (account.balance, account.frozen_balance)
    for entry in entries:
        undone = [
            each.amount
            for each in book.entries
            if each.related_id == entry.id and each.subtype != "activation"
        ]
        assert sum(undone) <= entry.amount


def assert_lots_sound(book: Book, account: Account) -> None:
    """Check that lots match their moves, states and the account's next expiry."""
    own = [lot for lot in book.new_lots if lot.account_id == account.id]
    assert all(0 <= min(lot.remaining, lot.frozen) <= lot.remaining + lot.frozen <= lot.amount for lot in own)
    assert all((lot.remaining + lot.frozen > 0) == (lot.state in ("active", "pending")) for lot in own)
    assert {lot.id for lot in account.lots} == {lot.id for lot in own if lot.state == "active"}
    assert {lot.id for lot in account.pending} == {lot.id for lot in own if lot.state == "pending"}
    assert all(not lot.activates_at or lot.activates_at > account.as_of for lot in account.pending)
    for lot in own:
        moved = [DIRECTION.get(move.kind, 1) * move.amount for move in book.moves if move.lot_id == lot.id]
        assert lot.amount - lot.remaining - lot.frozen == sum(moved)
        gone = [move.amount for move in book.moves if move.lot_id == lot.id and move.kind == "expire"]
        assert lot.expired == sum(gone)

    soonest = min((lot.expires_at for lot in account.lots if lot.expires_at and lot.remaining), default=None)
    if soonest is not None:
        assert account.next_expiry_at is not None
        assert account.next_expiry_at <= soonest


def assert_holds_sound(account: Account, entries: list[Entry]) -> None:
    """Check that holds match frozen points, states and entries."""
    assert account.frozen_balance == sum(hold.held for hold in account.holds.values())
    frozen = dict.fromkeys((lot.id for lot in account.lots), 0)
    for hold in account.holds.values():
        assert (hold.held > 0) == hold.is_open
        assert hold.held == sum(held.frozen for held in hold.lots)
        assert hold.amount == sum(held.amount for held in hold.lots)
        for held in hold.lots:
            frozen[held.lot.id] = frozen.get(held.lot.id, 0) + held.frozen
        of_it = [entry for entry in entries if entry.related_id == hold.id]
        assert hold.captured == sum(entry.amount for entry in of_it if entry.subtype == "capture")
        assert hold.released == sum(entry.amount for entry in of_it if entry.type == "unfreeze")
        assert sum(entry.subtype == "capture" for entry in of_it) <= 1
    assert all(lot.frozen == frozen[lot.id] for lot in account.lots)
