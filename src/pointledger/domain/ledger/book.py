"""The book: the accounts that a batch touches, in memory, and everything it will write.

`Book.post` is the one place where a balance changes. What is decided here is saved as a whole, or not
at all.
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
    contains,
    put,
    sooner,
)
from pointledger.domain.ledger.reversible import Reversible
from pointledger.domain.ledger.wallets import Wallets
from pointledger.domain.program.limits import EVERYBODY, SharedUsage, Usage, Window
from pointledger.domain.program.matching import Match
from pointledger.domain.program.rule import Rule, RuleError, Rules
from pointledger.domain.program.tenant import Tenant
from pointledger.domain.values.pseudonyms import Pseudonyms
from pointledger.ids import milliseconds_of, thing_id


@dataclass(slots=True)
class Book:
    """What a batch's decisions may know, and what they change.

    `recorded_at` is the database's clock, read once per batch, and `batch` its number in the order in which
    batches are applied. `tenants` lacks those that do not exist; `rules` has each tenant's, in every version;
    `versions` tells of each tenant's configuration which version this is, and how many of rules there are.
    """

    recorded_at: datetime
    batch: int | None = None
    tenants: dict[str, Tenant] = field(default_factory=dict)
    rules: dict[str, Rules] = field(default_factory=dict)
    versions: dict[str, tuple[int, int]] = field(default_factory=dict)
    accounts: dict[tuple[str, str], Account] = field(default_factory=dict)
    usage: dict[Window, Usage] = field(default_factory=dict)
    find_usage: Callable[[Window], Usage | None] | None = (
        None  # of windows that were not loaded; a new object
    )
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
    wanted: dict[UUID, list[Match]] = field(
        default_factory=dict
    )  # by command: of events whose facts are gone
    clamped: set[Window] = field(default_factory=set)  # shared ones that held a grant back
    let_through: set[Window] = field(default_factory=set)  # shared ones that did not hold a grant back
    rule_errors: Counter[RuleError] = field(default_factory=Counter)  # rules whose expressions failed
    command_id: UUID | None = None  # whose doing is being written
    _made: Counter[str] = field(default_factory=Counter)  # by tenant
    _tenant_id: str = ""
    _ordinal: int = 0
    _entries_before: int = 0
    _milliseconds: int = field(init=False)

    def __post_init__(self) -> None:
        self._milliseconds = milliseconds_of(self.recorded_at)

    def begin(self, tenant_id: str, command_id: UUID) -> None:
        """What follows is this command's doing."""
        self.command_id, self._tenant_id = command_id, tenant_id
        self._ordinal = 0
        self._entries_before = len(self.entries)

    @property
    def written(self) -> list[Entry]:
        """The entries that the command at hand has written so far."""
        return self.entries[self._entries_before :]

    def aside(self, tenant_id: str, user_id: str, command_id: UUID) -> "Book":
        """A copy of what this command of the user's may change, to try it on."""
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
                if window.user_id in (user_id, EVERYBODY)
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
        pay (`make_available`).
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

    def new_lot(
        self,
        account: Account,
        entry: Entry,
        amount: int,
        earned_at: datetime,
        expires_at: datetime | None,
        origin_id: UUID | None = None,
    ) -> Lot:
        """A lot that an entry brings, not counted yet among the available ones; `origin_id` where its points
        were granted by another entry."""
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
            seq=entry.seq,
            place=entry.lots,
            is_new=True,
        )
        entry.lots += 1
        self.new_lots.append(lot)
        return lot

    def grant_lot(
        self, account: Account, entry: Entry, amount: int, earned_at: datetime, expires_at: datetime | None
    ) -> None:
        """The one lot that an entry brings, available at once."""
        self.make_available(account, entry, [self.new_lot(account, entry, amount, earned_at, expires_at)])

    def make_available(self, account: Account, entry: Entry, lots: list[Lot]) -> None:
        """Counts lots among the account's available ones, whose points the entry has brought or given back.
        What it repays of a debt they pay in the order of consumption: so the user keeps what lasts."""
        for lot in sorted(lots, key=consumption_order):
            if share := min(entry.unsettled, lot.remaining):
                entry.unsettled -= share
                self.pay(entry, "debt", [(lot, share)])
            if not lot.remaining:
                continue
            if not contains(account.lots, lot):
                put(account.lots, lot)
            if lot.expires_at is not None:
                account.next_expiry_at = sooner(account.next_expiry_at, lot.expires_at)

    def make_pending(self, account: Account, lot: Lot, activates_at: datetime) -> None:
        """Lets a lot that an entry brings wait until then."""
        lot.state = "pending"
        lot.activates_at = activates_at
        account.pending.append(lot)
        account.next_activation_at = sooner(account.next_activation_at, activates_at)

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
        self._made[self._tenant_id] += 1
        return thing_id(self._whose(), self._ordinal, self._milliseconds, self._made[self._tenant_id])
