"""Tests pending points. E5, R6, H1, L12 and T7 are acceptance cases."""

from datetime import timedelta
from typing import Any

import pytest

from pointledger.domain.commands import Earn
from pointledger.domain.program.rule import rule_from
from pointledger.errors import InvalidRule
from tests.domain.books import NOON, SHOP, Shop, data_of, moment, reason_of

APRIL, MAY = moment("2026-04-01"), moment("2026-05-01")
INSTANT = timedelta(microseconds=1)


def hundred_in_april() -> Shop:
    shop = Shop(transfer_enabled=True)
    shop.earn("ben", 1)
    shop.earn("anna", 100, activates_at=APRIL)
    return shop


def test_pending_points_are_earned_and_cannot_be_spent_or_transferred() -> None:
    shop = hundred_in_april()
    account, entry = shop.account("anna"), shop.last_entry("anna")
    assert (account.balance, account.pending_balance, account.total_earned) == (0, 100, 100)
    assert (entry.delta, entry.delta_pending, shop.lots("anna")) == (0, 100, [])
    assert reason_of(shop.spend("anna", 1)) == "INSUFFICIENT_BALANCE"
    assert reason_of(shop.transfer("anna", "ben", 1)) == "INSUFFICIENT_BALANCE"
    assert data_of(shop.expire("anna", 1))["settled"] == 0


def test_the_next_command_activates_due_pending_points_first() -> None:
    shop = hundred_in_april()
    assert reason_of(shop.spend("anna", 1, at=APRIL - INSTANT)) == "INSUFFICIENT_BALANCE"
    data_of(shop.spend("anna", 30, at=APRIL))
    assert shop.history("anna") == [("manual", 0), ("activation", 100), ("purchase", -30)]
    account, entry = shop.account("anna"), shop.entries("anna")[1]
    assert (account.balance, account.pending_balance, account.next_activation_at) == (70, 0, None)
    assert (entry.type, entry.related_id, entry.delta_pending) == ("adjust", shop.entries("anna")[0].id, -100)


def test_each_lot_activates_once_by_its_own_entry() -> None:
    shop = hundred_in_april()
    shop.earn("anna", 7, activates_at=MAY)
    shop.earn("anna", 5, activates_at=APRIL - INSTANT)
    assert data_of(shop.activate_due("anna", APRIL)) | {"account": None} == {
        "points_activated": 105,
        "lots_activated": 2,
        "account": None,
    }
    assert [entry.amount for entry in shop.entries("anna")[-2:]] == [5, 100]
    assert data_of(shop.activate_due("anna", APRIL))["lots_activated"] == 0
    assert shop.account("anna").next_activation_at == MAY


def test_points_with_a_past_activation_are_available_at_once() -> None:
    shop = Shop()
    shop.earn("anna", 5, activates_at=NOON)
    assert (shop.balance("anna"), shop.account("anna").pending_balance) == (5, 0)


def test_e5_expiry_counts_from_activation() -> None:
    shop = Shop(default_expiry_days=3)
    shop.earn("anna", 100, activates_at=APRIL)
    data_of(shop.activate_due("anna", APRIL + timedelta(days=2)))
    assert [lot.expires_at for lot in shop.lots("anna")] == [APRIL + timedelta(days=3)]
    assert shop.account("anna").next_expiry_at == APRIL + timedelta(days=3)


def test_e5_an_expiry_before_the_activation_is_refused() -> None:
    with pytest.raises(ValueError, match="expires_at lies after activates_at"):
        Earn(tenant_id=SHOP, user_id="anna", amount=1, activates_at=APRIL, expires_at=APRIL)


def test_points_can_activate_and_expire_between_two_commands() -> None:
    shop = Shop()
    shop.earn("anna", 100, activates_at=APRIL, expires_at=MAY)
    data_of(shop.expire_due("anna", MAY))
    assert shop.history("anna") == [("manual", 0), ("activation", 100), ("scheduled", -100)]


def test_r6_a_return_in_time_cancels_pending_points_without_debt() -> None:
    shop = hundred_in_april()
    order = shop.last_entry("anna")
    data = data_of(shop.cancel_pending("anna", order))
    account, entry = shop.account("anna"), shop.last_entry("anna")
    assert (data["clawed_back"], account.pending_balance, account.debt, account.balance) == (100, 0, 0, 0)
    assert (entry.subtype, entry.delta_pending, account.total_clawed_back) == ("clawback", -100, 100)
    assert shop.book.new_lots[-1].state == "cancelled"
    assert data_of(shop.activate_due("anna", APRIL))["lots_activated"] == 0
    assert reason_of(shop.cancel_pending("anna", order)) == "RELATED_NOT_REVERSIBLE"


