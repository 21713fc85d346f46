"""Refusals: one reason, the first in the order of `Reason` that holds, and nothing has changed."""

import re
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest

from pointledger.domain.commands import Clawback, Refund
from pointledger.domain.commands.outcomes import Decision, Outcome, Reason, State
from pointledger.domain.ledger.account import MAX_TOTAL
from tests.domain.books import Shop, moment, refusal_of

TESTS = Path(__file__).parents[1]
APRIL = moment("2026-04-01")

Fault = tuple[Reason, Callable[[Shop], None]]


def _configured(**config: object) -> Callable[[Shop], None]:
    """What changes the tenant's configuration, keeping what else it says."""

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
    """All that could ever come has come."""

    def fill(shop: Shop) -> None:
        if account := shop.book.accounts.get(("shop", user_id)):
            account.total_earned = account.total_adjusted_in = account.total_transferred_in = MAX_TOTAL

    return fill


def _no_rules(shop: Shop) -> None:
    shop.book.rules.clear()


def _nothing(shop: Shop) -> None:
    """The shop is faulty as it is."""


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


# For each kind of command: what can be wrong with a shop where Anna and Ben have 10 points each, Anna 5 more
# in a hold, and a rule that refuses grants 50, in order of precedence.
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
    "adjust upwards": (
        _give,
        [
            (Reason.TENANT_UNKNOWN, _no_tenant),
            (Reason.ACCOUNT_CLOSED, _status("anna", "closed")),
            (Reason.MAX_BALANCE, _configured(max_balance=20)),
            (Reason.FIGURE_TOO_LARGE, _full("anna")),
        ],
    ),
    "adjust downwards": (
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


def _shop() -> Shop:
    shop = Shop(transfer_enabled=True)
    shop.earn("anna", 15)
    shop.freeze("anna", 5)
    shop.earn("ben", 10)
    shop.rule(points=50, daily_limit=49, on_exceed="refuse")
    return shop


@pytest.mark.parametrize("chain", CHAINS)
def test_of_several_reasons_the_first_in_order_is_given(chain: str) -> None:
    act, faults = CHAINS[chain]
    given = []
    for cured in range(len(faults)):
        shop = _shop()
        for _, break_it in reversed(faults[cured:]):
            break_it(shop)
        given.append(refusal_of(act(shop)).reason)
    assert given == [reason for reason, _ in faults]
    order = list(Reason)
    assert given == sorted(given, key=order.index)


@pytest.mark.parametrize("chain", CHAINS)
def test_a_refusal_changes_nothing(chain: str) -> None:
    act, faults = CHAINS[chain]
    for _, break_it in faults:
        shop = _shop()
        break_it(shop)
        before = _state(shop)
        refusal_of(act(shop))
        assert _state(shop) == before


def _state(shop: Shop) -> str:
    book = shop.book
    used = {window: usage for window, usage in book.usage.items() if usage.changed}
    return repr((book.accounts, book.entries, book.new_lots, book.moves, used))


def test_the_reasons_stand_in_the_order_of_the_specification() -> None:
    specified = (
        "TENANT_UNKNOWN FEATURE_DISABLED SELF_TRANSFER ACCOUNT_NOT_FOUND ACCOUNT_EXISTS ACCOUNT_SUSPENDED "
        "ACCOUNT_CLOSED ACCOUNT_ERASED "
        "OPEN_HOLDS RECIPIENT_NOT_FOUND RECIPIENT_INACTIVE WALLET_NOT_FOUND WALLET_INACTIVE "
        "CURRENCY_MISMATCH AMOUNT_INVALID RELATED_NOT_FOUND RELATED_NOT_REVERSIBLE "
        "NO_MATCHING_RULE BELOW_MINIMUM LIMIT_REACHED MAX_BALANCE INSUFFICIENT_BALANCE INSUFFICIENT_FROZEN "
        "FIGURE_TOO_LARGE"
    )
    assert [reason.value for reason in Reason] == specified.split()


def test_a_refusal_is_final_and_so_is_whatever_else_is_no_more_waited_for() -> None:
    states: tuple[State, ...] = ("pending", "applied", "refused", "dead", "unknown")
    assert [Outcome("x", state=state).is_final for state in states] == [False, True, True, True, False]


def test_an_outcome_is_told_in_one_form() -> None:
    outcome = Outcome("x", "shop", "spend", "refused", "BELOW_MINIMUM", "too few", APRIL, APRIL)
    assert outcome.as_json() == {
        "task_id": "x",
        "tenant_id": "shop",
        "kind": "spend",
        "state": "refused",
        "reason": "BELOW_MINIMUM",
        "message": "too few",
        "accepted_at": "2026-04-01T00:00:00Z",
        "applied_at": "2026-04-01T00:00:00Z",
        "data": None,
    }


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_is_refused_in_a_test_of_its_own_besides_this_file(reason: Reason) -> None:
    word = re.compile(rf"\b{reason.name}\b")
    assert any(
        word.search(file.read_text(encoding="utf-8"))
        for file in TESTS.rglob("test_*.py")
        if file != Path(__file__)
    )
