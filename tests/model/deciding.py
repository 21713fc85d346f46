"""The context of a decision, and the guards that all commands share."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.model.accounts import LARGEST_FIGURE, LARGEST_TOTAL, Account, Entry, Lot, Share
from tests.model.calendars import Calendar
from tests.model.lifecycle import Clock
from tests.model.programs import Config

if TYPE_CHECKING:
    from tests.model.model import World

Data = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Command:
    """A command as sent, with the time of its acceptance. Times are aware datetimes."""

    id: str
    kind: str
    tenant_id: str
    user_id: str
    fields: Mapping[str, Any]
    accepted_at: datetime
    occurred_at: datetime | None = None


@dataclass(slots=True)
class Outcome:
    """The model's outcome of a command."""

    state: str
    reason: str | None = None
    data: Data = field(default_factory=dict)


class Refused(Exception):
    """The ledger must refuse; the only argument is the reason."""


class Guard(NamedTuple):
    """What a command kind requires before anything else.

    `switch` is a field of the tenant. An `account` is "needed", is "made" if missing, or "no" concern.
    `suspended` and `closed` say whether an account with this status may.
    """

    switch: str | None = None
    account: str = "needed"
    suspended: bool = True
    closed: bool = False


GUARDS = {
    "open-account": Guard(account="made"),
    "earn": Guard("earn_enabled", "made", suspended=False),
    "apply-rule": Guard("earn_enabled", "made", suspended=False),
    "spend": Guard("spend_enabled", suspended=False),
    "transfer": Guard("transfer_enabled", suspended=False),
    "expire": Guard(),
    "freeze": Guard("spend_enabled", suspended=False),
    "confirm-deduction": Guard("spend_enabled", suspended=False),
    "unfreeze": Guard(),
    "refund": Guard(),
    "clawback": Guard(),
    "cancel-pending": Guard(),
    "import-opening-balance": Guard(account="made", suspended=False),
    "erase-user": Guard(account="made", closed=True),
    "adjust": Guard(account="made"),
    "wallet-adjust": Guard(account="no", closed=True),
    "exchange": Guard("exchange_enabled", suspended=False),
    "set-status": Guard(),
    "extend-expiry": Guard(),
    "set-expiry-exemption": Guard(),
    "apply-expiry-policy": Guard(),
    "expire-due": Guard(),
    "release-holds-due": Guard(),
    "activate-due": Guard(),
}


@dataclass(slots=True)
class Decision:
    """One command during its decision. A new `account` is not in the world yet."""

    world: "World"
    command: Command
    config: Config
    calendar: Calendar
    clock: Clock
    effective_at: datetime
    account: Account

    @property
    def fields(self) -> Mapping[str, Any]:
        return self.command.fields

    @property
    def as_of(self) -> datetime:
        return self.account.as_of

    @property
    def amount(self) -> int:
        return int(self.fields["amount"])

    def post(self, type_: str, subtype: str, amount: int, **more: Any) -> Entry:
        """Post an entry of this command on its user's account."""
        more.setdefault("at", self.effective_at)
        return self.account.post(type_, subtype, amount, command=self.command.id, **more)

    def refuse_unless(self, holds: bool, reason: str) -> None:
        if not holds:
            raise Refused(reason)

    # ---------------------------------------------------------------------------------- credits and debits

    def credit(
        self,
        type_: str,
        subtype: str,
        points: int,
        total: str,
        lots: Callable[[Entry], list[Lot]],
        **more: Any,
    ) -> Entry:
        """Add points to the available balance; their lots repay debt first."""
        owed = min(self.account.figures["debt"], points)
        entry = self.post(type_, subtype, points, total=total, balance=points - owed, debt=-owed, **more)
        self.account.repay(entry, owed, lots(entry))
        return entry

    def give_back(self, type_: str, subtype: str, points: int, shares: list[Share], **more: Any) -> Entry:
        """Return spent points to lots, except those that repay debt."""
        owed = min(self.account.figures["debt"], points)
        entry = self.post(
            type_, subtype, points, total="total_refunded", balance=points - owed, debt=-owed, **more
        )
        self.account.give_back(entry, owed, shares)
        return entry

    def new_lot(
        self, expires_at: datetime | None, earned_at: datetime | None = None
    ) -> Callable[[Entry], list[Lot]]:
        """Return a function that makes one lot for an entry's points."""
        earned_at = earned_at or self.effective_at

        def make(entry: Entry) -> list[Lot]:
            return [self.account.bring(entry, entry.amount, earned_at=earned_at, expires_at=expires_at)]

        return make

    def debit(self, type_: str, subtype: str, points: int, total: str, kind: str, **more: Any) -> Entry:
        """Take available points, in the order of consumption."""
        entry = self.post(type_, subtype, points, total=total, balance=-points, **more)
        missing = self.account.consume(entry, points, kind)
        assert not missing
        return entry

    def must_have(self, points: int) -> None:
        self.refuse_unless(self.account.figures["balance"] >= points, "INSUFFICIENT_BALANCE")

    # ------------------------------------------------------------------------------------------- figures

    def room(self, account: Account | None = None) -> int | None:
        """Return the points that `max_balance` still allows; None without a maximum."""
        if self.config.max_balance is None:
            return None
        figures = (account or self.account).figures
        used = figures["balance"] + figures["pending_balance"] - figures["debt"]
        return max(0, self.config.max_balance - used)

    def must_have_room(self, points: int, account: Account | None = None) -> None:
        room = self.room(account)
        self.refuse_unless(room is None or points <= room, "MAX_BALANCE")

    def must_fit(self, points: int, total: str, account: Account | None = None) -> None:
        """Refuse points that would exceed the largest figure. Debits need no check."""
        account = account or self.account
        self.refuse_unless(account.net_points + points <= LARGEST_FIGURE, "FIGURE_TOO_LARGE")
        self.refuse_unless(account.figures[total] + points <= LARGEST_TOTAL, "FIGURE_TOO_LARGE")

    # ------------------------------------------------------------------------------------------ references

    def entry_of(self, name: str) -> Entry:
        """Return the entry that a field names, on any account of the tenant."""
        entry = self.world.entry(self.fields[name])
        if entry is None:
            raise Refused("RELATED_NOT_FOUND")
        return entry


def account_data(account: Account) -> Data:
    """Return an account as an outcome shows it."""
    data: Data = {**account.figures, "status": account.status, "version": len(account.entries)}
    if account.exempt:
        data["expiry_exempt"] = True
    return data


def transactions(entries: list[Entry]) -> list[Data]:
    """Return entries as an outcome shows them."""
    return [
        {
            "seq": entry.seq,
            "type": entry.type,
            "subtype": entry.subtype,
            "amount": entry.amount,
            "balance_before": entry.balance_after - entry.delta,
            "balance_after": entry.balance_after,
        }
        for entry in entries
    ]
