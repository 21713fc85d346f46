"""Lists the faults of a shop for each kind of command, in order of precedence."""

from collections.abc import Callable
from uuid import UUID

from pointledger.domain.commands import Clawback, Refund
from pointledger.domain.commands.outcomes import Decision, Reason
from pointledger.domain.ledger.account import MAX_TOTAL
from tests.domain.books import APRIL, Shop

Fault = tuple[Reason, Callable[[Shop], None]]


def _configured(**config: object) -> Callable[[Shop], None]:
    """Return a step that changes fields of the tenant's configuration."""

    def change(shop: Shop) -> None:
        shop.configure(**{**shop.tenant.model_dump(exclude={"tenant_id"}), **config})

    return change


def _no_tenant(shop: Shop) -> None:
    shop.book.tenants.clear()


def _no_account(user_id: str) -> Callable[[Shop], None]:
    def remove(shop: Shop) -> None:
        shop.book.accounts.pop(("shop", user_id), None)

    return remove


def _status(user_id: str, status: str) -> Callable[[Shop], None]:
    def change(shop: Shop) -> None:
        if account := shop.book.accounts.get(("shop", user_id)):
            account.status = status

    return change


def _full(user_id: str) -> Callable[[Shop], None]:
    """Return a step that sets the totals of the account to their maximum."""

    def fill(shop: Shop) -> None:
        if account := shop.book.accounts.get(("shop", user_id)):
            account.total_earned = account.total_adjusted_in = account.total_transferred_in = MAX_TOTAL

    return fill


def _no_rules(shop: Shop) -> None:
    shop.book.rules.clear()


def _nothing(shop: Shop) -> None:
    """Change nothing: the shop already has the fault."""


def _spend(shop: Shop) -> Decision:
    return shop.spend("anna", 50)


def _transfer(shop: Shop) -> Decision:
    return shop.transfer("anna", "ben", 50)


def _transfer_to_oneself(shop: Shop) -> Decision:
    return shop.transfer("anna", "anna", 50)


def _earn(shop: Shop) -> Decision:
    return shop.earn("anna", 50)


def _event(shop: Shop) -> Decision:
    return shop.event("anna")


def _expire(shop: Shop) -> Decision:
    return shop.expire("anna", 50)


def _refund(shop: Shop) -> Decision:
    return shop.refund("anna", 50, shop.book.entries[0] if shop.book.entries else None)


def _clawback(shop: Shop) -> Decision:
    return shop.apply(Clawback(tenant_id="shop", user_id="anna", related_id=UUID(int=7)))


def _refund_of_nothing(shop: Shop) -> Decision:
    return shop.apply(Refund(tenant_id="shop", user_id="anna", amount=50, related_id=UUID(int=7)))


def _hold_id(shop: Shop) -> UUID:
    return next(entry.id for entry in shop.book.entries if entry.type == "freeze")


def _no_holds(shop: Shop) -> None:
    if account := shop.book.accounts.get(("shop", "anna")):
        account.holds.clear()


def _released(shop: Shop) -> None:
    shop.unfreeze("anna", hold_id=_hold_id(shop))


def _freeze(shop: Shop) -> Decision:
    return shop.freeze("anna", 50)


def _unfreeze(shop: Shop) -> Decision:
    return shop.unfreeze("anna", amount=50)


def _unfreeze_a_hold(shop: Shop) -> Decision:
    return shop.unfreeze("anna", hold_id=_hold_id(shop), amount=50)


def _capture(shop: Shop) -> Decision:
    return shop.capture("anna", _hold_id(shop), amount=50)


def _release_due(shop: Shop) -> Decision:
    return shop.release_due("anna", APRIL)


def _give(shop: Shop) -> Decision:
    return shop.adjust("anna", 50)


def _take(shop: Shop) -> Decision:
    return shop.adjust("anna", -50)


def _close(shop: Shop) -> Decision:
    return shop.set_status("anna", "closed")


