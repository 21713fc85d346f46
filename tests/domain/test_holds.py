"""Tests holds: freeze, unfreeze and capture (H1 to H6, E2, E11)."""

from datetime import timedelta
from uuid import UUID

import pytest

from pointledger.domain.commands import command_from
from pointledger.errors import InvalidCommand
from tests.domain.books import NOON, Shop, data_of, reason_of, shop_with_lots

DAY = timedelta(days=1)


def frozen(shop: Shop) -> list[int]:
    return [lot.frozen for lot in shop.lots("anna")]


# ----------------------------------------------------------------------------------------------- freeze


def test_a_freeze_moves_points_of_the_soonest_expiry_from_available_to_frozen() -> None:
    shop = shop_with_lots((30, None), (20, NOON + DAY))
    data = data_of(shop.freeze("anna", 25))
    assert (shop.balance("anna"), shop.frozen("anna")) == (25, 25)
    assert (shop.left("anna"), frozen(shop)) == ([0, 25], [20, 5])
    entry = shop.entries("anna")[-1]
    assert (entry.type, entry.subtype, entry.amount, entry.delta, entry.delta_frozen) == (
        "freeze", "hold", 25, -25, 25,
    )  # fmt: skip
    assert data["hold_id"] == entry.id
    assert data["transactions"][0]["frozen_after"] == 25
    assert shop.account("anna").total_spent == 0


def test_h1_a_freeze_of_more_than_the_balance_is_refused() -> None:
    shop = shop_with_lots((30, None))
    shop.freeze("anna", 20)
    assert reason_of(shop.freeze("anna", 11)) == "INSUFFICIENT_BALANCE"
    assert (shop.balance("anna"), shop.frozen("anna"), len(shop.account("anna").holds)) == (10, 20, 1)


def test_h1_pending_points_cannot_be_frozen() -> None:
    shop = shop_with_lots((30, None))
    shop.account("anna").pending_balance = 50
    assert reason_of(shop.freeze("anna", 31)) == "INSUFFICIENT_BALANCE"


def test_frozen_points_cannot_be_spent_transferred_or_expired_by_command() -> None:
    shop = shop_with_lots((30, None), transfer_enabled=True)
    shop.earn("ben", 1)
    shop.freeze("anna", 20)
    assert reason_of(shop.spend("anna", 11)) == "INSUFFICIENT_BALANCE"
    assert reason_of(shop.transfer("anna", "ben", 11)) == "INSUFFICIENT_BALANCE"
    assert data_of(shop.expire("anna", 30))["settled"] == 10
    assert shop.frozen("anna") == 20


def test_e11_a_manual_expiry_settles_available_points_and_leaves_frozen_ones() -> None:
    shop = shop_with_lots((500, None))
    shop.freeze("anna", 200)
    data = data_of(shop.expire("anna", 500))
    assert (data["settled"], data["ratio"]) == (300, "0.6")
    account = shop.account("anna")
    assert (account.balance, account.frozen_balance, account.expired_points) == (0, 200, 300)


def test_a_freeze_expires_due_points_first() -> None:
    shop = shop_with_lots((30, NOON + DAY), (5, None))
    assert reason_of(shop.freeze("anna", 6, NOON + DAY)) == "INSUFFICIENT_BALANCE"
    assert shop.history("anna")[-1] == ("scheduled", -30)


# --------------------------------------------------------------------------------------------- unfreeze


def test_an_unfreeze_by_id_releases_the_hold_or_a_part_into_its_lots() -> None:
    shop = shop_with_lots((20, NOON + DAY), (30, None))
    shop.freeze("anna", 5)
    hold = shop.hold("anna", 30)
    assert data_of(shop.unfreeze("anna", hold_id=hold.id, amount=12))["points_released"] == 12
    assert (hold.state, hold.held, shop.frozen("anna")) == ("open", 18, 23)
    assert (shop.left("anna"), frozen(shop)) == ([0, 27], [20, 3]), "the latest expiry comes back first"

    shop.unfreeze("anna", hold_id=hold.id)
    assert (hold.state, hold.released, shop.balance("anna"), shop.frozen("anna")) == ("released", 30, 45, 5)
    entry = shop.entries("anna")[-1]
    assert (entry.type, entry.subtype, entry.amount, entry.related_id) == ("unfreeze", "release", 18, hold.id)


def test_h3_an_unfreeze_by_amount_releases_the_oldest_holds_first_with_one_entry_each() -> None:
    shop = shop_with_lots((60, None))
    first, second, third = (shop.hold("anna", amount) for amount in (10, 20, 30))
    data = data_of(shop.unfreeze("anna", amount=25))
    assert [entry["related_id"] for entry in data["transactions"]] == [first.id, second.id]
    assert [hold.held for hold in (first, second, third)] == [0, 5, 30]
    assert (first.state, second.state) == ("released", "open")


def test_h3_an_unfreeze_of_more_than_is_frozen_is_refused() -> None:
    shop = shop_with_lots((60, None))
    hold, _ = shop.hold("anna", 10), shop.hold("anna", 20)
    assert reason_of(shop.unfreeze("anna", amount=31)) == "INSUFFICIENT_FROZEN"
    assert reason_of(shop.unfreeze("anna", amount=11, hold_id=hold.id)) == "INSUFFICIENT_FROZEN"
    assert shop.frozen("anna") == 30


def test_an_unfreeze_requires_a_hold_or_an_amount() -> None:
    with pytest.raises(InvalidCommand, match="give hold_id, amount or both"):
        command_from("unfreeze", {"tenant_id": "shop", "user_id": "anna"})


