"""The book: the accounts that a batch touches, in memory, and everything it will write.

`Book.post` is the one place where a balance changes. What is decided here is saved as a whole, or not
at all.
"""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from pointledger.domain.events import StatusChange
from pointledger.domain.holds import Hold
from pointledger.domain.limits import SharedUsage, Usage, Window
from pointledger.domain.lots import ExpiryChange, Lot, LotMove, contains, put, sooner
from pointledger.domain.pseudonyms import Pseudonyms
from pointledger.domain.reversible import Reversible
from pointledger.domain.rules import Rule, RuleError, Rules
from pointledger.domain.tenants import Tenant
from pointledger.domain.totals import TAKEN, TOTALS
from pointledger.domain.wallets import Wallets
from pointledger.ids import derive_id, milliseconds_of

MAX_BALANCE = 10**15  # the bound of every balance column, far below a bigint's


@dataclass(slots=True)
class Account:
    """One user's points within a tenant. `balance` is what is available."""

    id: UUID
    tenant_id: str
    user_id: str
    points_type: str
    created_at: datetime
    updated_at: datetime
    as_of: datetime  # its own clock, which never goes back
    status: str = "active"
    balance: int = 0
    frozen_balance: int = 0
    pending_balance: int = 0
    debt: int = 0
    total_earned: int = 0
    total_spent: int = 0
    expired_points: int = 0
    total_refunded: int = 0
    total_transferred_in: int = 0
    total_transferred_out: int = 0
    total_adjusted_in: int = 0
    total_adjusted_out: int = 0
    total_clawed_back: int = 0
    version: int = 0
    next_expiry_at: datetime | None = None  # no active lot expires sooner; None: none expires
    next_activation_at: datetime | None = None  # no pending lot activates sooner; None: none is pending
    expiry_exempt: bool = False  # time takes nothing from it
    expires_not_before: datetime | None = None  # what is due waits until then: a notice
    pseudonym: str | None = None  # of an erased user: what stands in the place of `user_id` for ever
    is_new: bool = False
    changed: bool = False
    pending: list[Lot] = field(default_factory=list)  # all of them where one is due, else perhaps none
    lots: list[Lot] = field(default_factory=list)  # as far as the batch needs them, in consumption order
    others_activate_from: datetime | None = None  # what is pending and not loaded activates no sooner
    others_expire_from: datetime | None = None  # the lots left unloaded expire no sooner; None: never
    holds: dict[UUID, Hold] = field(default_factory=dict)  # as far as the batch needs them, oldest first
    next_timeout_at: datetime | None = None  # of `holds`, and the batch looks no further
    as_loaded: tuple[Any, ...] = ()  # its columns as they were read: only what differs is written


@dataclass(slots=True)
class Entry:
    """One immutable row on an account."""

    id: UUID
    tenant_id: str
    account_id: UUID
    seq: int
    command_id: UUID
    type: str
    subtype: str
    amount: int
    delta: int
    delta_frozen: int
    delta_pending: int
    delta_debt: int
    balance_after: int
    frozen_after: int
    pending_after: int
    debt_after: int
    related_id: UUID | None
    rule: Rule | None
    expires_at: datetime | None
    occurred_at: datetime
    created_at: datetime
    unsettled: int = 0  # of the debt that it repays, what no lot has paid yet


