"""Decides the commands that change the expiry of lots: extensions, and a changed policy for existing lots.

Each change has a record (`ExpiryChange`). Lots without points keep their expiry; frozen and pending points
follow their lot. Due lots expire before a change applies, so no command brings expired points back.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from pointledger.domain.commands import ApplyExpiryPolicy, ExtendExpiry
from pointledger.domain.commands.outcomes import Applied, Decision, Reason, Refused
from pointledger.domain.decisions.guards import account_for, closed
from pointledger.domain.ledger.account import Account
from pointledger.domain.ledger.book import Book
from pointledger.domain.ledger.lifecycle import expect_next_expiry
from pointledger.domain.ledger.lots import ExpiryChange, Lot, consumption_order
from pointledger.domain.ledger.outcome_data import applied
from pointledger.domain.program.expiry_policy import Expiry
from pointledger.domain.program.tenant import Tenant
from pointledger.domain.values.fields import LATEST
from pointledger.ids import show_id

_SHOWN_IN_OUTCOME = 20  # lots: outcomes are never deleted, and the records list all changes


def extend_expiry(book: Book, tenant: Tenant, command: ExtendExpiry, at: datetime) -> Decision:
    """Extend the expiry of the selected lots. A lot that already expires later does not change."""
    account = account_for(book, tenant, command.user_id, closed)
    if isinstance(account, Refused):
        return account
    chosen = _chosen(account, command)
    if isinstance(chosen, Refused):
        return chosen

    changes = []
    for lot in chosen:
        expires_at = _extended(tenant, lot, command)
        if _is_later(expires_at, lot.expires_at):
            changes.append(_move(book, account, lot, expires_at, "extend"))
    return _moved(book, account, changes, len(chosen))


def apply_expiry_policy(book: Book, tenant: Tenant, command: ApplyExpiryPolicy, at: datetime) -> Decision:
    """Change the expiry of each lot that has not changed since the command was computed.

    The new expiry is never earlier than tomorrow in the tenant's calendar.
    """
    account = account_for(book, tenant, command.user_id, closed)
    if isinstance(account, Refused):
        return account

    lots = {lot.id: lot for lot in (*account.lots, *account.pending)}
    tomorrow = tenant.notice_ends(max(at, account.as_of), days=1)
    changes = []
    for wanted in command.lots:
        lot = lots.get(wanted.lot_id)
        if lot is None or (lot.expiry_changes, lot.expires_at) == (wanted.changes, wanted.expires_at):
            continue
        too_soon = wanted.expires_at is not None and wanted.expires_at < tomorrow
        if lot.expiry_changes == wanted.changes and not too_soon:
            changes.append(_move(book, account, lot, wanted.expires_at, "policy"))
    return _moved(book, account, changes, len(command.lots))


def _chosen(account: Account, command: ExtendExpiry) -> list[Lot] | Refused:
    lots = [*account.lots, *account.pending]
    if command.lots is None:
        before = command.expiring_before
        assert before, "the command names lots or a moment"
        return [lot for lot in lots if lot.expires_at is not None and lot.expires_at < before]
    wanted = set(command.lots)
    found = [lot for lot in lots if lot.id in wanted or lot.entry_id in wanted]
    known: set[UUID] = {each for lot in found for each in (lot.id, lot.entry_id)}
    missing = next((each for each in command.lots if each not in known), None)
    if missing:
        return Refused(
            Reason.RELATED_NOT_FOUND,
            f"the account has no lot with points left of {show_id(missing)}",
        )
    return found


def _extended(tenant: Tenant, lot: Lot, command: ExtendExpiry) -> datetime | None:
    if command.never:
        return None
    if command.expires_at is not None or lot.expires_at is None:
        return command.expires_at
    if lot.expires_at >= LATEST:
        return lot.expires_at  # the range of moments ends here, so the lot cannot live longer
    return tenant.expires_at(lot.expires_at, Expiry(days=command.days, months=command.months))


def _is_later(one: datetime | None, other: datetime | None) -> bool:
    """Return whether one expiry is later than the other, where None means never."""
    if one is None or other is None:
        return one is None and other is not None
    return one > other


def _move(book: Book, account: Account, lot: Lot, expires_at: datetime | None, cause: str) -> ExpiryChange:
    assert book.command_id, "only a command moves an expiry"
    lot.expiry_changes += 1
    change = ExpiryChange(
        lot,
        lot.expiry_changes,
        book.command_id,
        cause,
        was=lot.expires_at,
        becomes=expires_at,
        after_seq=account.version,
        recorded_at=book.recorded_at,
    )
    lot.expires_at = expires_at
    book.expiry_changes.append(change)
    return change


def _moved(book: Book, account: Account, changes: list[ExpiryChange], requested: int) -> Applied:
    """Restore the order of the account's lots, and return the outcome."""
    if changes:
        account.lots = sorted(account.lots, key=consumption_order)
        expect_next_expiry(account)
        account.updated_at = max(account.updated_at, book.recorded_at)
    lines: list[dict[str, Any]] = [
        {"lot_id": change.lot.id, "expires_at_before": change.was, "expires_at": change.becomes}
        for change in changes[:_SHOWN_IN_OUTCOME]
    ]
    return applied(
        account,
        [],
        lots_moved=len(changes),
        points_moved=sum(change.lot.remaining + change.lot.frozen for change in changes),
        lots_unchanged=requested - len(changes),
        lots=lines,
    )