def test_available_points_cannot_be_canceled() -> None:
    shop = hundred_in_april()
    assert reason_of(shop.cancel_pending("anna", shop.last_entry("anna"), at=APRIL)) == (
        "RELATED_NOT_REVERSIBLE"
    )


@pytest.mark.parametrize("policy", ["only_pending", "within_balance", "arrears"])
def test_r7_every_clawback_policy_takes_pending_points(policy: str) -> None:
    shop = hundred_in_april()
    shop.earn("anna", 5)
    data_of(shop.clawback("anna", shop.entries("anna")[0], amount=40, policy=policy))
    account = shop.account("anna")
    assert (account.pending_balance, account.balance, account.debt) == (60, 5, 0)
    data_of(shop.activate_due("anna", APRIL))
    assert sorted(shop.left("anna")) == [5, 60]


def test_activated_points_repay_debt_first() -> None:
    shop = hundred_in_april()
    shop.earn("anna", 30)
    shop.spend("anna", 30)
    shop.clawback("anna", shop.entries("anna")[1], policy="arrears")
    data_of(shop.activate_due("anna", APRIL))
    account = shop.account("anna")
    assert (account.balance, account.debt, shop.left("anna")) == (70, 0, [70])
    assert shop.last_entry("anna").delta_debt == -30


def test_l12_pending_points_count_toward_the_maximum() -> None:
    shop = Shop(max_balance=100)
    shop.earn("anna", 80, activates_at=APRIL)
    assert reason_of(shop.earn("anna", 21)) == "MAX_BALANCE"


def test_h6_pending_points_of_a_suspended_account_activate() -> None:
    shop = hundred_in_april()
    shop.account("anna").status = "suspended"
    assert data_of(shop.activate_due("anna", APRIL))["points_activated"] == 100
    shop.account("anna").status = "closed"
    assert reason_of(shop.activate_due("anna", MAY)) == "ACCOUNT_CLOSED"
    assert reason_of(shop.activate_due("unknown", MAY)) == "ACCOUNT_NOT_FOUND"


# ------------------------------------------------------------------------------------ granted by rules


def test_a_rule_grants_points_that_are_pending_for_days_of_the_tenants_calendar() -> None:
    shop = Shop(timezone="Europe/Berlin")
    shop.rule(points=10, pending={"mode": "period", "days": 14})
    data = data_of(shop.event("anna", at=moment("2026-03-20 11:00")))  # local noon; clocks change on the 29th
    april = moment("2026-04-03 10:00")
    account = shop.account("anna")
    assert (account.balance, account.pending_balance, account.total_earned) == (0, 10, 10)
    assert (data["points_earned"], data["grants"][0]["activates_at"]) == (10, april)
    assert reason_of(shop.spend("anna", 1, at=april - INSTANT)) == "INSUFFICIENT_BALANCE"
    data_of(shop.spend("anna", 10, at=april))


@pytest.mark.parametrize(
    ("expiry", "expires_at"),
    [
        ({"days": 3}, "2026-03-18 12:00"),  # three days after the fourteen pending ones
        ({"months": 1}, "2026-04-15 12:00"),
        ({"days": 3, "round": "end_of_month"}, "2026-04-01"),
        ({"mode": "fixed_date", "date": "03-14"}, "2027-03-15"),  # the first one after activation
        ({"mode": "never"}, None),
        (None, "2026-03-17 12:00"),  # the tenant's policy
    ],
)
def test_e5_the_expiry_of_a_rule_counts_from_activation(
    expiry: dict[str, Any] | None, expires_at: str | None
) -> None:
    shop = Shop(default_expiry_days=2)
    shop.rule(points=10, pending_days=14, expiry=expiry)
    shop.event("anna")
    ends = moment(expires_at) if expires_at else None
    data_of(shop.activate_due("anna", NOON + timedelta(days=14)))
    (lot,) = shop.lots("anna")
    assert (lot.expires_at, lot.earned_at, lot.remaining) == (ends, NOON, 10)
    assert [entry.expires_at for entry in shop.entries("anna")] == [ends, ends]


