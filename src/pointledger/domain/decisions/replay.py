"""Replays the decisions about commands, in the recorded order. Pure.

The input is the commands and the versions in force; the output is the decisions and a tenant's state. Each
batch is decided as a batch, like the first time, so ids come out the same. `observability.replay` reads the
commands and compares the result.
"""

from collections import defaultdict
from collections.abc import MutableMapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import NamedTuple
from uuid import UUID

from pointledger.domain.commands import ConfirmDeduction, Unfreeze
from pointledger.domain.commands.accepted import Accepted
from pointledger.domain.commands.outcomes import Decision
from pointledger.domain.decisions.audit import AuditRecord, decide_audited
from pointledger.domain.decisions.reversals import EARNED
from pointledger.domain.ledger.account import Account
from pointledger.domain.ledger.book import Book
from pointledger.domain.ledger.holds import Hold
from pointledger.domain.ledger.lots import Lot
from pointledger.domain.ledger.reversible import Reversible, Share
from pointledger.domain.ledger.wallets import Wallet
from pointledger.domain.program.limits import SharedUsage, Usage, Window
from pointledger.domain.program.matching import Match
from pointledger.domain.program.rules import Rules
from pointledger.domain.program.tenant import Tenant
from pointledger.domain.values.pseudonyms import Pseudonyms


class PastEntry(NamedTuple):
    """The facts of an entry that a later reversal needs. Lots are given by their ids."""

    account_id: UUID
    kind: tuple[str, str]
    amount: int
    occurred_at: datetime
    rule: tuple[UUID, int] | None = None  # its id and version
    brought: UUID | None = None  # the lot
    # Per lot: its id, the points taken from it, the points returned since.
    shares: tuple[tuple[UUID, int, int], ...] = ()
    undone: int = 0


