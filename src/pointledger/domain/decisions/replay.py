"""Deciding again: what commands come to when they are applied anew, in the recorded order.

Pure: commands and the versions in force go in, decisions and the state of a tenant come out. Each batch is
decided as a batch, as it was the first time, so that ids come out the same. Where commands are read from, and
what the result is compared with, is elsewhere (`replays`).
"""

from collections import defaultdict
from collections.abc import MutableMapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import NamedTuple
from uuid import UUID

from pointledger.domain.commands.accepted import Accepted
from pointledger.domain.commands.outcomes import Decision
from pointledger.domain.decisions.audit import Act, decide_on_record
from pointledger.domain.decisions.reversals import EARNED
from pointledger.domain.ledger.account import Account
from pointledger.domain.ledger.book import Book
from pointledger.domain.ledger.holds import Hold
from pointledger.domain.ledger.lots import Lot
from pointledger.domain.ledger.reversible import Reversible, Share
from pointledger.domain.ledger.wallets import Wallet
from pointledger.domain.program.limits import SharedUsage, Usage, Window
from pointledger.domain.program.matching import Match
from pointledger.domain.program.rule import Rules
from pointledger.domain.program.tenant import Tenant
from pointledger.domain.values.pseudonyms import Pseudonyms


class Past(NamedTuple):
    """An entry, as far as a later reversal asks about it. Lots go by their ids."""

    account_id: UUID
    kind: tuple[str, str]
    amount: int
    occurred_at: datetime
    rule: tuple[UUID, int] | None = None  # its id and version
    brought: UUID | None = None  # the lot
    shares: tuple[tuple[UUID, int, int], ...] = ()  # a lot, what the entry took from it, what came back since
    undone: int = 0


@dataclass(slots=True)
class State:
    """What stands of one tenant between batches: an empty one before its first.

    Plain dictionaries do; so does what keeps more than fits into memory. What is changed is put back.
    `lots` and `holds` are those that are at their end; the others are with their accounts.
    """

    accounts: MutableMapping[str, Account] = field(default_factory=dict)  # by user
    wallets: MutableMapping[str, Wallet] = field(default_factory=dict)
    usage: MutableMapping[Window, Usage] = field(default_factory=dict)
    past: MutableMapping[UUID, Past] = field(default_factory=dict)
    lots: MutableMapping[UUID, Lot] = field(default_factory=dict)
    holds: MutableMapping[UUID, Hold] = field(default_factory=dict)
    elsewhere: MutableMapping[tuple[UUID, UUID], int] = field(default_factory=dict)
    # by account and origin: what of an entry's points has expired in other lots than its own


@dataclass(frozen=True, slots=True)
class Part:
    """One tenant's commands of one batch, in order, and what was in force.

    `tenant`: None where there was none. `wanted`: of events whose facts are gone, by command, what the rules
    made of them then.
    """

    tenant_id: str
    batch: int
    recorded_at: datetime
    tenant: Tenant | None
    rules: Rules
    commands: list[Accepted]
    wanted: dict[UUID, list[Match]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Decided:
    """What a part came to. `made`: each command's decision, or the error that deciding it raised."""

    book: Book
    made: list[Decision | Exception]
    acts: list[Act]


class _AsNamed(Pseudonyms):
    """Commands that are decided again name whoever was erased by the pseudonym."""

    __slots__ = ()

    def of(self, tenant_id: str, user_id: str) -> str:
        return user_id


def decide_part(state: State, part: Part) -> Decided:
    """Decides the part's commands and moves the state on."""
    book = _open(state, part)
    made: list[Decision | Exception] = []
    acts: list[Act] = []
    for accepted in part.commands:
        try:
            made.append(decide_on_record(book, accepted, acts))
        except Exception as error:
            made.append(error)
    _settle(state, book)
    return Decided(book, made, acts)


# ------------------------------------------------------------------------------------- before a part


def _open(state: State, part: Part) -> Book:
    """The book of the part: of the state, whatever its decisions may know."""
    tenant_id = part.tenant_id
    book = Book(
        part.recorded_at,
        part.batch,
        find_usage=partial(_usage, state),
        wanted=part.wanted,
        pseudonyms=_AS_NAMED,
    )
    if part.tenant is not None:
        book.tenants[tenant_id] = part.tenant
        book.rules[tenant_id] = part.rules
    for accepted in part.commands:
        command = accepted.command
        for user_id in command.users:
            if (account := state.accounts.get(user_id)) is not None:
                book.accounts[tenant_id, user_id] = account
        if command.uses_wallet and (wallet := state.wallets.get(command.user_id)):
            book.wallets.known[tenant_id, command.user_id] = wallet
    found: dict[UUID, Lot] = {}
    for accepted in part.commands:
        _open_past(state, book, accepted, found)
    return book


_AS_NAMED = _AsNamed()


def _open_past(state: State, book: Book, accepted: Accepted, found: dict[UUID, Lot]) -> None:
    """The closed hold or the entry that the command names, if it names one."""
    command = accepted.command
    account = book.accounts.get((command.tenant_id, command.user_id))
    hold_id: UUID | None = getattr(command, "hold_id", None)
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
    state: State, account: Account | None, entry_id: UUID, past: Past, found: dict[UUID, Lot]
) -> Reversible:
    """An entry of the past with its lots, each of which is one object; without them where it is another's."""
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


def _usage(state: State, window: Window) -> Usage | None:
    used = state.usage.get(window)
    if used is None:
        return None
    if window.is_shared:
        return SharedUsage(used.points, used.times, points_before=used.points, times_before=used.times)
    return Usage(used.points, used.times)


# -------------------------------------------------------------------------------------- after a part


def _settle(state: State, book: Book) -> None:
    """Takes over what the part has changed, as the next one is to find it."""
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


def _settle_holds(state: State, account: Account) -> None:
    for hold in list(account.holds.values()):
        hold.is_new = hold.changed = False
        if not hold.is_open:
            state.holds[hold.id] = hold
            del account.holds[hold.id]


def _settle_past(state: State, book: Book) -> None:
    brought = {lot.entry_id: lot.id for lot in book.new_lots if not lot.place}
    shares = _shares(state, book) if book.moves else {}
    past = {}
    for entry in book.entries:
        rule = entry.rule
        past[entry.id] = Past(
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
            told = tuple((share.lot.id, share.taken, share.returned) for share in reversed_entry.shares)
            state.past[entry_id] = before._replace(undone=reversed_entry.undone, shares=told)


def _shares(state: State, book: Book) -> dict[UUID, list[tuple[UUID, int, int]]]:
    """What each entry took from which lots; and on the way, what expired of points in other lots."""
    shares: dict[UUID, list[tuple[UUID, int, int]]] = defaultdict(list)
    lots = {lot.id: lot for lot in book.new_lots} | book.changed_lots
    for move in book.moves:
        shares[move.entry_id].append((move.lot_id, move.amount, 0))
        lot = lots.get(move.lot_id)
        if move.kind == "expire" and lot and lot.entry_id != lot.origin_id:
            key = lot.account_id, lot.origin_id
            state.elsewhere[key] = state.elsewhere.get(key, 0) + move.amount
    return shares
