"""Keeps the accounts of a batch in memory, and everything that the batch will write.

`Book.post` is the only place where a balance changes. The engine saves a book completely or not at all.
"""

from collections import Counter
from collections.abc import Callable
from copy import copy, deepcopy
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from pointledger.domain.events.outgoing import StatusChange
from pointledger.domain.ledger.account import Account
from pointledger.domain.ledger.entry import TAKEN, TOTALS, Entry
from pointledger.domain.ledger.lots import (
    ExpiryChange,
    Lot,
    LotMove,
    consumption_order,
    put,
    sooner,
)
from pointledger.domain.ledger.reversible import Reversible
from pointledger.domain.ledger.wallets import Wallets
from pointledger.domain.program.limits import ALL_USERS, SharedUsage, Usage, Window
from pointledger.domain.program.matching import Match
from pointledger.domain.program.rule import Rule, RuleError
from pointledger.domain.program.rules import Rules
from pointledger.domain.program.tenant import Tenant
from pointledger.domain.values.pseudonyms import Pseudonyms
from pointledger.ids import milliseconds_of, thing_id


@dataclass(slots=True)
class Book:
    """The state that a batch's decisions read and change.

    `recorded_at` is the database's clock, read once per batch. `batch` is the batch's number in the order of
    application. `tenants` lacks unknown tenants. `rules` has the versions of each tenant's rules that the
    batch needs. `versions` has, per tenant, the version of its configuration and the number of its rule
    versions.
    """

    recorded_at: datetime
    batch: int | None = None
    tenants: dict[str, Tenant] = field(default_factory=dict)
    rules: dict[str, Rules] = field(default_factory=dict)
    versions: dict[str, tuple[int, int]] = field(default_factory=dict)
    moments: dict[int, datetime] = field(default_factory=dict)  # when commands take effect, by their `seq`
    accounts: dict[tuple[str, str], Account] = field(default_factory=dict)
    usage: dict[Window, Usage] = field(default_factory=dict)
    find_usage: Callable[[Window], Usage | None] | None = None  # finds windows that are not loaded
    # The entries that commands reverse.
    reversibles: dict[tuple[str, UUID], Reversible] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)
    new_lots: list[Lot] = field(default_factory=list)
    changed_lots: dict[UUID, Lot] = field(default_factory=dict)  # existing lots
    moves: list[LotMove] = field(default_factory=list)
    expired: Counter[tuple[UUID, UUID]] = field(default_factory=Counter)  # by account and origin
    status_changes: list[StatusChange] = field(default_factory=list)
    expiry_changes: list[ExpiryChange] = field(default_factory=list)
    erasures: dict[tuple[str, str], UUID] = field(default_factory=dict)  # the erasing command, by user
    pseudonyms: Pseudonyms = field(default_factory=Pseudonyms)
    wallets: Wallets = field(default_factory=Wallets)  # of users whose commands use the wallet
    # By command: the recorded matches of events without their facts.
    wanted: dict[UUID, list[Match]] = field(default_factory=dict)
    clamped: set[Window] = field(default_factory=set)  # shared windows that capped a grant
    let_through: set[Window] = field(default_factory=set)  # shared windows that did not cap a grant
    rule_errors: Counter[RuleError] = field(default_factory=Counter)  # rules whose expressions failed
    command_id: UUID | None = None  # the command that is being applied
    _made: Counter[str] = field(default_factory=Counter)  # by tenant
    _tenant_id: str = ""
    _ordinal: int = 0
    _entries_before: int = 0
    milliseconds: int = field(init=False)  # of `recorded_at`: every id that is made begins with them

    def __post_init__(self) -> None:
        self.milliseconds = milliseconds_of(self.recorded_at)

    def begin(self, tenant_id: str, command_id: UUID) -> None:
        """Attribute the following changes to this command."""
        self.command_id, self._tenant_id = command_id, tenant_id
        self._ordinal = 0
        self._entries_before = len(self.entries)

    @property
    def written(self) -> list[Entry]:
        """The entries that the current command has written so far."""
        return self.entries[self._entries_before :]

    def trial_copy(self, tenant_id: str, user_id: str, command_id: UUID) -> "Book":
        """Copy the state that this command of the user can change, so that it can be tried."""
        key = (tenant_id, user_id)
        account = self.accounts.get(key)
        trial = Book(
            self.recorded_at,
            tenants=self.tenants,
            rules=self.rules,
            accounts={key: deepcopy(account)} if account else {},
            usage={
                window: copy(used)
                for window, used in self.usage.items()
                if window.user_id in (user_id, ALL_USERS)
            },
            find_usage=self.find_usage,
        )
        trial.begin(tenant_id, command_id)
        return trial

    def rules_of(self, tenant: Tenant) -> Rules:
        return self.rules.get(tenant.tenant_id) or Rules()

    def usage_of(self, window: Window) -> Usage:
        known = self.usage.get(window)
        if known is None:
            found = self.find_usage(window) if self.find_usage else None
            if found is None:
                found = SharedUsage() if window.is_shared else Usage()
            known = self.usage[window] = found
        return known

    def open_account(self, tenant: Tenant, user_id: str, as_of: datetime) -> Account:
        """Open an account."""
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
        """Write an entry about `amount` points, and change the balances by its deltas. Points that become
        available repay debt first, out of the lots that bring them (`make_available`)."""
        entry_type, subtype = kind
        repaid = min(max(delta, 0), account.debt) if account.debt else 0
        delta -= repaid
        delta_debt -= repaid
        account.balance += delta
        account.frozen_balance += delta_frozen
        account.pending_balance += delta_pending
        account.debt += delta_debt
        _count(account, kind, amount, delta + delta_frozen + delta_pending - delta_debt)
        account.version += 1
        account.updated_at = max(account.updated_at, self.recorded_at)
        account.changed = True
        entry = Entry(  # by position: to name twenty fields takes three times as long
            self.next_id(), account.tenant_id, account.id, account.version, self._current_command(),
            entry_type, subtype, amount, delta, delta_frozen, delta_pending, delta_debt, account.balance,
            account.frozen_balance, account.pending_balance, account.debt, related_id, rule, expires_at,
            occurred_at, account.updated_at, repaid,
        )  # fmt: skip
        self.entries.append(entry)
        return entry

    def new_lot(
        self,
        account: Account,
        entry: Entry,
        amount: int,
        earned_at: datetime,
        expires_at: datetime | None,
        origin_id: UUID | None = None,
    ) -> Lot:
        """Create a lot of an entry, which is not available yet.

        `origin_id` is the entry that first granted the points, if it is another one.
        """
        lot = Lot(
            self.next_id(), account.tenant_id, account.id, entry.id, origin_id or entry.id, amount, amount,
            earned_at, expires_at, entry.seq, entry.lots, is_new=True,
        )  # fmt: skip
        entry.lots += 1
        self.new_lots.append(lot)
        return lot

    def grant_lot(
        self, account: Account, entry: Entry, amount: int, earned_at: datetime, expires_at: datetime | None
    ) -> None:
        """Create the only lot of an entry and make it available."""
        self.make_available(account, entry, [self.new_lot(account, entry, amount, earned_at, expires_at)])

    def make_available(self, account: Account, entry: Entry, lots: list[Lot]) -> None:
        """Add lots, whose points the entry has brought or returned, to the account's available lots.

        They repay debt in consumption order, so the user keeps the points that expire last.
        """
        if len(lots) > 1:
            lots = sorted(lots, key=consumption_order)
        for lot in lots:
            if share := min(entry.unsettled, lot.remaining):
                entry.unsettled -= share
                self.pay(entry, "debt", [(lot, share)])
            if not lot.remaining:
                continue
            put(account.lots, lot)
            if lot.expires_at is not None:
                account.next_expiry_at = sooner(account.next_expiry_at, lot.expires_at)

    def make_pending(self, account: Account, lot: Lot, activates_at: datetime) -> None:
        """Make a new lot pending until it activates."""
        lot.state = "pending"
        lot.activates_at = activates_at
        account.pending.append(lot)
        account.next_activation_at = sooner(account.next_activation_at, activates_at)

    def pay(self, entry: Entry, kind: str, paid: list[tuple[Lot, int]]) -> None:
        """Take the points of an entry from the lots that pay for it."""
        for lot, share in paid:
            lot.remaining -= share
            self.note_move(entry, kind, lot, share)

    def note_move(self, entry: Entry, kind: str, lot: Lot, share: int) -> None:
        """Record that points have left a lot. The lot ends when none are left."""
        if kind == "expire":
            lot.expired += share
            self.expired[lot.account_id, lot.origin_id] += share
        self.note_lot(lot)
        if lot.remaining == 0 and lot.frozen == 0:
            ended = "cancelled" if lot.state == "pending" else "consumed"
            lot.state = "expired" if kind in ("expire", "grace") else ended
        self.moves.append(LotMove(lot.tenant_id, entry.id, lot.id, kind, share))

    def note_lot(self, lot: Lot) -> None:
        """Record that a lot has changed."""
        if not lot.is_new:
            self.changed_lots[lot.id] = lot

    def settle_lots(self, account: Account) -> None:
        """Remove lots without points from the account."""
        account.pending = [lot for lot in account.pending if lot.state == "pending"]
        account.lots = [lot for lot in account.lots if lot.remaining or lot.frozen]

    def _current_command(self) -> UUID:
        assert self.command_id, "only a command changes the book"
        return self.command_id

    def next_id(self) -> UUID:
        """Return the next id for an object that the command creates."""
        self._ordinal += 1
        number = self._made[self._tenant_id] = self._made[self._tenant_id] + 1
        return thing_id(self._current_command(), self._ordinal, self.milliseconds, number)


def _count(account: Account, kind: tuple[str, str], amount: int, change: int) -> None:
    """Add the amount of an entry to the account's total for its kind. `change` is the entry's net effect."""
    total = TOTALS[kind]
    if change < 0:
        total = TAKEN.get(kind, total)
    if total:
        setattr(account, total, getattr(account, total) + amount)
