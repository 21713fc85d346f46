"""A shop's book in memory, for tests of the domain: put in what there is, apply commands, look.

No server, no clock: `Shop.now` stands still until a test moves it.
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
from pointledger.domain.decisions.read_set import Needs, needs_of
from pointledger.domain.ledger.account import Account
from pointledger.domain.ledger.book import Book
from pointledger.domain.ledger.entry import Entry
from pointledger.domain.ledger.holds import Hold
from pointledger.domain.ledger.lots import Lot
from pointledger.domain.program.rule import Rule, Rules, rule_from
from pointledger.domain.program.tenant import Tenant, tenant_from
from pointledger.domain.values.pseudonyms import Pseudonyms

SHOP = "shop"


def moment(text: str) -> datetime:
    """`2026-03-01`, `2026-03-01 10:00` or with an offset; UTC unless it says otherwise."""
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


NOON = moment("2026-03-01 12:00")


class Shop:
    """One tenant's book. What a method returns is what `decide` said."""

    def __init__(self, now: datetime = NOON, **config: Any) -> None:
        self.now = now
        self.book = Book(now, pseudonyms=Pseudonyms(b"a key"))
        self.last: AnyCommand | None = None  # the command that was applied last
        self.configure(**config)

    # ------------------------------------------------------------------------------- what there is

    def configure(self, **config: Any) -> None:
        """Puts the tenant's next configuration; what is left out takes its default."""
        self.book.tenants[SHOP] = tenant_from({"tenant_id": SHOP, **config})

    @property
    def tenant(self) -> Tenant:
        return self.book.tenants[SHOP]

    def rule(self, event_type: str = "visit", in_force_from: datetime | None = None, **fields: Any) -> Rule:
        """Puts a rule; one of a name that is known becomes its next version."""
        known = self.book.rules_of(self.tenant).versions
        body = rule_from({"name": f"rule {len(known)}", "event_type": event_type, **fields})
        versions = [rule for rule in known if rule.body.name == body.name]
        rule_id = versions[0].id if versions else UUID(int=len(known) + 1)
        rule = Rule(rule_id, len(versions) + 1, in_force_from, body)
        self.book.rules[SHOP] = Rules((*known, rule))
        return rule

    # ------------------------------------------------------------------------------------ commands

    def apply(self, command: AnyCommand, at: datetime | None = None) -> Decision:
        """Accepts and decides at `at`, which becomes the time it is."""
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
        """The sweep at `as_of`, accepted then if not told otherwise: it believes no future."""
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
        return self.apply(SetStatus(tenant_id=SHOP, user_id=user_id, status=status, reason="asked for"), at)

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
        """Of that entry; of none, it is goodwill."""
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

    # ------------------------------------------------------------------------------------- looking

    def needs(self, command: AnyCommand) -> Needs:
        """What would be loaded to decide the command now."""
        return needs_of([Accepted(1, command, self.now)], self.book)

    def account(self, user_id: str) -> Account:
        return self.book.accounts[SHOP, user_id]

    def balance(self, user_id: str) -> int:
        return self.account(user_id).balance

    def entries(self, user_id: str) -> list[Entry]:
        account_id = self.account(user_id).id
        return [entry for entry in self.book.entries if entry.account_id == account_id]

    def last_entry(self, user_id: str) -> Entry:
        return self.entries(user_id)[-1]

    def told(self, user_id: str) -> list[tuple[str, int]]:
        """The account's entries as (subtype, signed points)."""
        return [(entry.subtype, entry.delta) for entry in self.entries(user_id)]

    def lots(self, user_id: str) -> list[Lot]:
        return self.account(user_id).lots

    def hold(self, user_id: str, amount: int, at: datetime | None = None, **more: Any) -> Hold:
        """A hold that is opened now."""
        opened = data_of(self.freeze(user_id, amount, at, **more))
        return self.account(user_id).holds[opened["hold_id"]]

    def frozen(self, user_id: str) -> int:
        return self.account(user_id).frozen_balance

    def left(self, user_id: str) -> list[int]:
        """What remains in each lot, in consumption order."""
        return [lot.remaining for lot in self.lots(user_id)]


def data_of(decision: Decision) -> dict[str, Any]:
    """What an applied command tells."""
    assert isinstance(decision, Applied), decision
    return decision.data


def refusal_of(decision: Decision) -> Refused:
    assert isinstance(decision, Refused), decision
    return decision


def reason_of(decision: Decision) -> str:
    return refusal_of(decision).reason.name
