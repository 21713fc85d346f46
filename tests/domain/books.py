"""Provides a shop's book in memory for tests of the domain.

There is no server and no clock: `Shop.now` changes only when a test sets it.
"""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from pointledger.domain.commands import (
    ActivateDue,
    Adjust,
    AnyCommand,
    ApplyRule,
    CancelPending,
    Clawback,
    ConfirmDeduction,
    Earn,
    EraseUser,
    Expire,
    ExpireDue,
    ExtendExpiry,
    Freeze,
    ImportOpeningBalance,
    OpeningLot,
    Refund,
    ReleaseHoldsDue,
    SetExpiryExemption,
    SetStatus,
    Spend,
    Transfer,
    Unfreeze,
)
from pointledger.domain.commands.accepted import Accepted
from pointledger.domain.commands.outcomes import Applied, Decision, Refused
from pointledger.domain.decisions.decide import decide
from pointledger.domain.decisions.read_set import ReadSet, read_set_of
from pointledger.domain.ledger.account import Account
from pointledger.domain.ledger.book import Book
from pointledger.domain.ledger.entry import Entry
from pointledger.domain.ledger.holds import Hold
from pointledger.domain.ledger.lots import Lot
from pointledger.domain.program.rule import Rule, rule_from
from pointledger.domain.program.rules import Rules
from pointledger.domain.program.tenant import Tenant, tenant_from
from pointledger.domain.values.pseudonyms import Pseudonyms

SHOP = "shop"


def moment(text: str) -> datetime:
    """Parse `2026-03-01` or `2026-03-01 10:00`, as UTC unless it has an offset."""
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


NOON = moment("2026-03-01 12:00")
APRIL, MAY, JUNE = moment("2026-04-01"), moment("2026-05-01"), moment("2026-06-01")


