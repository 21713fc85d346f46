"""Tests holds together with debt, refunds and pending points."""

from copy import deepcopy
from datetime import timedelta
from typing import Any

from pointledger.client.queries.dry_run import dry_run
from pointledger.domain.commands import ApplyRule, SetStatus
from tests.domain.books import NOON, SHOP, Shop, data_of


def in_debt(**config: Any) -> Shop:
    """Create a shop where Anna has 40 held points, no available points and 25 points of debt."""
    shop = Shop(**config)
    shop.earn("anna", 100)
    earned = shop.entries("anna")[0]
    shop.freeze("anna", 40)
    shop.spend("anna", 60)
    shop.clawback("anna", earned, amount=25, policy="arrears")
    assert (shop.account("anna").debt, shop.account("anna").frozen_balance) == (25, 40)
    return shop


def test_released_points_repay_debt_first() -> None:
    shop = in_debt()
    shop.unfreeze("anna", amount=30)
    account = shop.account("anna")
    assert (account.balance, account.frozen_balance, account.debt) == (5, 10, 0)
    entry = shop.entries("anna")[-1]
    assert (entry.delta, entry.delta_frozen, entry.delta_debt, entry.unsettled) == (5, -30, -25, 0)
    assert [(move.kind, move.amount) for move in shop.book.moves if move.entry_id == entry.id] == [
        ("debt", 25)
    ]
    assert [(lot.remaining, lot.frozen, lot.state) for lot in account.lots] == [(5, 10, "active")]


def test_a_lot_whose_points_all_repay_debt_ends() -> None:
    shop = in_debt()
    shop.unfreeze("anna", amount=20)
    shop.capture("anna", shop.entries("anna")[1].id)
    assert shop.account("anna").debt == 5
    assert shop.account("anna").lots == []
    assert {lot.state for lot in shop.book.new_lots} == {"consumed"}


def test_points_that_return_in_a_new_lot_repay_debt_from_it() -> None:
    shop = Shop(hold_grace_days=7)
    shop.earn("anna", 40, expires_at=NOON + timedelta(days=1))
    earned = shop.entries("anna")[0]
    shop.freeze("anna", 40)
    shop.clawback("anna", earned, amount=15, policy="arrears")
    shop.now = NOON + timedelta(days=2)
    shop.unfreeze("anna", amount=40)
    account = shop.account("anna")
    assert (account.balance, account.debt) == (25, 0)
    assert [(lot.amount, lot.remaining, lot.origin_id) for lot in account.lots] == [(40, 25, earned.id)]
    assert account.next_expiry_at == NOON + timedelta(days=9)


def test_a_positive_adjustment_repays_debt_and_counts_in_its_total() -> None:
    shop = in_debt()
    shop.adjust("anna", 30)
    account = shop.account("anna")
    assert (account.balance, account.debt, account.total_adjusted_in) == (5, 0, 30)


def test_a_capture_is_refunded_to_the_lots_that_paid() -> None:
    shop = Shop()
    shop.earn("anna", 10, expires_at=NOON + timedelta(days=3))
    shop.earn("anna", 10, expires_at=NOON + timedelta(days=5))
    hold = shop.freeze("anna", 15)
    shop.capture("anna", data_of(hold)["hold_id"])
    spent = shop.entries("anna")[-1]
    shop.refund("anna", 8, spent)
    assert [(lot.remaining, lot.frozen) for lot in shop.account("anna").lots] == [(3, 0), (10, 0)]


def test_debt_makes_room_below_the_maximum_and_held_points_take_none() -> None:
    shop = in_debt(max_balance=100)
    assert isinstance(data_of(shop.earn("anna", 125)), dict)
    assert shop.account("anna").balance == 100


def test_closing_forfeits_pending_points_by_a_separate_entry() -> None:
    shop = Shop()
    shop.earn("anna", 10)
    shop.earn("anna", 7, activates_at=NOON + timedelta(days=4))
    shop.earn("anna", 8, activates_at=NOON + timedelta(days=5))
    data = data_of(shop.set_status("anna", "closed"))
    assert data["points_forfeited"] == 25
    account = shop.account("anna")
    assert (account.balance, account.pending_balance, account.next_activation_at) == (0, 0, None)
    assert (account.total_adjusted_out, account.pending, account.lots) == (25, [], [])
    assert [(e.amount, e.delta, e.delta_pending) for e in shop.entries("anna")[-2:]] == [
        (10, -10, 0),
        (15, 0, -15),
    ]
    assert [lot.state for lot in shop.book.new_lots] == ["consumed", "cancelled", "cancelled"]


def test_closing_reads_all_pending_lots_and_suspending_does_not() -> None:
    shop = Shop()
    shop.earn("anna", 7, activates_at=NOON + timedelta(days=4))
    fields = {"tenant_id": SHOP, "user_id": "anna", "reason": "requested"}
    for status in ("suspended", "closed"):
        read_set = shop.read_set(SetStatus.model_validate(fields | {"status": status}))
        assert read_set.accounts[SHOP, "anna"].pending is (status == "closed")


def test_debt_outlives_the_account() -> None:
    shop = in_debt()
    shop.capture("anna", shop.entries("anna")[1].id)
    shop.set_status("anna", "closed")
    assert (shop.account("anna").status, shop.account("anna").debt) == ("closed", 25)


def test_holds_time_out_before_points_become_available_before_they_expire() -> None:
    shop = Shop()
    shop.earn("anna", 10)
    shop.freeze("anna", 10, expires_at=NOON + timedelta(days=1))
    later = NOON + timedelta(days=2)
    shop.earn("anna", 5, activates_at=later, expires_at=later + timedelta(days=1))
    shop.now = later + timedelta(days=1)
    shop.activate_due("anna", shop.now)
    assert [e.subtype for e in shop.entries("anna")[-3:]] == ["timeout", "activation", "scheduled"]
    assert shop.balance("anna") == 10


def test_a_dry_run_leaves_holds_and_pending_points_as_they_are() -> None:
    shop = Shop()
    shop.rule(points=1)
    shop.earn("anna", 10)
    shop.freeze("anna", 10, expires_at=NOON + timedelta(days=1))
    shop.earn("anna", 5, activates_at=NOON + timedelta(days=1))
    shop.now = NOON + timedelta(days=2)
    before = deepcopy(shop.book)
    event = ApplyRule(tenant_id=SHOP, user_id="anna", event_type="visit")
    assert dry_run(shop.book, event, shop.now).decision
    assert shop.book == before


def test_a_future_as_of_does_not_activate_pending_points() -> None:
    shop = Shop()
    shop.earn("anna", 5, activates_at=NOON + timedelta(days=1))
    shop.activate_due("anna", NOON + timedelta(days=1), at=NOON)
    assert (shop.balance("anna"), shop.account("anna").pending_balance) == (0, 5)