# For each kind of command: the faults of a shop, in order of precedence. Anna and Ben have 10 points each,
# Anna holds 5 more, and a rule that refuses grants 50.
CHAINS: dict[str, tuple[Callable[[Shop], Decision], list[Fault]]] = {
    "spend, no account": (
        _spend,
        [
            (Reason.TENANT_UNKNOWN, _no_tenant),
            (Reason.FEATURE_DISABLED, _configured(spend_enabled=False)),
            (Reason.ACCOUNT_NOT_FOUND, _no_account("anna")),
            (Reason.ACCOUNT_SUSPENDED, _status("anna", "suspended")),
            (Reason.BELOW_MINIMUM, _configured(min_spend_points=51)),
            (Reason.LIMIT_REACHED, _configured(max_spend_per_day=49)),
            (Reason.INSUFFICIENT_BALANCE, _nothing),
        ],
    ),
    "spend, closed": (
        _spend,
        [
            (Reason.FEATURE_DISABLED, _configured(spend_enabled=False)),
            (Reason.ACCOUNT_CLOSED, _status("anna", "closed")),
            (Reason.BELOW_MINIMUM, _configured(min_spend_points=51)),
            (Reason.INSUFFICIENT_BALANCE, _nothing),
        ],
    ),
    "transfer": (
        _transfer,
        [
            (Reason.TENANT_UNKNOWN, _no_tenant),
            (Reason.FEATURE_DISABLED, _configured(transfer_enabled=False)),
            (Reason.ACCOUNT_NOT_FOUND, _no_account("anna")),
            (Reason.ACCOUNT_SUSPENDED, _status("anna", "suspended")),
            (Reason.RECIPIENT_NOT_FOUND, _no_account("ben")),
            (Reason.RECIPIENT_INACTIVE, _status("ben", "closed")),
            (Reason.MAX_BALANCE, _configured(max_balance=20)),
            (Reason.INSUFFICIENT_BALANCE, _nothing),
            (Reason.INSUFFICIENT_BALANCE, _full("ben")),
        ],
    ),
    "transfer, closed": (
        _transfer,
        [
            (Reason.ACCOUNT_CLOSED, _status("anna", "closed")),
            (Reason.RECIPIENT_INACTIVE, _status("ben", "suspended")),
            (Reason.INSUFFICIENT_BALANCE, _nothing),
        ],
    ),
    "transfer to oneself": (
        _transfer_to_oneself,
        [
            (Reason.TENANT_UNKNOWN, _no_tenant),
            (Reason.FEATURE_DISABLED, _configured(transfer_enabled=False)),
            (Reason.SELF_TRANSFER, _no_account("anna")),
            (Reason.SELF_TRANSFER, _status("anna", "suspended")),
            (Reason.SELF_TRANSFER, _configured(max_balance=20)),
        ],
    ),
    "earn": (
        _earn,
        [
            (Reason.TENANT_UNKNOWN, _no_tenant),
            (Reason.FEATURE_DISABLED, _configured(earn_enabled=False)),
            (Reason.ACCOUNT_SUSPENDED, _status("anna", "suspended")),
            (Reason.LIMIT_REACHED, _configured(max_earn_per_day=49)),
            (Reason.MAX_BALANCE, _configured(max_balance=20)),
            (Reason.FIGURE_TOO_LARGE, _full("anna")),
        ],
    ),
    "apply-rule": (
        _event,
        [
            (Reason.TENANT_UNKNOWN, _no_tenant),
            (Reason.FEATURE_DISABLED, _configured(earn_enabled=False)),
            (Reason.ACCOUNT_CLOSED, _status("anna", "closed")),
            (Reason.NO_MATCHING_RULE, _no_rules),
            (Reason.LIMIT_REACHED, _nothing),
        ],
    ),
    "freeze": (
        _freeze,
        [
            (Reason.TENANT_UNKNOWN, _no_tenant),
            (Reason.FEATURE_DISABLED, _configured(spend_enabled=False)),
            (Reason.ACCOUNT_NOT_FOUND, _no_account("anna")),
            (Reason.ACCOUNT_SUSPENDED, _status("anna", "suspended")),
            (Reason.INSUFFICIENT_BALANCE, _nothing),
        ],
    ),
    "unfreeze": (
        _unfreeze,
        [
            (Reason.TENANT_UNKNOWN, _no_tenant),
            (Reason.ACCOUNT_NOT_FOUND, _no_account("anna")),
            (Reason.ACCOUNT_CLOSED, _status("anna", "closed")),
            (Reason.INSUFFICIENT_FROZEN, _nothing),
        ],
    ),
    "unfreeze a hold": (
        _unfreeze_a_hold,
        [
            (Reason.ACCOUNT_NOT_FOUND, _no_account("anna")),
            (Reason.ACCOUNT_CLOSED, _status("anna", "closed")),
            (Reason.RELATED_NOT_FOUND, _no_holds),
            (Reason.RELATED_NOT_REVERSIBLE, _released),
            (Reason.INSUFFICIENT_FROZEN, _nothing),
        ],
    ),
    "confirm-deduction": (
        _capture,
        [
            (Reason.TENANT_UNKNOWN, _no_tenant),
            (Reason.FEATURE_DISABLED, _configured(spend_enabled=False)),
            (Reason.ACCOUNT_NOT_FOUND, _no_account("anna")),
            (Reason.ACCOUNT_SUSPENDED, _status("anna", "suspended")),
            (Reason.RELATED_NOT_FOUND, _no_holds),
            (Reason.RELATED_NOT_REVERSIBLE, _released),
            (Reason.INSUFFICIENT_FROZEN, _nothing),
        ],
    ),
    "release-holds-due": (
        _release_due,
        [
            (Reason.TENANT_UNKNOWN, _no_tenant),
            (Reason.ACCOUNT_NOT_FOUND, _no_account("anna")),
            (Reason.ACCOUNT_CLOSED, _status("anna", "closed")),
        ],
    ),
    "adjust, positive": (
        _give,
        [
            (Reason.TENANT_UNKNOWN, _no_tenant),
            (Reason.ACCOUNT_CLOSED, _status("anna", "closed")),
            (Reason.MAX_BALANCE, _configured(max_balance=20)),
            (Reason.FIGURE_TOO_LARGE, _full("anna")),
        ],
    ),
    "adjust, negative": (
        _take,
        [
            (Reason.TENANT_UNKNOWN, _no_tenant),
            (Reason.ACCOUNT_NOT_FOUND, _no_account("anna")),
            (Reason.ACCOUNT_CLOSED, _status("anna", "closed")),
            (Reason.INSUFFICIENT_BALANCE, _nothing),
        ],
    ),
    "set-status": (
        _close,
        [
            (Reason.TENANT_UNKNOWN, _no_tenant),
            (Reason.ACCOUNT_NOT_FOUND, _no_account("anna")),
            (Reason.ACCOUNT_CLOSED, _status("anna", "closed")),
            (Reason.OPEN_HOLDS, _nothing),
        ],
    ),
    "expire": (
        _expire,
        [
            (Reason.TENANT_UNKNOWN, _no_tenant),
            (Reason.ACCOUNT_NOT_FOUND, _no_account("anna")),
            (Reason.ACCOUNT_CLOSED, _status("anna", "closed")),
        ],
    ),
    "refund": (
        _refund,
        [
            (Reason.TENANT_UNKNOWN, _no_tenant),
            (Reason.ACCOUNT_NOT_FOUND, _no_account("anna")),
            (Reason.ACCOUNT_CLOSED, _status("anna", "closed")),
            (Reason.RELATED_NOT_REVERSIBLE, _nothing),
        ],
    ),
    "clawback": (
        _clawback,
        [
            (Reason.TENANT_UNKNOWN, _no_tenant),
            (Reason.ACCOUNT_NOT_FOUND, _no_account("anna")),
            (Reason.ACCOUNT_CLOSED, _status("anna", "closed")),
            (Reason.RELATED_NOT_FOUND, _nothing),
        ],
    ),
    "refund of nothing": (
        _refund_of_nothing,
        [(Reason.ACCOUNT_CLOSED, _status("anna", "closed")), (Reason.RELATED_NOT_FOUND, _nothing)],
    ),
}


def new_shop() -> Shop:
    shop = Shop(transfer_enabled=True)
    shop.earn("anna", 15)
    shop.freeze("anna", 5)
    shop.earn("ben", 10)
    shop.rule(points=50, daily_limit=49, on_exceed="refuse")
    return shop
