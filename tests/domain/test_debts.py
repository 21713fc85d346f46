"""Tests which lots repay debt: the incoming ones, in consumption order."""

from collections.abc import Callable
from datetime import datetime

import pytest

from pointledger.domain.commands import OpeningLot
from tests.domain.books import NOON, Shop, data_of, moment

APRIL, MAY, JUNE = moment("2026-04-01"), moment("2026-05-01"), moment("2026-06-01")


def in_debt(owed: int, shop: Shop) -> Shop:
    """Let Anna spend all points and owe some of the points that she earned first."""
    shop.earn("anna", owed)
    earned = shop.last_entry("anna")
    shop.spend("anna", shop.balance("anna"))
    shop.clawback("anna", earned, policy="arrears")
    assert (shop.balance("anna"), shop.account("anna").debt) == (0, owed)
    return shop


def by_release(shop: Shop) -> None:
    shop.earn("anna", 3, expires_at=APRIL)
    shop.earn("anna", 4)
    hold = shop.hold("anna", 7)
    in_debt(4, shop)
    data_of(shop.unfreeze("anna", hold_id=hold.id))


def by_timeout(shop: Shop) -> None:
    shop.earn("anna", 3, expires_at=APRIL)
    shop.earn("anna", 4)
    shop.hold("anna", 7, expires_at=moment("2026-03-10"))
    in_debt(4, shop)
    data_of(shop.release_due("anna", moment("2026-03-10")))


def by_capture_of_a_part(shop: Shop) -> None:
    shop.earn("anna", 2, expires_at=APRIL)
    shop.earn("anna", 3, expires_at=MAY)
    shop.earn("anna", 4)
    hold = shop.hold("anna", 9)
    in_debt(4, shop)
    data_of(shop.capture("anna", hold.id, amount=2))


def by_refund(shop: Shop) -> None:
    shop.earn("anna", 3, expires_at=APRIL)
    shop.earn("anna", 4)
    shop.spend("anna", 7)
    spend = shop.last_entry("anna")
    in_debt(4, shop)
    data_of(shop.refund("anna", 7, spend))


def by_activation(shop: Shop) -> None:
    tenth = moment("2026-03-10")
    shop.earn("anna", 4, activates_at=tenth)
    shop.earn("anna", 3, activates_at=tenth, expires_at=APRIL)
    in_debt(4, shop)
    data_of(shop.activate_due("anna", tenth))


def by_transfer(shop: Shop) -> None:
    shop.earn("ben", 4)
    shop.earn("ben", 3, expires_at=APRIL)
    in_debt(4, shop)
    data_of(shop.transfer("ben", "anna", 7))


@pytest.mark.parametrize(
    "credit", [by_release, by_timeout, by_capture_of_a_part, by_refund, by_activation, by_transfer]
)
def test_the_lots_that_expire_first_repay_debt(credit: Callable[[Shop], None]) -> None:
    shop = Shop(transfer_enabled=True)
    credit(shop)
    account = shop.account("anna")
    assert [(lot.remaining, lot.expires_at) for lot in account.lots] == [(3, None)]
    assert (account.balance, account.debt) == (3, 0)


def test_late_points_repay_debt_by_their_grace_expiry() -> None:
    shop = Shop(hold_grace_days=7)
    shop.earn("anna", 3, expires_at=moment("2026-03-05"))
    shop.earn("anna", 4, expires_at=moment("2026-03-20"))
    hold = shop.hold("anna", 7)
    in_debt(4, shop)
    data_of(shop.unfreeze("anna", hold_id=hold.id, at=moment("2026-03-19")))
    # The 4 expire on the 20th, the 3 on the 26th, a week after their return.
    assert [(lot.remaining, lot.expires_at) for lot in shop.lots("anna")] == [(3, moment("2026-03-26"))]


def test_expired_points_without_grace_repay_debt_first() -> None:
    shop = Shop(hold_grace_days=0)
    shop.earn("anna", 3, expires_at=moment("2026-03-05"))
    shop.earn("anna", 4)
    hold = shop.hold("anna", 7)
    in_debt(4, shop)
    data_of(shop.unfreeze("anna", hold_id=hold.id, at=moment("2026-03-19")))
    account = shop.account("anna")
    assert (account.balance, account.debt, account.expired_points) == (3, 0, 0)


def test_each_entry_repays_debt_from_its_own_lots() -> None:
    shop = in_debt(5, Shop())

    def lot(amount: int, expires_at: datetime | None) -> OpeningLot:
        return OpeningLot(amount=amount, earned_at=NOON, expires_at=expires_at)

    data_of(shop.open("anna", lot(3, JUNE), lot(4, APRIL)))
    assert [(each.remaining, each.expires_at) for each in shop.lots("anna")] == [(2, APRIL)]
    assert [entry.delta_debt for entry in shop.entries("anna")[-2:]] == [-3, -2]
