"""Computes the read set of a batch: the rows that its decisions need, before the engine reads them."""

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from pointledger.domain.commands import (
    ApplyExpiryPolicy,
    ApplyRule,
    CancelPending,
    Clawback,
    ConfirmDeduction,
    Earn,
    EraseUser,
    ExtendExpiry,
    SetStatus,
    Spend,
    Unfreeze,
)
from pointledger.domain.commands.accepted import Accepted
from pointledger.domain.decisions.decide import moment_of
from pointledger.domain.decisions.reversals import windows_of
from pointledger.domain.ledger.book import Book
from pointledger.domain.program.limits import EARN_METER, SPEND_METER, Window, daily_window, rule_windows
from pointledger.domain.program.tenant import Tenant
from pointledger.domain.values.fields import MAX_AMOUNT


@dataclass(slots=True)
class AccountReadSet:
    """How far an account's clock can advance, how many points can leave it, and the holds that it needs."""

    until: datetime
    debit: int = 0
    holds: set[UUID] = field(default_factory=set)  # by their ids
    release: int = 0  # points of the oldest holds
    pending: bool = False  # whether all pending lots are needed


@dataclass(slots=True)
class ReadSet:
    """The accounts and windows that a batch reads."""

    accounts: dict[tuple[str, str], AccountReadSet] = field(default_factory=dict)
    windows: set[Window] = field(default_factory=set)


def read_set_of(batch: list[Accepted], book: Book) -> ReadSet:
    """Compute the read set. The book has tenants, rules, accounts with their clocks, and reversed entries."""
    read_set = ReadSet()
    for accepted in batch:
        command = accepted.command
        tenant = book.tenants.get(command.tenant_id)
        if tenant is None:
            continue
        at = moment_of(book, tenant, accepted)
        need = _extend(read_set, book, (command.tenant_id, command.user_id), at)
        if windows := windows_of_command(book, tenant, accepted, at):
            read_set.windows.update(windows)
        if isinstance(command, ApplyRule | Earn):
            continue  # they take nothing from the account and touch no hold
        for user_id in command.users[1:]:
            _extend(read_set, book, (command.tenant_id, user_id), at)
        need.debit += command.debit + _clawed(book, accepted)
        if isinstance(command, EraseUser) or (isinstance(command, SetStatus) and command.status == "closed"):
            need.pending = True
        if isinstance(command, ExtendExpiry | ApplyExpiryPolicy):
            need.pending, need.release = True, MAX_AMOUNT  # all pending lots, and the lots of every hold
        if isinstance(command, Unfreeze | ConfirmDeduction):
            if command.hold_id:
                need.holds.add(command.hold_id)
            else:
                need.release = min(need.release + (command.amount or 0), MAX_AMOUNT)
    return read_set


def _extend(read_set: ReadSet, book: Book, key: tuple[str, str], at: datetime) -> AccountReadSet:
    known = read_set.accounts.get(key)
    if known is None:
        account = book.accounts.get(key)
        known = read_set.accounts[key] = AccountReadSet(account.as_of if account else at)
    known.until = max(known.until, at)
    return known


def _clawed(book: Book, accepted: Accepted) -> int:
    """Return the most that a clawback can take: the points left of the entry that it names."""
    command = accepted.command
    if not isinstance(command, Clawback):
        return 0
    earned = book.reversibles.get((command.tenant_id, command.related_id))
    return earned.left if earned else 0


def windows_of_command(book: Book, tenant: Tenant, accepted: Accepted, at: datetime) -> list[Window]:
    """Return the windows that a decision can read. The entry that it reverses is in the book."""
    command = accepted.command
    found = []
    if isinstance(command, ApplyRule):
        for rule in book.rules_of(tenant).for_event(command.event_type, at):
            found += [window for _, window in rule_windows(tenant, command.user_id, rule, at)]
    if isinstance(command, ApplyRule | Earn) and tenant.max_earn_per_day is not None:
        found.append(daily_window(tenant, command.user_id, EARN_METER, at))
    if isinstance(command, Spend) and tenant.max_spend_per_day is not None:
        found.append(daily_window(tenant, command.user_id, SPEND_METER, at))
    if isinstance(command, Clawback | CancelPending):
        earned = book.reversibles.get((command.tenant_id, command.related_id))
        found += windows_of(book, tenant, command.user_id, earned, at) if earned else []
    return found
