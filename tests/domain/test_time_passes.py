"""Tests that a refused command still applies the due changes of its user's account."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from pointledger.domain.commands import CancelPending, OpenAccount, WalletAdjust
from pointledger.domain.commands.outcomes import Decision
from tests.domain.books import NOON, SHOP, Shop, moment, reason_of

TENTH, ELEVENTH = moment("2026-03-10"), moment("2026-03-11")


def something_due(**config: Any) -> Shop:
    """Create a shop where, on the tenth, Anna's account releases 6, activates 8 and expires 4 points."""
    shop = Shop(transfer_enabled=True, **config)
    shop.earn("anna", 6)
    shop.freeze("anna", 6, expires_at=TENTH)
    shop.earn("anna", 8, activates_at=TENTH)
    shop.earn("anna", 4, expires_at=TENTH)
    return shop


def _frozen(shop: Shop) -> Decision:
    shop.configure(**{**shop.tenant.model_dump(exclude={"tenant_id"}), "spend_enabled": False})
    return shop.spend("anna", 1)


def _suspended(shop: Shop) -> Decision:
    shop.account("anna").status = "suspended"
    return shop.spend("anna", 1)


REFUSALS: dict[str, Callable[[Shop], Decision]] = {
    "FEATURE_DISABLED": _frozen,
    "SELF_TRANSFER": lambda shop: shop.transfer("anna", "anna", 1),
    "ACCOUNT_SUSPENDED": _suspended,
    "ACCOUNT_EXISTS": lambda shop: shop.apply(OpenAccount(tenant_id=SHOP, user_id="anna")),
    "RECIPIENT_NOT_FOUND": lambda shop: shop.transfer("anna", "unknown", 1),
    "RELATED_NOT_FOUND": lambda shop: shop.apply(
        CancelPending(tenant_id=SHOP, user_id="anna", related_id=UUID(int=1))
    ),
    "RELATED_NOT_REVERSIBLE": lambda shop: shop.refund("anna", 1, shop.entries("anna")[0]),
    "NO_MATCHING_RULE": lambda shop: shop.event("anna"),
    "BELOW_MINIMUM": lambda shop: shop.spend("anna", 1),
    "MAX_BALANCE": lambda shop: shop.earn("anna", 1001),
    "INSUFFICIENT_BALANCE": lambda shop: shop.spend("anna", 500),
    "INSUFFICIENT_FROZEN": lambda shop: shop.unfreeze("anna", amount=500),
    "WALLET_NOT_FOUND": lambda shop: shop.apply(
        WalletAdjust(tenant_id=SHOP, user_id="anna", type="withdraw", amount="1", reason="requested")
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_due_changes_apply_when_a_command_is_refused(name: str) -> None:
    shop = something_due(min_spend_points=2, max_balance=1000)
    shop.now = ELEVENTH
    assert reason_of(REFUSALS[name](shop)) == name
    assert [(entry.subtype, entry.amount) for entry in shop.book.written] == [
        ("timeout", 6),
        ("activation", 8),
        ("scheduled", 4),
    ]
    assert (shop.account("anna").as_of, shop.balance("anna")) == (ELEVENTH, 14)


def test_a_backdated_command_is_decided_by_the_clock_that_a_refusal_has_advanced() -> None:
    shop = Shop(backdating_days=None)
    shop.earn("anna", 5, expires_at=TENTH)
    assert reason_of(shop.transfer("anna", "unknown", 1, at=ELEVENTH)) == "FEATURE_DISABLED"
    assert reason_of(shop.spend("anna", 5, occurred_at=NOON)) == "INSUFFICIENT_BALANCE"


@pytest.mark.parametrize("status", ["closed", "erased"])
def test_the_clock_of_a_closed_account_does_not_advance(status: str) -> None:
    shop = Shop()
    shop.earn("anna", 5)
    shop.account("anna").status = status
    assert reason_of(shop.spend("anna", 5, at=ELEVENTH)) == f"ACCOUNT_{status.upper()}"
    assert shop.account("anna").as_of == NOON


def test_an_unknown_tenant_changes_nothing() -> None:
    shop = something_due()
    shop.book.tenants.clear()
    assert reason_of(shop.spend("anna", 5, at=ELEVENTH)) == "TENANT_UNKNOWN"
    assert shop.account("anna").as_of == NOON