class Shop:
    """One tenant's book. Methods for commands return the result of `decide`."""

    def __init__(self, now: datetime = NOON, **config: Any) -> None:
        self.now = now
        self.book = Book(now, pseudonyms=Pseudonyms(b"a key"))
        self.last: AnyCommand | None = None  # the last applied command
        self.configure(**config)

    # ----------------------------------------------------------------------------------- program

    def configure(self, **config: Any) -> None:
        """Replace the tenant's configuration. Absent fields take their defaults."""
        self.book.tenants[SHOP] = tenant_from({"tenant_id": SHOP, **config})

    @property
    def tenant(self) -> Tenant:
        return self.book.tenants[SHOP]

    def rule(self, event_type: str = "visit", in_force_from: datetime | None = None, **fields: Any) -> Rule:
        """Add a rule, or the next version of the rule with the same name."""
        known = self.book.rules_of(self.tenant).versions
        body = rule_from({"name": f"rule {len(known)}", "event_type": event_type, **fields})
        versions = [rule for rule in known if rule.body.name == body.name]
        rule_id = versions[0].id if versions else UUID(int=len(known) + 1)
        rule = Rule(rule_id, len(versions) + 1, in_force_from, body)
        self.book.rules[SHOP] = Rules((*known, rule))
        return rule

    # ------------------------------------------------------------------------------------ commands

    def apply(self, command: AnyCommand, at: datetime | None = None) -> Decision:
        """Accept and decide a command at `at`, which becomes the current time."""
        self.last = command
        self.now = at or self.now
        self.book.recorded_at = max(self.book.recorded_at, self.now)
        return decide(self.book, Accepted(1, command, self.now))

    def event(
        self, user_id: str, event_type: str = "visit", at: datetime | None = None, **more: Any
    ) -> Decision:
        return self.apply(ApplyRule(tenant_id=SHOP, user_id=user_id, event_type=event_type, **more), at)

    def earn(self, user_id: str, amount: int, at: datetime | None = None, **more: Any) -> Decision:
        return self.apply(Earn(tenant_id=SHOP, user_id=user_id, amount=amount, **more), at)

    def spend(self, user_id: str, amount: int, at: datetime | None = None, **more: Any) -> Decision:
        return self.apply(Spend(tenant_id=SHOP, user_id=user_id, amount=amount, **more), at)

    def transfer(self, user_id: str, to: str, amount: int, at: datetime | None = None) -> Decision:
        return self.apply(Transfer(tenant_id=SHOP, user_id=user_id, to_user_id=to, amount=amount), at)

    def expire(self, user_id: str, amount: int, at: datetime | None = None, **more: Any) -> Decision:
        return self.apply(Expire(tenant_id=SHOP, user_id=user_id, amount=amount, **more), at)

    def expire_due(self, user_id: str, as_of: datetime, at: datetime | None = None) -> Decision:
        """Apply the job's command for `as_of`, accepted at that moment unless `at` is given."""
        command = ExpireDue(tenant_id=SHOP, user_id=user_id, as_of=as_of)
        return self.apply(command, at or max(self.now, as_of))

    def freeze(self, user_id: str, amount: int, at: datetime | None = None, **more: Any) -> Decision:
        return self.apply(Freeze(tenant_id=SHOP, user_id=user_id, amount=amount, **more), at)

    def unfreeze(self, user_id: str, at: datetime | None = None, **more: Any) -> Decision:
        return self.apply(Unfreeze(tenant_id=SHOP, user_id=user_id, **more), at)

    def capture(self, user_id: str, hold_id: UUID, at: datetime | None = None, **more: Any) -> Decision:
        return self.apply(ConfirmDeduction(tenant_id=SHOP, user_id=user_id, hold_id=hold_id, **more), at)

    def release_due(self, user_id: str, as_of: datetime, at: datetime | None = None) -> Decision:
        command = ReleaseHoldsDue(tenant_id=SHOP, user_id=user_id, as_of=as_of)
        return self.apply(command, at or max(self.now, as_of))

    def adjust(self, user_id: str, amount: int, at: datetime | None = None) -> Decision:
        return self.apply(Adjust(tenant_id=SHOP, user_id=user_id, amount=amount, reason="a mistake"), at)

    def set_status(self, user_id: str, status: Any, at: datetime | None = None) -> Decision:
        return self.apply(SetStatus(tenant_id=SHOP, user_id=user_id, status=status, reason="requested"), at)

    def exempt(self, user_id: str, exempt: bool = True, at: datetime | None = None) -> Decision:
        command = SetExpiryExemption(tenant_id=SHOP, user_id=user_id, exempt=exempt, reason="the law")
        return self.apply(command, at)

    def extend(self, user_id: str, at: datetime | None = None, **more: Any) -> Decision:
        return self.apply(ExtendExpiry(tenant_id=SHOP, user_id=user_id, reason="sorry", **more), at)

    def erase(self, user_id: str, at: datetime | None = None) -> Decision:
        return self.apply(EraseUser(tenant_id=SHOP, user_id=user_id), at)

    def refund(
        self, user_id: str, amount: int, entry: Entry | None = None, at: datetime | None = None, **more: Any
    ) -> Decision:
        """Refund an entry. Without an entry, the refund is goodwill."""
        about: dict[str, Any] = {"related_id": entry.id} if entry else {}
        return self.apply(Refund(tenant_id=SHOP, user_id=user_id, amount=amount, **about, **more), at)

    def clawback(self, user_id: str, entry: Entry, at: datetime | None = None, **more: Any) -> Decision:
        return self.apply(Clawback(tenant_id=SHOP, user_id=user_id, related_id=entry.id, **more), at)

    def cancel_pending(self, user_id: str, entry: Entry, at: datetime | None = None) -> Decision:
        return self.apply(CancelPending(tenant_id=SHOP, user_id=user_id, related_id=entry.id), at)

    def activate_due(self, user_id: str, as_of: datetime, at: datetime | None = None) -> Decision:
        command = ActivateDue(tenant_id=SHOP, user_id=user_id, as_of=as_of)
        return self.apply(command, at or max(self.now, as_of))

    def open(self, user_id: str, *lots: OpeningLot, **more: Any) -> Decision:
        return self.apply(ImportOpeningBalance(tenant_id=SHOP, user_id=user_id, lots=lots, **more))

    # ------------------------------------------------------------------------------------- queries

    def read_set(self, command: AnyCommand) -> ReadSet:
        """Return the read set of a command at the current time."""
        return read_set_of([Accepted(1, command, self.now)], self.book)

    def account(self, user_id: str) -> Account:
        return self.book.accounts[SHOP, user_id]

    def balance(self, user_id: str) -> int:
        return self.account(user_id).balance

    def entries(self, user_id: str) -> list[Entry]:
        account_id = self.account(user_id).id
        return [entry for entry in self.book.entries if entry.account_id == account_id]

    def last_entry(self, user_id: str) -> Entry:
        return self.entries(user_id)[-1]

    def history(self, user_id: str) -> list[tuple[str, int]]:
        """Return the account's entries as (subtype, signed points)."""
        return [(entry.subtype, entry.delta) for entry in self.entries(user_id)]

    def lots(self, user_id: str) -> list[Lot]:
        return self.account(user_id).lots

    def hold(self, user_id: str, amount: int, at: datetime | None = None, **more: Any) -> Hold:
        """Open a hold."""
        opened = data_of(self.freeze(user_id, amount, at, **more))
        return self.account(user_id).holds[opened["hold_id"]]

    def frozen(self, user_id: str) -> int:
        return self.account(user_id).frozen_balance

    def left(self, user_id: str) -> list[int]:
        """Return the remaining points of each lot, in consumption order."""
        return [lot.remaining for lot in self.lots(user_id)]


def data_of(decision: Decision) -> dict[str, Any]:
    """Return the data of an applied command."""
    assert isinstance(decision, Applied), decision
    return decision.data


def refusal_of(decision: Decision) -> Refused:
    assert isinstance(decision, Refused), decision
    return decision


def reason_of(decision: Decision) -> str:
    return refusal_of(decision).reason.name


def shop_with_lots(*lots: tuple[int, datetime | None], **config: Any) -> Shop:
    """Create a shop where Anna has a lot for each amount and expiry."""
    shop = Shop(**config)
    for amount, expires_at in lots:
        shop.earn("anna", amount, expires_at=expires_at)
    return shop


def visited(shop: Shop, *moments: str, user_id: str = "anna") -> list[int]:
    """Return the points that are granted for a visit at each of these moments."""
    return [data_of(shop.event(user_id, at=moment(text)))["points_earned"] for text in moments]


def grant_of(shop: Shop, **event: Any) -> dict[str, Any]:
    """Apply an event for Anna, and return its only grant."""
    grants = data_of(shop.event("anna", **event))["grants"]
    assert len(grants) == 1
    return dict(grants[0])


def three_lots() -> Shop:
    """Create a shop where Anna has 10 points until April, 20 until May and 40 without expiry."""
    shop = Shop()
    shop.earn("anna", 10, expires_at=APRIL)
    shop.earn("anna", 20, expires_at=MAY)
    shop.earn("anna", 40)
    return shop


def lot_expiries(shop: Shop) -> list[tuple[int, datetime | None]]:
    """Return the remaining points and the expiry of each of Anna's lots."""
    return [(lot.remaining, lot.expires_at) for lot in shop.lots("anna")]
