"""Tests lots that expire while points are held, and holds that time out (H2, H5, E2)."""

from datetime import timedelta

import pytest

from tests.domain.books import NOON, data_of, moment, reason_of, shop_with_lots

DAY = timedelta(days=1)


# --------------------------------------------------------------------------------------- expiry of held
# points


def test_h2_held_points_of_an_expired_lot_do_not_expire_and_are_not_due() -> None:
    shop = shop_with_lots((30, NOON + DAY))
    shop.freeze("anna", 20)
    data = data_of(shop.expire_due("anna", NOON + DAY))
    assert data["points_expired"] == 10
    assert (shop.balance("anna"), shop.frozen("anna")) == (0, 20)
    assert shop.account("anna").next_expiry_at is None
    assert data_of(shop.expire_due("anna", NOON + 2 * DAY))["points_expired"] == 0


def test_a_fully_held_lot_does_not_set_the_next_expiry() -> None:
    shop = shop_with_lots((20, NOON + DAY), (5, NOON + 9 * DAY))
    shop.freeze("anna", 20)
    shop.expire_due("anna", NOON + DAY)
    assert shop.account("anna").next_expiry_at == NOON + 9 * DAY


def test_h2_held_points_of_an_expired_lot_can_be_captured() -> None:
    shop = shop_with_lots((20, NOON + DAY))
    hold = shop.hold("anna", 20)
    shop.capture("anna", hold.id, NOON + 3 * DAY)
    account = shop.account("anna")
    assert (account.total_spent, account.expired_points, account.lots) == (20, 0, [])


def test_h2_points_released_after_their_lots_expiry_get_a_grace_period() -> None:
    shop = shop_with_lots((20, NOON + DAY))
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


def test_h2_the_grace_period_is_the_tenants_and_counts_its_days() -> None:
    shop = shop_with_lots((20, moment("2026-03-20")), timezone="Europe/Berlin", hold_grace_days=14)
    hold = shop.hold("anna", 20)
    shop.unfreeze("anna", moment("2026-03-25 12:00"), hold_id=hold.id)
    assert shop.lots("anna")[0].expires_at == moment("2026-04-08 11:00"), "the clocks went forward"


def test_h2_released_points_without_grace_expire_at_once() -> None:
    shop = shop_with_lots((20, NOON + DAY), (5, None), hold_grace_days=0)
    hold = shop.hold("anna", 22)
    shop.unfreeze("anna", NOON + 3 * DAY, hold_id=hold.id)
    assert [entry.subtype for entry in shop.entries("anna")][-2:] == ["release", "scheduled"]
    assert (shop.balance("anna"), shop.frozen("anna"), shop.account("anna").expired_points) == (5, 0, 20)


def test_the_rest_of_a_capture_gets_a_grace_period() -> None:
    shop = shop_with_lots((20, NOON + DAY))
    hold = shop.hold("anna", 20)
    shop.capture("anna", hold.id, NOON + 3 * DAY, amount=15)
    assert (shop.balance("anna"), shop.lots("anna")[0].expires_at) == (5, NOON + 10 * DAY)


def test_without_grace_the_rest_of_a_capture_expires_at_once() -> None:
    shop = shop_with_lots((20, NOON + DAY), hold_grace_days=0)
    hold = shop.hold("anna", 20)
    data = data_of(shop.capture("anna", hold.id, NOON + 3 * DAY, amount=15))
    assert (shop.balance("anna"), shop.account("anna").expired_points) == (0, 5)
    assert [entry["subtype"] for entry in data["transactions"]] == ["capture", "release"]


def test_released_points_return_to_their_lot_while_expiry_is_off() -> None:
    shop = shop_with_lots((20, NOON + DAY), expire_enabled=False)
    hold = shop.hold("anna", 20)
    shop.unfreeze("anna", NOON + 3 * DAY, hold_id=hold.id)
    assert [(lot.remaining, lot.expires_at) for lot in shop.lots("anna")] == [(20, NOON + DAY)]


# ---------------------------------------------------------------------------------------------- time-outs


