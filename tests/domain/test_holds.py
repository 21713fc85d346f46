"""Holds: points set aside with their lots, captured or released once, or timed out (H1 to H6, E2, E11)."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from pointledger.domain.commands import command_from
from pointledger.errors import InvalidCommand
from tests.domain.books import NOON, Shop, data_of, moment, reason_of

DAY = timedelta(days=1)


def shop_with(*lots: tuple[int, datetime | None], **config: Any) -> Shop:
    """Anna has a lot for each amount and expiry."""
    shop = Shop(**config)
    for amount, expires_at in lots:
        shop.earn("anna", amount, expires_at=expires_at)
    return shop


def frozen(shop: Shop) -> list[int]:
    return [lot.frozen for lot in shop.lots("anna")]


# ----------------------------------------------------------------------------------------------- freeze


def test_a_freeze_moves_points_of_the_soonest_expiry_from_available_to_frozen() -> None:
    shop = shop_with((30, None), (20, NOON + DAY))
    told = data_of(shop.freeze("anna", 25))
    assert (shop.balance("anna"), shop.frozen("anna")) == (25, 25)
    assert (shop.left("anna"), frozen(shop)) == ([0, 25], [20, 5])
    entry = shop.entries("anna")[-1]
    assert (entry.type, entry.subtype, entry.amount, entry.delta, entry.delta_frozen) == (
        "freeze", "hold", 25, -25, 25,
    )  # fmt: skip
    assert told["hold_id"] == entry.id
    assert told["transactions"][0]["frozen_after"] == 25
    assert shop.account("anna").total_spent == 0


def test_h1_more_than_is_available_is_refused_and_nothing_is_frozen() -> None:
    shop = shop_with((30, None))
    shop.freeze("anna", 20)
    assert reason_of(shop.freeze("anna", 11)) == "INSUFFICIENT_BALANCE"
    assert (shop.balance("anna"), shop.frozen("anna"), len(shop.account("anna").holds)) == (10, 20, 1)


def test_h1_pending_points_cannot_be_frozen() -> None:
    shop = shop_with((30, None))
    shop.account("anna").pending_balance = 50
    assert reason_of(shop.freeze("anna", 31)) == "INSUFFICIENT_BALANCE"


def test_what_is_frozen_can_neither_be_spent_nor_transferred_nor_expired_by_hand() -> None:
    shop = shop_with((30, None), transfer_enabled=True)
    shop.earn("ben", 1)
    shop.freeze("anna", 20)
    assert reason_of(shop.spend("anna", 11)) == "INSUFFICIENT_BALANCE"
    assert reason_of(shop.transfer("anna", "ben", 11)) == "INSUFFICIENT_BALANCE"
    assert data_of(shop.expire("anna", 30))["settled"] == 10
    assert shop.frozen("anna") == 20


def test_e11_a_manual_expiry_of_more_than_is_available_settles_what_is_and_leaves_the_frozen() -> None:
    shop = shop_with((500, None))
    shop.freeze("anna", 200)
    told = data_of(shop.expire("anna", 500))
    assert (told["settled"], told["ratio"]) == (300, "0.6")
    account = shop.account("anna")
    assert (account.balance, account.frozen_balance, account.expired_points) == (0, 200, 300)


def test_a_freeze_expires_first_what_is_due() -> None:
    shop = shop_with((30, NOON + DAY), (5, None))
    assert reason_of(shop.freeze("anna", 6, NOON + DAY)) == "INSUFFICIENT_BALANCE"
    assert shop.told("anna")[-1] == ("scheduled", -30)


# --------------------------------------------------------------------------------------------- unfreeze


def test_an_unfreeze_by_id_releases_the_whole_hold_or_a_part_into_its_lots() -> None:
    shop = shop_with((20, NOON + DAY), (30, None))
    shop.freeze("anna", 5)
    hold = shop.hold("anna", 30)
    assert data_of(shop.unfreeze("anna", hold_id=hold.id, amount=12))["points_released"] == 12
    assert (hold.state, hold.held, shop.frozen("anna")) == ("open", 18, 23)
    assert (shop.left("anna"), frozen(shop)) == ([0, 27], [20, 3]), "the latest expiry comes back first"

    shop.unfreeze("anna", hold_id=hold.id)
    assert (hold.state, hold.released, shop.balance("anna"), shop.frozen("anna")) == ("released", 30, 45, 5)
    entry = shop.entries("anna")[-1]
    assert (entry.type, entry.subtype, entry.amount, entry.related_id) == ("unfreeze", "release", 18, hold.id)


def test_h3_an_unfreeze_by_amount_releases_the_oldest_hold_first_with_an_entry_for_each() -> None:
    shop = shop_with((60, None))
    first, second, third = (shop.hold("anna", amount) for amount in (10, 20, 30))
    told = data_of(shop.unfreeze("anna", amount=25))
    assert [entry["related_id"] for entry in told["transactions"]] == [first.id, second.id]
    assert [hold.held for hold in (first, second, third)] == [0, 5, 30]
    assert (first.state, second.state) == ("released", "open")


def test_h3_more_than_is_frozen_is_refused() -> None:
    shop = shop_with((60, None))
    hold, _ = shop.hold("anna", 10), shop.hold("anna", 20)
    assert reason_of(shop.unfreeze("anna", amount=31)) == "INSUFFICIENT_FROZEN"
    assert reason_of(shop.unfreeze("anna", amount=11, hold_id=hold.id)) == "INSUFFICIENT_FROZEN"
    assert shop.frozen("anna") == 30


def test_an_unfreeze_names_a_hold_or_an_amount() -> None:
    with pytest.raises(InvalidCommand, match="give hold_id, amount or both"):
        command_from("unfreeze", {"tenant_id": "shop", "user_id": "anna"})


def test_another_users_hold_is_not_found() -> None:
    shop = shop_with((60, None))
    shop.earn("ben", 60)
    hold = shop.hold("anna", 10)
    shop.freeze("ben", 10)
    assert reason_of(shop.unfreeze("ben", hold_id=hold.id)) == "RELATED_NOT_FOUND"
    assert reason_of(shop.capture("ben", hold.id)) == "RELATED_NOT_FOUND"


def test_l12_released_points_may_exceed_the_maximum_for_they_are_the_users_own() -> None:
    shop = shop_with((50, None), max_balance=50)
    hold = shop.hold("anna", 50)
    shop.earn("anna", 50)
    shop.unfreeze("anna", hold_id=hold.id)
    assert shop.balance("anna") == 100
    assert reason_of(shop.earn("anna", 1)) == "MAX_BALANCE"


def test_what_is_frozen_counts_toward_what_an_account_can_hold_at_all() -> None:
    shop = shop_with((10**15, None))
    hold = shop.hold("anna", 10**15)
    assert reason_of(shop.earn("anna", 1)) == "FIGURE_TOO_LARGE"
    shop.unfreeze("anna", hold_id=hold.id)
    assert shop.balance("anna") == 10**15


# ---------------------------------------------------------------------------------------------- capture


def test_a_capture_spends_what_is_held() -> None:
    shop = shop_with((20, NOON + DAY), (30, None))
    hold = shop.hold("anna", 25)
    told = data_of(shop.capture("anna", hold.id))
    assert (told["points_captured"], told["points_released"]) == (25, 0)
    account = shop.account("anna")
    assert (account.balance, account.frozen_balance, account.total_spent) == (25, 0, 25)
    assert (shop.left("anna"), hold.state) == ([25], "captured")
    entry = shop.entries("anna")[-1]
    assert (entry.type, entry.subtype, entry.delta, entry.delta_frozen, entry.related_id) == (
        "spend", "capture", 0, -25, hold.id,
    )  # fmt: skip


def test_h4_capturing_less_spends_the_soonest_expiry_and_releases_the_rest_in_the_same_stroke() -> None:
    shop = shop_with((20, NOON + DAY), (30, None))
    hold = shop.hold("anna", 40)
    told = data_of(shop.capture("anna", hold.id, amount=15))
    assert (told["points_captured"], told["points_released"]) == (15, 25)
    assert [entry["subtype"] for entry in told["transactions"]] == ["capture", "release"]
    assert (shop.left("anna"), frozen(shop)) == ([5, 30], [0, 0])
    assert (hold.state, hold.captured, hold.released) == ("captured", 15, 25)


def test_h4_a_hold_is_captured_once_and_not_after_its_release() -> None:
    shop = shop_with((60, None))
    captured, released = shop.hold("anna", 10), shop.hold("anna", 20)
    shop.capture("anna", captured.id, amount=4)
    shop.unfreeze("anna", hold_id=released.id)
    for hold in (captured, released):
        assert reason_of(shop.capture("anna", hold.id)) == "RELATED_NOT_REVERSIBLE"
        assert reason_of(shop.unfreeze("anna", hold_id=hold.id)) == "RELATED_NOT_REVERSIBLE"
    assert shop.account("anna").total_spent == 4


def test_more_than_is_held_cannot_be_captured() -> None:
    shop = shop_with((60, None))
    hold = shop.hold("anna", 10)
    assert reason_of(shop.capture("anna", hold.id, amount=11)) == "INSUFFICIENT_FROZEN"
    shop.unfreeze("anna", hold_id=hold.id, amount=3)
    assert reason_of(shop.capture("anna", hold.id, amount=8)) == "INSUFFICIENT_FROZEN"
    shop.capture("anna", hold.id)
    assert shop.account("anna").total_spent == 7


def test_a_capture_of_a_hold_that_nobody_knows_is_not_guessed_at() -> None:
    shop = shop_with((60, None))
    assert reason_of(shop.capture("anna", UUID(int=7))) == "RELATED_NOT_FOUND"


# ---------------------------------------------------------------------------- expiry while points are held


def test_h2_a_lot_that_expires_while_it_is_held_is_not_expired_and_is_not_due_any_more() -> None:
    shop = shop_with((30, NOON + DAY))
    shop.freeze("anna", 20)
    told = data_of(shop.expire_due("anna", NOON + DAY))
    assert told["points_expired"] == 10
    assert (shop.balance("anna"), shop.frozen("anna")) == (0, 20)
    assert shop.account("anna").next_expiry_at is None
    assert data_of(shop.expire_due("anna", NOON + 2 * DAY))["points_expired"] == 0


def test_a_wholly_held_lot_leaves_the_next_expiry_to_the_others() -> None:
    shop = shop_with((20, NOON + DAY), (5, NOON + 9 * DAY))
    shop.freeze("anna", 20)
    shop.expire_due("anna", NOON + DAY)
    assert shop.account("anna").next_expiry_at == NOON + 9 * DAY


def test_h2_points_whose_lot_expired_while_they_were_held_can_be_captured() -> None:
    shop = shop_with((20, NOON + DAY))
    hold = shop.hold("anna", 20)
    shop.capture("anna", hold.id, NOON + 3 * DAY)
    account = shop.account("anna")
    assert (account.total_spent, account.expired_points, account.lots) == (20, 0, [])


def test_h2_released_after_their_lot_expired_points_live_on_for_a_grace() -> None:
    shop = shop_with((20, NOON + DAY))
    (lot,) = shop.lots("anna")
    hold = shop.hold("anna", 15)
    shop.unfreeze("anna", NOON + 3 * DAY, hold_id=hold.id)
    (graced,) = shop.lots("anna")
    assert (graced.remaining, graced.expires_at) == (15, NOON + 10 * DAY)
    assert (graced.origin_id, graced.earned_at) == (lot.origin_id, lot.earned_at)
    assert (lot.remaining, lot.frozen, lot.state, lot.expires_at) == (0, 0, "expired", NOON + DAY)
    assert shop.entries("anna")[-1].expires_at == NOON + 10 * DAY
    assert shop.account("anna").next_expiry_at == NOON + 10 * DAY

    shop.expire_due("anna", NOON + 10 * DAY)
    assert (shop.balance("anna"), shop.account("anna").expired_points) == (0, 20)


def test_h2_the_grace_is_the_tenants_and_counts_its_days() -> None:
    shop = shop_with((20, moment("2026-03-20")), timezone="Europe/Berlin", hold_grace_days=14)
    hold = shop.hold("anna", 20)
    shop.unfreeze("anna", moment("2026-03-25 12:00"), hold_id=hold.id)
    assert shop.lots("anna")[0].expires_at == moment("2026-04-08 11:00"), "the clocks went forward"


def test_h2_without_grace_they_expire_at_once() -> None:
    shop = shop_with((20, NOON + DAY), (5, None), hold_grace_days=0)
    hold = shop.hold("anna", 22)
    shop.unfreeze("anna", NOON + 3 * DAY, hold_id=hold.id)
    assert [entry.subtype for entry in shop.entries("anna")][-2:] == ["release", "scheduled"]
    assert (shop.balance("anna"), shop.frozen("anna"), shop.account("anna").expired_points) == (5, 0, 20)


def test_the_rest_of_a_capture_has_its_grace_too() -> None:
    shop = shop_with((20, NOON + DAY))
    hold = shop.hold("anna", 20)
    shop.capture("anna", hold.id, NOON + 3 * DAY, amount=15)
    assert (shop.balance("anna"), shop.lots("anna")[0].expires_at) == (5, NOON + 10 * DAY)


def test_without_grace_the_rest_of_a_capture_expires_at_once() -> None:
    shop = shop_with((20, NOON + DAY), hold_grace_days=0)
    hold = shop.hold("anna", 20)
    told = data_of(shop.capture("anna", hold.id, NOON + 3 * DAY, amount=15))
    assert (shop.balance("anna"), shop.account("anna").expired_points) == (0, 5)
    assert [entry["subtype"] for entry in told["transactions"]] == ["capture", "release"]


def test_where_expiry_is_switched_off_released_points_go_back_into_their_lot() -> None:
    shop = shop_with((20, NOON + DAY), expire_enabled=False)
    hold = shop.hold("anna", 20)
    shop.unfreeze("anna", NOON + 3 * DAY, hold_id=hold.id)
    assert [(lot.remaining, lot.expires_at) for lot in shop.lots("anna")] == [(20, NOON + DAY)]


# ---------------------------------------------------------------------------------------------- time-outs


def test_h5_whoever_touches_the_account_first_releases_what_has_timed_out() -> None:
    shop = shop_with((20, None))
    hold = shop.hold("anna", 20, expires_at=NOON + DAY)
    assert reason_of(shop.spend("anna", 1, NOON + DAY - timedelta(microseconds=1))) == "INSUFFICIENT_BALANCE"
    shop.spend("anna", 20, NOON + DAY)
    assert hold.state == "timed_out"
    assert shop.told("anna")[-2:] == [("timeout", 20), ("purchase", -20)]
    assert shop.entries("anna")[-2].related_id == hold.id


def test_h5_a_capture_that_comes_at_the_time_out_is_too_late_and_the_release_stays() -> None:
    shop = shop_with((20, None))
    hold = shop.hold("anna", 20, expires_at=NOON + DAY)
    assert reason_of(shop.capture("anna", hold.id, NOON + DAY)) == "RELATED_NOT_REVERSIBLE"
    assert (shop.balance("anna"), shop.frozen("anna")) == (20, 0)


def test_h5_a_capture_just_before_wins_and_the_time_out_finds_nothing() -> None:
    shop = shop_with((20, None))
    hold = shop.hold("anna", 20, expires_at=NOON + DAY)
    shop.capture("anna", hold.id, NOON + DAY - timedelta(microseconds=1))
    assert data_of(shop.release_due("anna", NOON + DAY))["points_released"] == 0
    assert (hold.state, shop.balance("anna")) == ("captured", 0)


def test_a_capture_that_happened_before_the_time_out_wins_where_nobody_has_looked_since() -> None:
    shop = shop_with((20, None))
    hold = shop.hold("anna", 20, expires_at=NOON + DAY)
    data_of(shop.capture("anna", hold.id, NOON + 5 * DAY, occurred_at=NOON + DAY / 2))
    assert hold.state == "captured"


def test_the_sweep_releases_each_hold_once_and_tells_of_it() -> None:
    shop = shop_with((60, None))
    late = shop.hold("anna", 10, expires_at=NOON + 3 * DAY)
    first = shop.hold("anna", 20, expires_at=NOON + 2 * DAY)
    second = shop.hold("anna", 5, expires_at=NOON + DAY)
    told = data_of(shop.release_due("anna", NOON + 2 * DAY))
    assert told["points_released"] == 25
    assert [entry["related_id"] for entry in told["transactions"]] == [second.id, first.id]
    assert data_of(shop.release_due("anna", NOON + 2 * DAY))["points_released"] == 0
    assert (late.state, shop.frozen("anna"), shop.account("anna").next_timeout_at) == (
        "open", 10, NOON + 3 * DAY,
    )  # fmt: skip


@pytest.mark.parametrize("looked_after", [2 * DAY, 4 * DAY, 30 * DAY])
def test_a_hold_times_out_at_its_moment_however_late_anybody_looks(looked_after: timedelta) -> None:
    """The lot that expired before the time-out has its grace from then; the other expires as ever."""
    shop = shop_with((20, NOON + DAY), (10, NOON + 3 * DAY))
    shop.freeze("anna", 30, expires_at=NOON + 2 * DAY)
    shop.release_due("anna", NOON + looked_after)
    grace_ends, other_ends = NOON + 9 * DAY, NOON + 3 * DAY
    expected = [(10, other_ends), (20, grace_ends)]
    alive = [(amount, end) for amount, end in expected if end > NOON + looked_after]
    assert [(lot.remaining, lot.expires_at) for lot in shop.lots("anna")] == alive
    assert shop.entries("anna")[3].occurred_at == NOON + 2 * DAY


def test_a_hold_that_is_opened_after_its_end_lasts_until_the_next_look() -> None:
    shop = shop_with((20, None))
    shop.freeze("anna", 20, expires_at=NOON - DAY)
    assert shop.frozen("anna") == 20
    shop.release_due("anna", NOON)
    assert (shop.frozen("anna"), shop.entries("anna")[-1].occurred_at) == (0, NOON)


# ------------------------------------------------------------------------------------- suspended and closed


def test_h6_a_suspended_account_neither_freezes_nor_captures_but_unfreezes_and_times_out() -> None:
    shop = shop_with((60, None))
    hold = shop.hold("anna", 10)
    shop.freeze("anna", 20, expires_at=NOON + DAY)
    shop.set_status("anna", "suspended")
    assert reason_of(shop.freeze("anna", 1)) == "ACCOUNT_SUSPENDED"
    assert reason_of(shop.capture("anna", hold.id)) == "ACCOUNT_SUSPENDED"
    data_of(shop.unfreeze("anna", hold_id=hold.id))
    assert data_of(shop.release_due("anna", NOON + DAY))["points_released"] == 20


def test_e2_before_the_funds_are_checked_holds_time_out_first_and_lots_expire_then() -> None:
    shop = shop_with((20, NOON + 2 * DAY))
    shop.freeze("anna", 20, expires_at=NOON + DAY)
    assert reason_of(shop.spend("anna", 1, NOON + 2 * DAY)) == "INSUFFICIENT_BALANCE"
    assert shop.told("anna")[-2:] == [("timeout", 20), ("scheduled", -20)]


# ------------------------------------------------------------------------------------------- what is loaded


def test_a_command_about_a_hold_says_which_it_needs() -> None:
    shop = shop_with((60, None))
    hold = shop.hold("anna", 10)
    shop.unfreeze("anna", hold_id=hold.id, amount=1)
    assert shop.last is not None
    assert shop.needs(shop.last).accounts["shop", "anna"].holds == {hold.id}
    shop.unfreeze("anna", amount=2)
    need = shop.needs(shop.last).accounts["shop", "anna"]
    assert (need.holds, need.release) == (set(), 2)