@dataclass(slots=True)
class TenantState:
    """The state of one tenant between batches, empty before the first.

    The mappings can be plain dictionaries, or keep more than fits into memory: changed values are stored
    again. `lots` and `holds` have only ended ones; accounts hold the others.
    """

    accounts: MutableMapping[str, Account] = field(default_factory=dict)  # by user
    wallets: MutableMapping[str, Wallet] = field(default_factory=dict)
    usage: MutableMapping[Window, Usage] = field(default_factory=dict)
    past: MutableMapping[UUID, PastEntry] = field(default_factory=dict)
    lots: MutableMapping[UUID, Lot] = field(default_factory=dict)
    holds: MutableMapping[UUID, Hold] = field(default_factory=dict)
    # By account and origin: the points of an entry that have expired in other lots than its own.
    elsewhere: MutableMapping[tuple[UUID, UUID], int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TenantBatch:
    """One tenant's commands of one batch, in order, with the configuration in force.

    `tenant` is None if there was none. `wanted` has the recorded matches of events without their facts, by
    command.
    """

    tenant_id: str
    batch: int
    recorded_at: datetime
    tenant: Tenant | None
    rules: Rules
    commands: list[Accepted]
    wanted: dict[UUID, list[Match]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DecidedBatch:
    """The result of a batch. `made` has each command's decision, or the exception that it raised."""

    book: Book
    made: list[Decision | Exception]
    audit_records: list[AuditRecord]


class _AsRecorded(Pseudonyms):
    """Pseudonyms as recorded: replayed commands already identify erased users by their pseudonym."""

    __slots__ = ()

    def of(self, tenant_id: str, user_id: str) -> str:
        return user_id


def decide_batch(state: TenantState, batch: TenantBatch) -> DecidedBatch:
    """Decide the commands of a batch and update the state."""
    book = _open(state, batch)
    made: list[Decision | Exception] = []
    audit_records: list[AuditRecord] = []
    for accepted in batch.commands:
        try:
            made.append(decide_audited(book, accepted, audit_records))
        except Exception as error:
            made.append(error)
    _settle(state, book)
    return DecidedBatch(book, made, audit_records)


# ------------------------------------------------------------------------------------ before a batch


def _open(state: TenantState, batch: TenantBatch) -> Book:
    """Build the book of a batch: all of the state that its decisions can read."""
    tenant_id = batch.tenant_id
    book = Book(
        batch.recorded_at,
        batch.batch,
        find_usage=partial(_usage, state),
        wanted=batch.wanted,
        pseudonyms=_AS_RECORDED,
    )
    if batch.tenant is not None:
        book.tenants[tenant_id] = batch.tenant
        book.rules[tenant_id] = batch.rules
    for accepted in batch.commands:
        command = accepted.command
        for user_id in command.users:
            if (account := state.accounts.get(user_id)) is not None:
                book.accounts[tenant_id, user_id] = account
        if command.uses_wallet and (wallet := state.wallets.get(command.user_id)):
            book.wallets.known[tenant_id, command.user_id] = wallet
    found: dict[UUID, Lot] = {}
    for accepted in batch.commands:
        _load_reversed(state, book, accepted, found)
    return book


_AS_RECORDED = _AsRecorded()


def _load_reversed(state: TenantState, book: Book, accepted: Accepted, found: dict[UUID, Lot]) -> None:
    """Add the closed hold or the entry that the command names to the book."""
    command = accepted.command
    account = book.accounts.get((command.tenant_id, command.user_id))
    hold_id = command.hold_id if isinstance(command, ConfirmDeduction | Unfreeze) else None
    if hold_id and account and hold_id not in account.holds:
        hold = state.holds.get(hold_id)
        if hold and hold.account_id == account.id:
            account.holds[hold_id] = hold
    if command.reverses is None:
        return
    key = command.tenant_id, command.reverses
    past = state.past.get(command.reverses)
    if past is not None and key not in book.reversibles:
        book.reversibles[key] = _reversible(state, account, command.reverses, past, found)


def _reversible(
    state: TenantState, account: Account | None, entry_id: UUID, past: PastEntry, found: dict[UUID, Lot]
) -> Reversible:
    """Build a past entry with its lots, one object per lot. Another account's entry has no lots."""
    entry = Reversible(
        entry_id, past.account_id, past.kind, past.amount, past.occurred_at, past.rule, past.undone
    )
    if account is None or account.id != past.account_id:
        return entry
    found |= {lot.id: lot for lot in (*account.lots, *account.pending)}

    def lot_of(lot_id: UUID) -> Lot:
        if lot_id not in found:
            found[lot_id] = state.lots[lot_id]
        return found[lot_id]

    entry.shares = [Share(lot_of(lot_id), taken, returned) for lot_id, taken, returned in past.shares]
    if past.brought and past.kind in EARNED:
        entry.lot = lot_of(past.brought)
        entry.expired = entry.lot.expired + state.elsewhere.get((account.id, entry_id), 0)
    return entry


def _usage(state: TenantState, window: Window) -> Usage | None:
    used = state.usage.get(window)
    if used is None:
        return None
    if window.is_shared:
        return SharedUsage(used.points, used.times, points_before=used.points, times_before=used.times)
    return Usage(used.points, used.times)


# ------------------------------------------------------------------------------------- after a batch


def _settle(state: TenantState, book: Book) -> None:
    """Store the changes of a batch for the next one."""
    for account in book.accounts.values():
        account.is_new = account.changed = False
        if account.holds:
            _settle_holds(state, account)
    state.accounts.update({user_id: account for (_, user_id), account in book.accounts.items()})
    for (_, user_id), wallet in book.wallets.known.items():
        wallet.is_new = wallet.changed = False
        state.wallets[user_id] = wallet
    state.usage.update({window: used for window, used in book.usage.items() if used.changed})
    for lot in (*book.new_lots, *book.changed_lots.values()):
        lot.is_new = False
        if not lot.remaining and not lot.frozen:
            state.lots[lot.id] = lot
    _settle_past(state, book)


def _settle_holds(state: TenantState, account: Account) -> None:
    for hold in list(account.holds.values()):
        hold.is_new = hold.changed = False
        if not hold.is_open:
            state.holds[hold.id] = hold
            del account.holds[hold.id]


def _settle_past(state: TenantState, book: Book) -> None:
    brought = {lot.entry_id: lot.id for lot in book.new_lots if not lot.place}
    shares = _shares(state, book) if book.moves else {}
    past = {}
    for entry in book.entries:
        rule = entry.rule
        past[entry.id] = PastEntry(
            entry.account_id,
            (entry.type, entry.subtype),
            entry.amount,
            entry.occurred_at,
            (rule.id, rule.version) if rule else None,
            brought.get(entry.id),
            tuple(shares[entry.id]) if entry.id in shares else (),
        )
    state.past.update(past)
    for (_, entry_id), reversed_entry in book.reversibles.items():
        before = state.past[entry_id]
        if reversed_entry.undone != before.undone:
            returned = tuple((share.lot.id, share.taken, share.returned) for share in reversed_entry.shares)
            state.past[entry_id] = before._replace(undone=reversed_entry.undone, shares=returned)


def _shares(state: TenantState, book: Book) -> dict[UUID, list[tuple[UUID, int, int]]]:
    """Return the lots from which each entry took points. Also counts points that expired in other lots."""
    shares: dict[UUID, list[tuple[UUID, int, int]]] = defaultdict(list)
    lots = {lot.id: lot for lot in book.new_lots} | book.changed_lots
    for move in book.moves:
        shares[move.entry_id].append((move.lot_id, move.amount, 0))
        lot = lots.get(move.lot_id)
        if move.kind == "expire" and lot and lot.entry_id != lot.origin_id:
            key = lot.account_id, lot.origin_id
            state.elsewhere[key] = state.elsewhere.get(key, 0) + move.amount
    return shares
