"""A shop of Anna and Ben: what can be wrong with it, and a command of each kind."""

from collections.abc import Callable
from uuid import UUID

from pointledger.domain.commands import Clawback, Refund
from pointledger.domain.commands.outcomes import Decision
from pointledger.domain.ledger.account import MAX_TOTAL
from tests.domain.books import APRIL, Shop


def new_shop() -> Shop:
    shop = Shop(transfer_enabled=True)
    shop.earn("anna", 15)
    shop.freeze("anna", 5)
    shop.earn("ben", 10)
    shop.rule(points=50, daily_limit=49, on_exceed="refuse")
    return shop


def configured(**config: object) -> Callable[[Shop], None]:
    """Return a step that changes fields of the tenant's configuration."""

    def change(shop: Shop) -> None:
        shop.configure(**{**shop.tenant.model_dump(exclude={"tenant_id"}), **config})

    return change


def no_tenant(shop: Shop) -> None:
    shop.book.tenants.clear()


def no_account(user_id: str) -> Callable[[Shop], None]:
    def remove(shop: Shop) -> None:
        shop.book.accounts.pop(("shop", user_id), None)

    return remove


def status(user_id: str, status: str) -> Callable[[Shop], None]:
    def change(shop: Shop) -> None:
        if account := shop.book.accounts.get(("shop", user_id)):
            account.status = status

    return change


def full(user_id: str) -> Callable[[Shop], None]:
    """Return a step that sets the totals of the account to their maximum."""

    def fill(shop: Shop) -> None:
        if account := shop.book.accounts.get(("shop", user_id)):
            account.total_earned = account.total_adjusted_in = account.total_transferred_in = MAX_TOTAL

    return fill


def no_rules(shop: Shop) -> None:
    shop.book.rules.clear()


def nothing(shop: Shop) -> None:
    """Change nothing: the shop already has the fault."""


def spend(shop: Shop) -> Decision:
    return shop.spend("anna", 50)


def transfer(shop: Shop) -> Decision:
    return shop.transfer("anna", "ben", 50)


def transfer_to_oneself(shop: Shop) -> Decision:
    return shop.transfer("anna", "anna", 50)


def earn(shop: Shop) -> Decision:
    return shop.earn("anna", 50)


def event(shop: Shop) -> Decision:
    return shop.event("anna")


def expire(shop: Shop) -> Decision:
    return shop.expire("anna", 50)


def refund(shop: Shop) -> Decision:
    return shop.refund("anna", 50, shop.book.entries[0] if shop.book.entries else None)


def clawback(shop: Shop) -> Decision:
    return shop.apply(Clawback(tenant_id="shop", user_id="anna", related_id=UUID(int=7)))


def refund_of_nothing(shop: Shop) -> Decision:
    return shop.apply(Refund(tenant_id="shop", user_id="anna", amount=50, related_id=UUID(int=7)))


def hold_id(shop: Shop) -> UUID:
    return next(entry.id for entry in shop.book.entries if entry.type == "freeze")


def no_holds(shop: Shop) -> None:
    if account := shop.book.accounts.get(("shop", "anna")):
        account.holds.clear()


def released(shop: Shop) -> None:
    shop.unfreeze("anna", hold_id=hold_id(shop))


def freeze(shop: Shop) -> Decision:
    return shop.freeze("anna", 50)


def unfreeze(shop: Shop) -> Decision:
    return shop.unfreeze("anna", amount=50)


def unfreeze_a_hold(shop: Shop) -> Decision:
    return shop.unfreeze("anna", hold_id=hold_id(shop), amount=50)


def capture(shop: Shop) -> Decision:
    return shop.capture("anna", hold_id(shop), amount=50)


def release_due(shop: Shop) -> Decision:
    return shop.release_due("anna", APRIL)


def give(shop: Shop) -> Decision:
    return shop.adjust("anna", 50)


def take(shop: Shop) -> Decision:
    return shop.adjust("anna", -50)


def close(shop: Shop) -> Decision:
    return shop.set_status("anna", "closed")