def test_h5_the_next_command_releases_timed_out_holds_first() -> None:
    shop = shop_with_lots((20, None))
    hold = shop.hold("anna", 20, expires_at=NOON + DAY)
    assert reason_of(shop.spend("anna", 1, NOON + DAY - timedelta(microseconds=1))) == "INSUFFICIENT_BALANCE"
    shop.spend("anna", 20, NOON + DAY)
    assert hold.state == "timed_out"
    assert shop.history("anna")[-2:] == [("timeout", 20), ("purchase", -20)]
    assert shop.entries("anna")[-2].related_id == hold.id


def test_h5_a_capture_at_the_time_out_is_refused_and_the_release_stays() -> None:
    shop = shop_with_lots((20, None))
    hold = shop.hold("anna", 20, expires_at=NOON + DAY)
    assert reason_of(shop.capture("anna", hold.id, NOON + DAY)) == "RELATED_NOT_REVERSIBLE"
    assert (shop.balance("anna"), shop.frozen("anna")) == (20, 0)


def test_h5_a_capture_just_before_the_time_out_wins() -> None:
    shop = shop_with_lots((20, None))
    hold = shop.hold("anna", 20, expires_at=NOON + DAY)
    shop.capture("anna", hold.id, NOON + DAY - timedelta(microseconds=1))
    assert data_of(shop.release_due("anna", NOON + DAY))["points_released"] == 0
    assert (hold.state, shop.balance("anna")) == ("captured", 0)


def test_a_late_capture_that_occurred_before_the_time_out_wins_on_an_idle_account() -> None:
    shop = shop_with_lots((20, None))
    hold = shop.hold("anna", 20, expires_at=NOON + DAY)
    data_of(shop.capture("anna", hold.id, NOON + 5 * DAY, occurred_at=NOON + DAY / 2))
    assert hold.state == "captured"


def test_the_job_releases_each_hold_once_and_reports_it() -> None:
    shop = shop_with_lots((60, None))
    late = shop.hold("anna", 10, expires_at=NOON + 3 * DAY)
    first = shop.hold("anna", 20, expires_at=NOON + 2 * DAY)
    second = shop.hold("anna", 5, expires_at=NOON + DAY)
    data = data_of(shop.release_due("anna", NOON + 2 * DAY))
    assert data["points_released"] == 25
    assert [entry["related_id"] for entry in data["transactions"]] == [second.id, first.id]
    assert data_of(shop.release_due("anna", NOON + 2 * DAY))["points_released"] == 0
    assert (late.state, shop.frozen("anna"), shop.account("anna").next_timeout_at) == (
        "open", 10, NOON + 3 * DAY,
    )  # fmt: skip


@pytest.mark.parametrize("delay", [2 * DAY, 4 * DAY, 30 * DAY])
def test_a_hold_times_out_as_of_its_own_moment_however_late_it_is_processed(delay: timedelta) -> None:
    """The lot that expired before the time-out has its grace period from then; the other expires normally."""
    shop = shop_with_lots((20, NOON + DAY), (10, NOON + 3 * DAY))
    shop.freeze("anna", 30, expires_at=NOON + 2 * DAY)
    shop.release_due("anna", NOON + delay)
    grace_ends, other_ends = NOON + 9 * DAY, NOON + 3 * DAY
    expected = [(10, other_ends), (20, grace_ends)]
    alive = [(amount, end) for amount, end in expected if end > NOON + delay]
    assert [(lot.remaining, lot.expires_at) for lot in shop.lots("anna")] == alive
    assert shop.entries("anna")[3].occurred_at == NOON + 2 * DAY


def test_a_hold_that_is_opened_after_its_time_out_lasts_until_the_next_command() -> None:
    shop = shop_with_lots((20, None))
    shop.freeze("anna", 20, expires_at=NOON - DAY)
    assert shop.frozen("anna") == 20
    shop.release_due("anna", NOON)
    assert (shop.frozen("anna"), shop.entries("anna")[-1].occurred_at) == (0, NOON)