@dataclass(slots=True)
class Book:
    """What a batch's decisions may know, and what they change.

    `recorded_at` is the database's clock, read once per batch. `tenants` lacks those that do not exist;
    `rules` has each tenant's, in every version.
    """

    recorded_at: datetime
    tenants: dict[str, Tenant] = field(default_factory=dict)
    rules: dict[str, Rules] = field(default_factory=dict)
    accounts: dict[tuple[str, str], Account] = field(default_factory=dict)
    usage: dict[Window, Usage] = field(default_factory=dict)
    reversibles: dict[tuple[str, UUID], Reversible] = field(default_factory=dict)  # what commands reverse
    entries: list[Entry] = field(default_factory=list)
    new_lots: list[Lot] = field(default_factory=list)
    changed_lots: dict[UUID, Lot] = field(default_factory=dict)  # of those that were there before
    moves: list[LotMove] = field(default_factory=list)
    expired: Counter[tuple[UUID, UUID]] = field(default_factory=Counter)  # by account and origin
    status_changes: list[StatusChange] = field(default_factory=list)
    expiry_changes: list[ExpiryChange] = field(default_factory=list)
    erasures: dict[tuple[str, str], UUID] = field(default_factory=dict)  # which command erased whom
    pseudonyms: Pseudonyms = field(default_factory=Pseudonyms)
    wallets: Wallets = field(default_factory=Wallets)  # of those whose money the commands look at
    rule_errors: Counter[RuleError] = field(default_factory=Counter)  # rules whose expressions failed
    command_id: UUID | None = None  # whose doing is being written
    _ordinal: int = 0
    _milliseconds: int = field(init=False)

    def __post_init__(self) -> None:
        self._milliseconds = milliseconds_of(self.recorded_at)

    def begin(self, command_id: UUID) -> None:
        """What follows is this command's doing."""
        self.command_id = command_id
        self._ordinal = 0

    def rules_of(self, tenant: Tenant) -> Rules:
        return self.rules.get(tenant.tenant_id) or Rules()

    def usage_of(self, window: Window) -> Usage:
        known = self.usage.get(window)
        if known is None:
            known = self.usage[window] = SharedUsage() if window.is_shared else Usage()
        return known

    def open_account(self, tenant: Tenant, user_id: str, as_of: datetime) -> Account:
        """A new account; the command that asked for it goes on to grant it something."""
        account = Account(
            id=self.next_id(),
            tenant_id=tenant.tenant_id,
            user_id=user_id,
            points_type=tenant.points_type,
            created_at=self.recorded_at,
            updated_at=self.recorded_at,
            as_of=as_of,
            is_new=True,
            changed=True,
        )
        self.accounts[tenant.tenant_id, user_id] = account
        return account

    def post(
        self,
        account: Account,
        kind: tuple[str, str],
        amount: int,
        occurred_at: datetime,
        *,
        delta: int = 0,
        delta_frozen: int = 0,
        delta_pending: int = 0,
        delta_debt: int = 0,
        rule: Rule | None = None,
        related_id: UUID | None = None,
        expires_at: datetime | None = None,
    ) -> Entry:
        """Writes an entry about `amount` points, and what it changes: the available balance by `delta`, and
        what is frozen, pending and owed.

        What comes to the available balance repays debt first, whatever brings it; the lots that bring it
        pay (`settle_debt`).
        """
        entry_type, subtype = kind
        repaid = min(max(delta, 0), account.debt)
        delta -= repaid
        delta_debt -= repaid
        account.balance += delta
        account.frozen_balance += delta_frozen
        account.pending_balance += delta_pending
        account.debt += delta_debt
        total = TOTALS[kind]
        if delta + delta_frozen + delta_pending - delta_debt < 0:
            total = TAKEN.get(kind, total)
        if total:
            setattr(account, total, getattr(account, total) + amount)
        account.version += 1
        account.updated_at = max(account.updated_at, self.recorded_at)
        account.changed = True
        entry = Entry(
            id=self.next_id(), tenant_id=account.tenant_id, account_id=account.id, seq=account.version,
            command_id=self._whose(), type=entry_type, subtype=subtype, amount=amount, delta=delta,
            delta_frozen=delta_frozen, delta_pending=delta_pending, delta_debt=delta_debt,
            balance_after=account.balance, frozen_after=account.frozen_balance,
            pending_after=account.pending_balance, debt_after=account.debt, related_id=related_id, rule=rule,
            expires_at=expires_at, occurred_at=occurred_at, created_at=account.updated_at, unsettled=repaid,
        )  # fmt: skip
        self.entries.append(entry)
        return entry

    def grant_lot(
        self,
        account: Account,
        entry: Entry,
        amount: int,
        earned_at: datetime,
        expires_at: datetime | None,
        origin_id: UUID | None = None,
        activates_at: datetime | None = None,
    ) -> None:
        """The lot that an entry brings; `origin_id` where its points were granted by another entry,
        `activates_at` where it is pending until then."""
        lot = Lot(
            id=self.next_id(),
            tenant_id=account.tenant_id,
            account_id=account.id,
            entry_id=entry.id,
            origin_id=origin_id or entry.id,
            amount=amount,
            remaining=amount,
            earned_at=earned_at,
            expires_at=expires_at,
            activates_at=activates_at,
            is_new=True,
        )
        self.new_lots.append(lot)
        if activates_at is not None:
            lot.state = "pending"
            account.pending.append(lot)
            account.next_activation_at = sooner(account.next_activation_at, activates_at)
            return
        self.settle_debt(entry, lot)
        self.admit(account, lot)

    def pay(self, entry: Entry, kind: str, paid: list[tuple[Lot, int]]) -> None:
        """Takes the points of an entry out of the lots that pay for it."""
        for lot, share in paid:
            lot.remaining -= share
            self.note_move(entry, kind, lot, share)

    def note_move(self, entry: Entry, kind: str, lot: Lot, share: int) -> None:
        """Records that points have left a lot, which is at its end when nothing is left."""
        if kind == "expire":
            lot.expired += share
            self.expired[lot.account_id, lot.origin_id] += share
        self.note_lot(lot)
        if lot.remaining == 0 and lot.frozen == 0:
            ended = "cancelled" if lot.state == "pending" else "consumed"
            lot.state = "expired" if kind in ("expire", "grace") else ended
        self.moves.append(LotMove(lot.tenant_id, entry.id, lot.id, kind, share))

    def settle_debt(self, entry: Entry, lot: Lot) -> None:
        """Lets a lot whose points the entry made available pay what the entry repays."""
        share = min(entry.unsettled, lot.remaining)
        if share:
            entry.unsettled -= share
            self.pay(entry, "debt", [(lot, share)])

    def admit(self, account: Account, lot: Lot) -> None:
        """Counts a lot among the account's available ones."""
        if lot.remaining and not contains(account.lots, lot):
            put(account.lots, lot)
        if lot.remaining and lot.expires_at is not None:
            account.next_expiry_at = sooner(account.next_expiry_at, lot.expires_at)

    def note_lot(self, lot: Lot) -> None:
        """Records that a lot has changed."""
        if not lot.is_new:
            self.changed_lots[lot.id] = lot

    def settle_lots(self, account: Account) -> None:
        """Drops what is used up from the account's lots."""
        account.pending = [lot for lot in account.pending if lot.state == "pending"]
        account.lots = [lot for lot in account.lots if lot.remaining or lot.frozen]

    def _whose(self) -> UUID:
        assert self.command_id, "only a command makes something"
        return self.command_id

    def next_id(self) -> UUID:
        """The id of the next thing that the command makes."""
        self._ordinal += 1
        return derive_id(self._whose(), self._ordinal, self._milliseconds)
