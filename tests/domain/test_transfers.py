"""Tests transfers of lots to another user. T1 to T7 are acceptance cases."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from tests.domain.books import NOON, Shop, data_of, moment, reason_of

APRIL = moment("2026-04-01")


def two_users(**config: Any) -> Shop:
    """Anna has 3 + 4 + 5 points that expire in April, in May and never. Ben has 1 without expiry."""
    shop = Shop(transfer_enabled=True, **config)
    shop.earn("anna", 3, expires_at=APRIL, occurred_at=moment("2026-02-01"))
    shop.earn("anna", 4, expires_at=moment("2026-05-01"))
    shop.earn("anna", 5)
    shop.earn("ben", 1)
    return shop


def points(shop: Shop, user_id: str) -> list[tuple[int, datetime | None, datetime, UUID]]:
    return [(lot.remaining, lot.expires_at, lot.earned_at, lot.origin_id) for lot in shop.lots(user_id)]


def test_both_entries_of_a_transfer_refer_to_each_other() -> None:
    shop = two_users()
    data = data_of(shop.transfer("anna", "ben", 7))
    out, into = shop.entries("anna")[-1], shop.entries("ben")[-1]
    assert [(leg.type, leg.subtype, leg.delta) for leg in (out, into)] == [
        ("spend", "transfer_out", -7),
        ("earn", "transfer_in", 7),
    ]
    assert (out.related_id, into.related_id) == (into.id, out.id)
    assert out.command_id == into.command_id
    assert [entry["id"] for entry in data["transactions"]] == [out.id]
    assert data["account"]["balance"] == shop.balance("anna") == 5


def test_t1_a_transfer_to_oneself_is_refused() -> None:
    shop = two_users()
    assert reason_of(shop.transfer("anna", "anna", 1)) == "SELF_TRANSFER"
    assert reason_of(shop.transfer("unknown", "unknown", 1)) == "SELF_TRANSFER"


def test_t1_ids_that_differ_by_case_are_two_users() -> None:
    shop = two_users()
    shop.earn("Anna", 1)
    data_of(shop.transfer("anna", "Anna", 1))


def test_t1_a_user_of_another_tenant_is_not_found() -> None:
    shop = two_users()
    shop.book.accounts["other", "carl"] = shop.book.accounts.pop(("shop", "ben"))
    assert reason_of(shop.transfer("anna", "carl", 1)) == "RECIPIENT_NOT_FOUND"
    assert reason_of(shop.transfer("anna", "ben", 1)) == "RECIPIENT_NOT_FOUND"


def test_t1_a_transfer_requires_the_tenants_switch_when_it_is_applied() -> None:
    shop = two_users()
    shop.configure()
    assert reason_of(shop.transfer("anna", "ben", 1)) == "FEATURE_DISABLED"


def test_t4_each_lot_arrives_with_its_own_expiry_age_and_origin() -> None:
    shop = two_users()
    april, may, never = (points(shop, "anna")[place] for place in range(3))
    own = points(shop, "ben")[0]
    data_of(shop.transfer("anna", "ben", 10))
    assert points(shop, "anna") == [(2, *never[1:])]
    arrived = points(shop, "ben")
    assert arrived[:2] == [april, may]
    assert sorted(arrived[2:], key=lambda lot: lot[0]) == [own, (3, *never[1:])]
    assert shop.account("ben").next_expiry_at == APRIL


def test_t4_a_round_trip_changes_nothing() -> None:
    shop = two_users()
    before = {user: points(shop, user) for user in ("anna", "ben")}
    shop.expire("ben", 1)
    for sender, recipient in (("anna", "ben"), ("ben", "anna")):
        data_of(shop.transfer(sender, recipient, 12))
    assert points(shop, "anna") == before["anna"]
    assert (shop.balance("anna"), shop.balance("ben")) == (12, 0)


def test_t4_transferred_points_expire_at_the_recipient_at_their_original_expiry() -> None:
    shop = two_users()
    shop.transfer("anna", "ben", 3)
    assert data_of(shop.expire_due("anna", APRIL))["points_expired"] == 0
    assert data_of(shop.expire_due("ben", APRIL - timedelta(microseconds=1)))["points_expired"] == 0
    assert data_of(shop.expire_due("ben", APRIL))["points_expired"] == 3


def test_due_points_expire_on_both_sides_before_the_transfer() -> None:
    shop = two_users()
    shop.earn("ben", 8, expires_at=APRIL)
    data_of(shop.transfer("anna", "ben", 9, at=APRIL))
    assert (shop.balance("anna"), shop.balance("ben")) == (0, 10)
    assert shop.history("ben")[-2:] == [("scheduled", -8), ("transfer_in", 9)]


def test_a_refused_transfer_advances_only_the_senders_clock() -> None:
    shop = two_users()
    shop.earn("ben", 8, expires_at=APRIL)
    assert reason_of(shop.transfer("anna", "ben", 10, at=APRIL)) == "INSUFFICIENT_BALANCE"
    assert (shop.balance("anna"), shop.balance("ben")) == (9, 9)
    assert (shop.account("anna").as_of, shop.account("ben").as_of) == (APRIL, NOON)


def test_t6_the_maximum_applies_to_the_recipients_balance_after_due_expiries() -> None:
    shop = two_users(max_balance=12)
    shop.earn("ben", 8, expires_at=APRIL)
    assert reason_of(shop.transfer("anna", "ben", 9, at=APRIL - timedelta(days=1))) == "MAX_BALANCE"
    data_of(shop.transfer("anna", "ben", 9, at=APRIL))
    assert shop.balance("ben") == 10


@pytest.mark.parametrize("status", ["suspended", "closed"])
def test_t6_a_transfer_to_an_inactive_recipient_is_refused_as_a_whole(status: str) -> None:
    shop = two_users()
    shop.account("ben").status = status
    assert reason_of(shop.transfer("anna", "ben", 1)) == "RECIPIENT_INACTIVE"
    assert (shop.left("anna"), shop.left("ben")) == ([3, 4, 5], [1])


def test_t6_a_transfer_over_the_recipients_maximum_is_refused_as_a_whole() -> None:
    shop = two_users(max_balance=12)
    assert reason_of(shop.transfer("anna", "ben", 12)) == "MAX_BALANCE"
    assert (shop.left("anna"), shop.left("ben")) == ([3, 4, 5], [1])
    data_of(shop.transfer("anna", "ben", 11))


def test_t6_a_transfer_to_an_unknown_user_opens_no_account() -> None:
    shop = two_users()
    assert reason_of(shop.transfer("anna", "carl", 1)) == "RECIPIENT_NOT_FOUND"
    assert ("shop", "carl") not in shop.book.accounts
    assert shop.left("anna") == [3, 4, 5]


def test_t7_tier_points_are_not_transferable() -> None:
    shop = two_users(points_type="tier_points")
    assert reason_of(shop.transfer("anna", "ben", 1)) == "FEATURE_DISABLED"
    assert reason_of(shop.transfer("unknown", "ben", 1)) == "FEATURE_DISABLED"


def test_t7_an_account_keeps_its_points_type_when_the_tenants_changes() -> None:
    shop = two_users(points_type="tier_points")
    shop.configure(transfer_enabled=True)
    assert reason_of(shop.transfer("anna", "ben", 1)) == "FEATURE_DISABLED"
    shop = two_users()
    shop.configure(transfer_enabled=True, points_type="tier_points")
    data_of(shop.transfer("anna", "ben", 1))


def test_t7_frozen_and_pending_points_are_not_transferable() -> None:
    shop = two_users()
    shop.account("anna").frozen_balance = 100
    shop.account("anna").pending_balance = 100
    assert reason_of(shop.transfer("anna", "ben", 13)) == "INSUFFICIENT_BALANCE"


def test_t7_a_transfer_counts_neither_as_earned_nor_as_spent() -> None:
    shop = two_users()
    data_of(shop.transfer("anna", "ben", 12))
    anna, ben = shop.account("anna"), shop.account("ben")
    assert (anna.total_spent, anna.total_transferred_out) == (0, 12)
    assert (ben.total_earned, ben.total_transferred_in) == (1, 12)


def test_the_minimum_of_a_spend_does_not_apply_to_a_transfer() -> None:
    shop = two_users(min_spend_points=100)
    data_of(shop.transfer("anna", "ben", 1))