def test_e5_an_expiry_date_before_the_last_activation_is_refused_when_the_rule_is_saved() -> None:
    def rule(date: str, until: str | None, **more: Any) -> Any:
        valid = {"valid": {"until": until}} if until else {}
        expiry = {"mode": "fixed_date", "date": date}
        return rule_from({"name": "a", "event_type": "b", "points": 1, "expiry": expiry} | valid | more)

    rule("2026-06-30", "2026-07-01T00:00:00")
    rule("2026-06-30", "2026-06-17T00:00:00", pending_days=14)
    for until, pending in (("2026-06-17T00:00:01", 14), ("2026-07-01T00:00:01", None)):
        more = {"pending_days": pending} if pending else {}
        with pytest.raises(InvalidRule, match=r"expiry\.date lies before the last points become available"):
            rule("2026-06-30", until, **more)
    with pytest.raises(InvalidRule, match=r"expiry\.date of one year requires valid\.until"):
        rule("2026-06-30", None)
    rule("06-30", None, pending_days=400)  # a yearly date: there is always a next one


def test_e1_a_date_of_one_year_is_the_last_day_on_which_points_count() -> None:
    shop = Shop(timezone="Europe/Berlin")
    expiry = {"mode": "fixed_date", "date": "2027-01-31"}
    shop.rule(points=10, expiry=expiry, valid={"until": "2026-12-01T00:00:00"})
    shop.event("anna")
    assert shop.lots("anna")[0].expires_at == moment("2027-01-31 23:00")


@pytest.mark.parametrize("date", ["2026-02-30", "1026-01-01", "12-32", "tomorrow", "20261231", "2026-1-1"])
def test_an_invalid_date_is_refused(date: str) -> None:
    with pytest.raises(InvalidRule, match=r"expiry\.date: .*written like 12-31"):
        rule_from(
            {"name": "a", "event_type": "b", "points": 1, "expiry": {"mode": "fixed_date", "date": date}}
        )


def test_l12_pending_points_of_a_rule_count_toward_every_limit() -> None:
    shop = Shop(max_balance=100, max_earn_per_day=70)
    shop.rule(points=40, pending_days=1, daily_limit=60)
    granted = [data_of(shop.event("anna"))["grants"][0] for _ in range(2)]
    assert [(grant["granted"], grant.get("limited_by")) for grant in granted] == [
        (40, None),
        (20, "user/day/points"),
    ]
    assert reason_of(shop.earn("anna", 11)) == "LIMIT_REACHED"
    tomorrow = data_of(shop.event("anna", at=NOON + timedelta(hours=20)))["grants"][0]
    assert tomorrow["granted"] == 40
    held = data_of(shop.event("anna"))["grants"][0]
    assert (held["granted"], held["limited_by"]) == (0, "tenant/max_balance")
    assert "activates_at" not in held


def test_r6_a_return_before_activation_leaves_no_debt() -> None:
    shop = Shop()
    shop.rule(points=10, pending_days=14, daily_limit=10)
    shop.event("anna")
    order = shop.last_entry("anna")
    assert data_of(shop.cancel_pending("anna", order))["clawed_back"] == 10
    account = shop.account("anna")
    assert (account.pending_balance, account.balance, account.debt) == (0, 0, 0)
    assert data_of(shop.event("anna"))["points_earned"] == 10, "the limit of that day is released"
    later = shop.last_entry("anna")
    shop.clawback("anna", later, amount=4, policy="arrears")
    assert (account.pending_balance, account.debt) == (6, 0)


def test_an_old_event_brings_points_that_are_active_by_the_accounts_clock() -> None:
    shop = Shop()
    shop.rule(points=10, pending_days=14)
    shop.earn("anna", 1)
    data_of(shop.event("anna", occurred_at=NOON - timedelta(days=14)))
    data_of(shop.event("anna", occurred_at=NOON - timedelta(days=13)))
    assert (shop.balance("anna"), shop.account("anna").pending_balance) == (11, 10)


@pytest.mark.parametrize("days", [0, -1, 36_501, "14", 1.5, True])
def test_an_invalid_span_is_refused_by_its_flat_name(days: object) -> None:
    with pytest.raises(InvalidRule, match=r"\(pending_days: "):
        rule_from({"name": "a", "event_type": "b", "points": 1, "pending_days": days})
    with pytest.raises(InvalidRule, match="pending_days: give either pending_days or pending"):
        rule_from({"name": "a", "event_type": "b", "points": 1, "pending_days": 1, "pending": {"days": 1}})
