"""Points by the month of expiry: as of now, whole, and without reading every lot."""

from datetime import timedelta
from typing import Any

import pytest

from pointledger import Earn, Freeze, Refund, SetExpiryExemption
from pointledger.errors import AccountMissing
from tests.client.queries.conftest import clock
from tests.ledger import Ledger

ANNA: dict[str, Any] = {"tenant_id": "shop", "user_id": "anna"}


def test_months_later_and_never_add_up_to_what_is_available(ledger: Ledger) -> None:
    now = clock(ledger)
    ledger.apply(
        Earn(**ANNA, amount=500, expires_at=now + timedelta(days=3)),
        Earn(**ANNA, amount=300, expires_at=now + timedelta(days=95)),
        Earn(**ANNA, amount=200, expires_at=now + timedelta(days=4_000)),
        Earn(**ANNA, amount=100),
        Earn(**ANNA, amount=70, activates_at=now + timedelta(days=2)),
        Freeze(**ANNA, amount=450),
    )
    found = ledger.client.points_by_expiry("shop", "anna")
    by_month = {f"{each.month:%Y-%m}": each.points for each in found.months if each.points}
    assert by_month[f"{now + timedelta(days=95):%Y-%m}"] == 300
    assert by_month[f"{now + timedelta(days=3):%Y-%m}"] == 50
    assert (found.later, found.never, found.expiring, found.lots_in_all) == (200, 100, 550, 3)
    assert found.expiring + found.never == ledger.balance("anna")
    assert [lot["points"] for lot in found.lots] == [50, 300, 200]
    assert [len(found.months), found.months[0].month.day] == [13, 1]


def test_what_is_due_but_not_recorded_counts_as_it_is_now(ledger: Ledger) -> None:
    now = clock(ledger)
    past = now - timedelta(days=10)
    ledger.apply(
        Earn(**ANNA, amount=40, occurred_at=past, expires_at=now - timedelta(days=1)),
        Earn(**ANNA, amount=25, expires_at=now + timedelta(days=40)),
        Freeze(**ANNA, amount=5, expires_at=now + timedelta(milliseconds=1)),
    )
    found = ledger.client.points_by_expiry("shop", "anna")
    account = ledger.client.account("shop", "anna")
    assert found.expiring + found.never == account["balance"]
    expiring = ledger.client.expiring("shop", "anna", 36_500)
    assert (found.expiring, found.lots_in_all) == (expiring.points, expiring.lots_in_all)
    assert [lot["points"] for lot in found.lots] == [lot["points"] for lot in expiring.lots]


def test_points_that_are_spared_although_due_count_for_this_month(ledger: Ledger) -> None:
    now = clock(ledger)
    ledger.apply(
        Earn(**ANNA, amount=1),
        SetExpiryExemption(**ANNA, exempt=True, reason="the law"),
        Earn(**ANNA, amount=30, expires_at=now + timedelta(days=1)),
        Refund(**ANNA, amount=2),
    )
    found = ledger.client.points_by_expiry("shop", "anna", months=1, lots=1)
    assert found.expiry_exempt
    assert found.expiring + found.never == 33
    assert len(found.lots) == 1


def test_a_user_without_an_account_is_missing(ledger: Ledger) -> None:
    with pytest.raises(AccountMissing):
        ledger.client.points_by_expiry("shop", "nobody")
