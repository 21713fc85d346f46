"""Tests the clocks of accounts."""

from datetime import timedelta
from typing import Any

from tests.domain.books import APRIL, NOON, Shop, data_of, moment, reason_of

INSTANT = timedelta(microseconds=1)


def test_an_accounts_clock_never_goes_back() -> None:
    shop = Shop()
    shop.earn("anna", 10)
    for occurred_at in ("2026-02-01", "2026-02-20", "2026-01-01"):
        shop.earn("anna", 1, occurred_at=moment(occurred_at))
        assert shop.account("anna").as_of == NOON


def test_points_that_have_expired_stay_expired_for_an_older_event() -> None:
    shop = Shop(now=moment("2026-05-01"))
    shop.earn("anna", 10, expires_at=APRIL)
    assert shop.balance("anna") == 10  # no later command has advanced the account
    assert reason_of(shop.spend("anna", 1, occurred_at=moment("2026-03-31"))) == "INSUFFICIENT_BALANCE"


def test_replaying_last_years_events_gives_last_years_results() -> None:
    shop = Shop(now=moment("2027-03-01"))
    may = moment("2026-05-01")
    shop.earn("anna", 10, occurred_at=moment("2026-01-01"), expires_at=APRIL)
    data_of(shop.spend("anna", 4, occurred_at=APRIL - INSTANT))
    assert reason_of(shop.spend("anna", 1, occurred_at=may)) == "INSUFFICIENT_BALANCE"
    assert (shop.account("anna").as_of, shop.entries("anna")[-1].occurred_at) == (may, may)


def test_an_expire_due_command_moves_the_clock_to_its_as_of() -> None:
    shop = Shop(now=moment("2026-06-01"))
    shop.earn("anna", 10, occurred_at=moment("2026-01-01"))
    shop.expire_due("anna", APRIL)
    assert shop.account("anna").as_of == APRIL
    shop.expire_due("anna", NOON)
    assert shop.account("anna").as_of == APRIL


def test_the_clock_moves_even_if_the_command_is_refused() -> None:
    shop = Shop()
    shop.earn("anna", 10)
    shop.spend("anna", 11, at=APRIL)
    assert shop.account("anna").as_of == APRIL


def test_the_next_expiry_is_never_later_than_that_of_any_lot() -> None:
    shop = Shop()
    may, june = moment("2026-05-01"), moment("2026-06-01")

    def next_expiry() -> Any:
        return shop.account("anna").next_expiry_at

    shop.earn("anna", 1)
    assert next_expiry() is None
    shop.earn("anna", 1, expires_at=may)
    assert next_expiry() == may
    shop.earn("anna", 1, expires_at=APRIL)
    shop.earn("anna", 1, expires_at=june)
    assert next_expiry() == APRIL
    shop.expire_due("anna", APRIL)
    assert next_expiry() == may
    shop.expire_due("anna", june)
    assert next_expiry() is None
    assert shop.left("anna") == [1]


def test_a_future_as_of_becomes_the_moment_of_acceptance() -> None:
    shop = Shop()
    shop.earn("anna", 5, expires_at=NOON + timedelta(days=10))
    data = data_of(shop.expire_due("anna", NOON + timedelta(days=365), at=NOON))
    assert data["points_expired"] == 0
    assert shop.account("anna").as_of == NOON


def test_an_account_whose_due_lots_were_spent_is_not_due_again() -> None:
    shop = Shop()
    ends = NOON + timedelta(days=10)
    shop.earn("anna", 5, expires_at=ends)
    shop.spend("anna", 5)
    shop.expire_due("anna", ends)
    assert shop.account("anna").next_expiry_at is None
