"""Tests clawbacks and debt. R7 to R12 and L11 are acceptance cases."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from pointledger.domain.commands import CancelPending, Clawback
from tests.domain.books import NOON, SHOP, Shop, data_of, moment, reason_of

APRIL = moment("2026-04-01")


def earned_hundred_spent_eighty(**config: Any) -> Shop:
    shop = Shop(transfer_enabled=True, **config)
    shop.earn("anna", 100, expires_at=APRIL)
    shop.spend("anna", 80)
    return shop


@pytest.mark.parametrize(
    ("policy", "taken", "debt"), [("only_pending", 0, 0), ("within_balance", 20, 0), ("arrears", 100, 80)]
)
def test_r7_the_policy_limits_a_clawback(policy: str, taken: int, debt: int) -> None:
    shop = earned_hundred_spent_eighty()
    data = data_of(shop.clawback("anna", shop.entries("anna")[0], policy=policy))
    account = shop.account("anna")
    assert (data["requested"], data["clawed_back"], data["debt_added"]) == (100, taken, debt)
    assert (account.total_clawed_back, account.debt) == (taken, debt)
    assert account.balance == 20 - (taken - debt)


def test_r7_the_next_earned_points_repay_debt_first_and_both_amounts_are_shown() -> None:
    shop = earned_hundred_spent_eighty()
    shop.clawback("anna", shop.entries("anna")[0], policy="arrears")
    data = data_of(shop.earn("anna", 100))
    clawback, earn = shop.entries("anna")[-2:]
    assert (clawback.type, clawback.subtype, clawback.amount) == ("adjust", "clawback", 100)
    assert (clawback.delta, clawback.delta_debt, clawback.debt_after) == (-20, 80, 80)
    assert (earn.amount, earn.delta, earn.delta_debt) == (100, 20, -80)
    assert data["transactions"][0]["delta_debt"] == -80
    account = shop.account("anna")
    assert (account.balance, account.debt, account.total_earned, shop.left("anna")) == (20, 0, 200, [20])
    assert [(move.kind, move.amount) for move in shop.book.moves[1:]] == [("clawback", 20), ("debt", 80)]


def test_all_incoming_points_repay_debt_first() -> None:
    shop = Shop(transfer_enabled=True)
    shop.rule(points=5)
    for amount in (10, 15):
        shop.earn("ben", amount, expires_at=APRIL + timedelta(days=amount))
    shop.earn("anna", 50)
    shop.spend("anna", 50)
    spend = shop.last_entry("anna")
    shop.clawback("anna", shop.entries("anna")[0], policy="arrears")
    owed = []
    data_of(shop.earn("anna", 1))
    owed.append(shop.account("anna").debt)
    data_of(shop.event("anna"))
    owed.append(shop.account("anna").debt)
    data_of(shop.refund("anna", 10, spend))
    owed.append(shop.account("anna").debt)
    data_of(shop.refund("anna", 15))
    owed.append(shop.account("anna").debt)
    data_of(shop.transfer("ben", "anna", 25))
    owed.append(shop.account("anna").debt)
    assert owed == [49, 44, 34, 19, 0]
    assert (shop.balance("anna"), shop.left("anna")) == (6, [6])
    assert shop.last_entry("anna").delta == 6


def test_debt_makes_room_below_the_maximum() -> None:
    shop = Shop(max_balance=50)
    shop.earn("anna", 50)
    shop.spend("anna", 50)
    shop.clawback("anna", shop.entries("anna")[0], policy="arrears")
    assert reason_of(shop.earn("anna", 101)) == "MAX_BALANCE"
    data_of(shop.earn("anna", 100))
    assert shop.balance("anna") == 50


def test_a_clawback_takes_the_earned_lot_first_then_the_soonest_expiry() -> None:
    shop = Shop()
    shop.earn("anna", 10, expires_at=APRIL)
    shop.earn("anna", 20)
    shop.earn("anna", 30, expires_at=APRIL + timedelta(days=1))
    bought = shop.entries("anna")[1]
    shop.spend("anna", 5)
    data_of(shop.clawback("anna", bought, amount=15))
    assert shop.left("anna") == [5, 30, 5]
    shop.spend("anna", 38)  # 2 are left
    data_of(shop.clawback("anna", bought))
    assert shop.left("anna") == []
    assert reason_of(shop.clawback("anna", bought, amount=4)) == "RELATED_NOT_REVERSIBLE"


def test_r8_three_partial_returns_equal_one_full() -> None:
    whole, parts = earned_hundred_spent_eighty(), earned_hundred_spent_eighty()
    whole.clawback("anna", whole.entries("anna")[0], policy="arrears")
    order = parts.entries("anna")[0]
    for returned in (1, 2, 3):  # of three items: the cumulative floor
        amount = 100 * returned // 3 - 100 * (returned - 1) // 3
        data_of(parts.clawback("anna", order, amount=amount, policy="arrears"))
    assert reason_of(parts.clawback("anna", order, policy="arrears")) == "RELATED_NOT_REVERSIBLE"
    for shop in (whole, parts):
        account = shop.account("anna")
        assert (account.balance, account.debt, account.total_clawed_back) == (0, 80, 100)


def test_r9_a_return_paid_partly_with_points_nets_to_zero_in_either_order() -> None:
    for refund_first in (True, False):
        shop = earned_hundred_spent_eighty()
        earned, spent = shop.entries("anna")
        if refund_first:
            data_of(shop.refund("anna", 80, spent))
        data_of(shop.clawback("anna", earned, policy="arrears"))
        if not refund_first:
            data_of(shop.refund("anna", 80, spent))
        account = shop.account("anna")
        assert (account.balance, account.debt, shop.left("anna")) == (0, 0, [])


def test_r10_transferred_points_are_taken_from_the_user_who_earned_them() -> None:
    shop = Shop(transfer_enabled=True)
    shop.earn("ben", 1)
    shop.earn("anna", 100)
    earned = shop.last_entry("anna")
    shop.transfer("anna", "ben", 90)
    data_of(shop.clawback("anna", earned, policy="arrears"))
    assert (shop.balance("anna"), shop.account("anna").debt, shop.balance("ben")) == (0, 90, 91)
    assert reason_of(shop.clawback("ben", shop.last_entry("ben"))) == "RELATED_NOT_REVERSIBLE"


def test_r11_a_clawback_uses_recorded_numbers_after_the_rule_has_changed() -> None:
    shop = Shop()
    shop.rule(name="visit", points=10)
    shop.event("anna")
    granted = shop.last_entry("anna")
    shop.rule(name="visit", points=99, in_force_from=NOON)
    data_of(shop.clawback("anna", granted))
    entry = shop.last_entry("anna")
    assert (entry.amount, shop.balance("anna")) == (10, 0)
    assert entry.rule is not None
    assert entry.rule.version == 1


@pytest.mark.parametrize("policy", ["within_balance", "arrears"])
def test_r12_expired_points_are_not_taken_again(policy: str) -> None:
    shop = earned_hundred_spent_eighty()
    shop.earn("anna", 500)
    data = data_of(shop.clawback("anna", shop.entries("anna")[0], at=APRIL, policy=policy))
    account = shop.account("anna")
    assert (data["clawed_back"], account.expired_points, account.balance, account.debt) == (80, 20, 420, 0)
    data = data_of(shop.clawback("anna", shop.entries("anna")[0], policy=policy))
    assert (data["requested"], data["clawed_back"], data["transactions"]) == (20, 0, [])


def test_r12_nothing_is_taken_from_a_fully_expired_lot() -> None:
    shop = Shop()
    shop.earn("anna", 100, expires_at=APRIL)
    data = data_of(shop.clawback("anna", shop.entries("anna")[0], at=APRIL, policy="arrears"))
    assert (data["clawed_back"], shop.account("anna").debt) == (0, 0)
    assert shop.history("anna") == [("manual", 100), ("scheduled", -100)]


def test_r12_points_that_expired_after_a_refund_are_not_taken_again() -> None:
    """The points had their grace period in another lot than the earned one."""
    shop = Shop(refund_grace_days=10)
    shop.earn("anna", 100, expires_at=APRIL)
    shop.earn("anna", 500)
    earned = shop.entries("anna")[0]
    shop.spend("anna", 70)
    shop.refund("anna", 70, shop.last_entry("anna"), at=APRIL)
    assert shop.account("anna").expired_points == 30
    data = data_of(shop.clawback("anna", earned, at=APRIL + timedelta(days=11), policy="arrears"))
    account = shop.account("anna")
    assert (account.expired_points, data["clawed_back"], account.balance, account.debt) == (100, 0, 500, 0)


def test_only_the_users_own_earned_points_are_clawed_back() -> None:
    shop = earned_hundred_spent_eighty()
    shop.earn("ben", 10)
    assert reason_of(shop.clawback("anna", shop.last_entry("anna"))) == "RELATED_NOT_REVERSIBLE"
    assert reason_of(shop.clawback("anna", shop.last_entry("ben"))) == "RELATED_NOT_REVERSIBLE"
    unknown = Clawback(tenant_id=SHOP, user_id="anna", related_id=UUID(int=9))
    assert reason_of(shop.apply(unknown)) == "RELATED_NOT_FOUND"


def test_h6_points_of_a_suspended_account_can_be_clawed_back() -> None:
    shop = earned_hundred_spent_eighty()
    shop.account("anna").status = "suspended"
    assert data_of(shop.clawback("anna", shop.entries("anna")[0]))["clawed_back"] == 20


# ----------------------------------------------------------------------------------------------- limits


def test_l11_a_clawback_on_the_same_local_day_releases_the_limit() -> None:
    shop = Shop(timezone="Asia/Shanghai", max_earn_per_day=50)
    shop.rule(points=30, daily_limit=40)
    shop.event("anna", at=moment("2026-03-01 15:00"))
    data_of(shop.clawback("anna", shop.last_entry("anna"), at=moment("2026-03-01 15:59"), amount=25))
    assert data_of(shop.event("anna"))["points_earned"] == 30
    assert reason_of(shop.earn("anna", 16)) == "LIMIT_REACHED"
    data_of(shop.earn("anna", 15))


def test_l11_a_clawback_on_a_later_day_does_not_release_the_limit() -> None:
    shop = Shop(timezone="Asia/Shanghai", max_earn_per_day=50)
    shop.rule(points=30, daily_limit=40)
    early = moment("2026-03-01 15:00")
    shop.event("anna", at=early)
    data_of(shop.clawback("anna", shop.last_entry("anna"), at=moment("2026-03-01 16:00")))
    assert data_of(shop.event("anna", occurred_at=early))["points_earned"] == 10


def test_l11_a_clawback_releases_usage_while_the_tenant_has_no_limit() -> None:
    shop = Shop(max_earn_per_day=30)
    shop.earn("anna", 30)
    shop.configure()
    data_of(shop.clawback("anna", shop.last_entry("anna"), amount=2))
    shop.configure(max_earn_per_day=30)
    assert reason_of(shop.earn("anna", 3)) == "LIMIT_REACHED"
    data_of(shop.earn("anna", 2))


def test_l11_a_clawback_of_uncounted_points_changes_no_usage() -> None:
    shop = Shop()
    shop.earn("anna", 30)
    data_of(shop.clawback("anna", shop.last_entry("anna")))
    assert not any(used.changed for used in shop.book.usage.values())


def test_l11_times_and_lifetime_limits_are_never_released() -> None:
    shop = Shop()
    shop.rule("once", points=30, daily_limit=1, daily_limit_unit="times")
    shop.rule("life", points=30, total_limit=30)
    for event_type in ("once", "life"):
        shop.event("anna", event_type)
        data_of(shop.clawback("anna", shop.last_entry("anna")))
        assert data_of(shop.event("anna", event_type))["points_earned"] == 0


def test_the_read_set_covers_a_clawback() -> None:
    shop = Shop(max_earn_per_day=50)
    shop.rule(points=30, daily_limit=40)
    shop.event("anna")
    granted = shop.last_entry("anna")
    shop.clawback("anna", granted, amount=10)
    command = Clawback(tenant_id=SHOP, user_id="anna", related_id=granted.id)
    read_set = shop.read_set(command)
    assert read_set.accounts[SHOP, "anna"].debit == 20
    assert read_set.windows == {window for window in shop.book.usage if window.period == "day"}


def test_the_read_set_covers_a_cancellation_of_pending_points() -> None:
    shop = Shop(max_earn_per_day=50)
    shop.earn("anna", 30)
    shop.earn("anna", 10, activates_at=NOON + timedelta(days=1))
    command = CancelPending(tenant_id=SHOP, user_id="anna", related_id=shop.last_entry("anna").id)
    shop.apply(Clawback(tenant_id=SHOP, user_id="anna", related_id=command.related_id, amount=1))
    assert shop.read_set(command).windows == set(shop.book.usage)