def test_another_users_hold_is_not_found() -> None:
    shop = shop_with_lots((60, None))
    shop.earn("ben", 60)
    hold = shop.hold("anna", 10)
    shop.freeze("ben", 10)
    assert reason_of(shop.unfreeze("ben", hold_id=hold.id)) == "RELATED_NOT_FOUND"
    assert reason_of(shop.capture("ben", hold.id)) == "RELATED_NOT_FOUND"


def test_l12_released_points_may_exceed_the_maximum() -> None:
    shop = shop_with_lots((50, None), max_balance=50)
    hold = shop.hold("anna", 50)
    shop.earn("anna", 50)
    shop.unfreeze("anna", hold_id=hold.id)
    assert shop.balance("anna") == 100
    assert reason_of(shop.earn("anna", 1)) == "MAX_BALANCE"


def test_frozen_points_count_toward_the_ledgers_maximum_per_account() -> None:
    shop = shop_with_lots((10**15, None))
    hold = shop.hold("anna", 10**15)
    assert reason_of(shop.earn("anna", 1)) == "FIGURE_TOO_LARGE"
    shop.unfreeze("anna", hold_id=hold.id)
    assert shop.balance("anna") == 10**15


# ---------------------------------------------------------------------------------------------- capture


def test_a_capture_spends_held_points() -> None:
    shop = shop_with_lots((20, NOON + DAY), (30, None))
    hold = shop.hold("anna", 25)
    data = data_of(shop.capture("anna", hold.id))
    assert (data["points_captured"], data["points_released"]) == (25, 0)
    account = shop.account("anna")
    assert (account.balance, account.frozen_balance, account.total_spent) == (25, 0, 25)
    assert (shop.left("anna"), hold.state) == ([25], "captured")
    entry = shop.entries("anna")[-1]
    assert (entry.type, entry.subtype, entry.delta, entry.delta_frozen, entry.related_id) == (
        "spend", "capture", 0, -25, hold.id,
    )  # fmt: skip


def test_h4_a_partial_capture_spends_the_soonest_expiry_and_releases_the_rest_at_once() -> None:
    shop = shop_with_lots((20, NOON + DAY), (30, None))
    hold = shop.hold("anna", 40)
    data = data_of(shop.capture("anna", hold.id, amount=15))
    assert (data["points_captured"], data["points_released"]) == (15, 25)
    assert [entry["subtype"] for entry in data["transactions"]] == ["capture", "release"]
    assert (shop.left("anna"), frozen(shop)) == ([5, 30], [0, 0])
    assert (hold.state, hold.captured, hold.released) == ("captured", 15, 25)


def test_h4_a_hold_is_captured_once_and_not_after_its_release() -> None:
    shop = shop_with_lots((60, None))
    captured, released = shop.hold("anna", 10), shop.hold("anna", 20)
    shop.capture("anna", captured.id, amount=4)
    shop.unfreeze("anna", hold_id=released.id)
    for hold in (captured, released):
        assert reason_of(shop.capture("anna", hold.id)) == "RELATED_NOT_REVERSIBLE"
        assert reason_of(shop.unfreeze("anna", hold_id=hold.id)) == "RELATED_NOT_REVERSIBLE"
    assert shop.account("anna").total_spent == 4


def test_a_capture_of_more_than_is_held_is_refused() -> None:
    shop = shop_with_lots((60, None))
    hold = shop.hold("anna", 10)
    assert reason_of(shop.capture("anna", hold.id, amount=11)) == "INSUFFICIENT_FROZEN"
    shop.unfreeze("anna", hold_id=hold.id, amount=3)
    assert reason_of(shop.capture("anna", hold.id, amount=8)) == "INSUFFICIENT_FROZEN"
    shop.capture("anna", hold.id)
    assert shop.account("anna").total_spent == 7


def test_a_capture_of_an_unknown_hold_is_refused() -> None:
    shop = shop_with_lots((60, None))
    assert reason_of(shop.capture("anna", UUID(int=7))) == "RELATED_NOT_FOUND"


# ------------------------------------------------------------------------------------- suspended and closed


def test_h6_a_suspended_account_refuses_freezes_and_captures_but_releases_holds() -> None:
    shop = shop_with_lots((60, None))
    hold = shop.hold("anna", 10)
    shop.freeze("anna", 20, expires_at=NOON + DAY)
    shop.set_status("anna", "suspended")
    assert reason_of(shop.freeze("anna", 1)) == "ACCOUNT_SUSPENDED"
    assert reason_of(shop.capture("anna", hold.id)) == "ACCOUNT_SUSPENDED"
    data_of(shop.unfreeze("anna", hold_id=hold.id))
    assert data_of(shop.release_due("anna", NOON + DAY))["points_released"] == 20


def test_e2_holds_time_out_and_then_lots_expire_before_funds_are_checked() -> None:
    shop = shop_with_lots((20, NOON + 2 * DAY))
    shop.freeze("anna", 20, expires_at=NOON + DAY)
    assert reason_of(shop.spend("anna", 1, NOON + 2 * DAY)) == "INSUFFICIENT_BALANCE"
    assert shop.history("anna")[-2:] == [("timeout", 20), ("scheduled", -20)]


# ---------------------------------------------------------------------------------------------- read sets


def test_the_read_set_has_the_holds_of_a_command() -> None:
    shop = shop_with_lots((60, None))
    hold = shop.hold("anna", 10)
    shop.unfreeze("anna", hold_id=hold.id, amount=1)
    assert shop.last is not None
    assert shop.read_set(shop.last).accounts["shop", "anna"].holds == {hold.id}
    shop.unfreeze("anna", amount=2)
    need = shop.read_set(shop.last).accounts["shop", "anna"]
    assert (need.holds, need.release) == (set(), 2)
