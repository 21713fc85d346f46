"""Tests expiry by time and by command. E1 to E12 and A3 are acceptance cases."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from pointledger.domain.commands.outcomes import Decision
from pointledger.domain.program.tenant import Tenant
from tests.domain.books import APRIL, Shop, data_of, moment, reason_of, refusal_of

INSTANT = timedelta(microseconds=1)


def test_e1_points_can_be_spent_until_the_microsecond_before_they_expire() -> None:
    shop = Shop()
    shop.earn("anna", 10, expires_at=APRIL)
    data_of(shop.spend("anna", 4, at=APRIL - INSTANT))
    assert reason_of(shop.spend("anna", 1, at=APRIL)) == "INSUFFICIENT_BALANCE"
    assert shop.history("anna") == [("manual", 10), ("purchase", -4), ("scheduled", -6)]


def test_e2_every_command_expires_due_points_first() -> None:
    shop = Shop(transfer_enabled=True)
    shop.rule(points=1)
    commands: dict[str, Callable[[str], Decision]] = {
        "spend": lambda user: shop.spend(user, 1),
        "earn": lambda user: shop.earn(user, 1),
        "event": shop.event,
        "send": lambda user: shop.transfer(user, "other", 1),
        "receive": lambda user: shop.transfer("other", user, 1),
        "expire": lambda user: shop.expire(user, 1),
        "expire-due": lambda user: shop.expire_due(user, APRIL),
    }
    shop.earn("other", 100)
    for user in commands:
        shop.earn(user, 10, expires_at=APRIL)
        shop.earn(user, 5)
    shop.now = APRIL
    for user, command in commands.items():
        data_of(command(user))
        assert shop.history(user)[2] == ("scheduled", -10)
        assert shop.account(user).expired_points >= 10


def test_e2_due_points_expire_even_if_the_command_is_refused() -> None:
    shop = Shop()
    shop.earn("anna", 10, expires_at=APRIL)
    shop.earn("anna", 5)
    refused = refusal_of(shop.spend("anna", 12, at=APRIL + timedelta(seconds=1)))
    assert (refused.reason.name, shop.balance("anna")) == ("INSUFFICIENT_BALANCE", 5)
    assert "12 points are requested, 5 are available" in refused.message
    assert shop.history("anna")[-1] == ("scheduled", -10)


def test_e2_each_due_lot_expires_by_its_own_entry_the_soonest_first() -> None:
    shop = Shop()
    for day, points in ((20, 3), (10, 1), (15, 2)):
        shop.earn("anna", points, expires_at=moment(f"2026-03-{day}"))
    data = data_of(shop.expire_due("anna", moment("2026-03-15")))
    assert (data["points_expired"], data["lots_expired"]) == (3, 2)
    expired = shop.entries("anna")[-2:]
    assert [(entry.amount, entry.expires_at) for entry in expired] == [
        (1, moment("2026-03-10")),
        (2, moment("2026-03-15")),
    ]
    assert [entry.occurred_at for entry in expired] == [moment("2026-03-15")] * 2
    assert shop.left("anna") == [3]


def test_e3_a_job_that_runs_twice_expires_once() -> None:
    shop = Shop()
    shop.earn("anna", 10, expires_at=APRIL)
    assert data_of(shop.expire_due("anna", APRIL))["points_expired"] == 10
    assert data_of(shop.expire_due("anna", APRIL))["points_expired"] == 0
    assert shop.history("anna") == [("manual", 10), ("scheduled", -10)]


def test_e3_a_consumed_lot_does_not_expire() -> None:
    shop = Shop()
    shop.earn("anna", 10, expires_at=APRIL)
    shop.spend("anna", 10)
    assert data_of(shop.expire_due("anna", APRIL))["lots_expired"] == 0


def test_e6_the_soonest_expiry_pays_first_regardless_of_arrival() -> None:
    shop = Shop()
    shop.earn("anna", 1)  # never expires: last
    shop.earn("anna", 2, expires_at=moment("2026-05-01"))
    shop.earn("anna", 4, expires_at=APRIL, occurred_at=moment("2026-02-02"))
    shop.earn("anna", 8, expires_at=APRIL, occurred_at=moment("2026-02-01"))  # as soon, but older
    assert shop.left("anna") == [8, 4, 2, 1]
    shop.spend("anna", 9)
    assert shop.left("anna") == [3, 2, 1]
    shop.spend("anna", 5)
    assert shop.left("anna") == [1]


def test_e6_equal_lots_pay_in_the_order_of_their_ids() -> None:
    shop = Shop()
    for _ in range(5):
        shop.earn("anna", 10, expires_at=APRIL)
    ids = [lot.id for lot in shop.lots("anna")]
    assert ids == sorted(ids)
    shop.spend("anna", 15)
    assert [(lot.id, lot.remaining) for lot in shop.lots("anna")] == [
        (ids[1], 5),
        *((id, 10) for id in ids[2:]),
    ]


def test_every_consumption_of_a_lot_is_recorded() -> None:
    shop = Shop(transfer_enabled=True)
    shop.earn("ben", 1)
    shop.earn("anna", 10, expires_at=APRIL)
    shop.earn("anna", 10)
    shop.spend("anna", 4)
    shop.transfer("anna", "ben", 4)
    shop.expire("anna", 4)
    shop.expire_due("anna", APRIL)
    assert [(move.kind, move.amount) for move in shop.book.moves] == [
        ("spend", 4),
        ("transfer", 4),
        ("expire", 2),
        ("expire", 2),
    ]


def test_a_lot_ends_as_consumed_or_as_expired() -> None:
    shop = Shop()
    shop.earn("anna", 10, expires_at=APRIL)
    shop.spend("anna", 10)
    shop.earn("anna", 5, expires_at=APRIL)
    shop.expire_due("anna", APRIL)
    assert [(lot.state, lot.remaining) for lot in shop.book.new_lots] == [("consumed", 0), ("expired", 0)]


def test_e9_due_points_stay_spendable_while_expiry_is_off() -> None:
    shop = Shop(expire_enabled=False)
    shop.earn("anna", 10, expires_at=APRIL)
    data_of(shop.spend("anna", 4, at=APRIL + timedelta(days=1)))
    assert data_of(shop.expire_due("anna", APRIL + timedelta(days=1)))["points_expired"] == 0
    assert (shop.balance("anna"), shop.lots("anna")[0].expires_at) == (6, APRIL)


def test_e9_points_expire_by_command_while_expiry_is_off() -> None:
    shop = Shop(expire_enabled=False)
    shop.earn("anna", 10)
    assert data_of(shop.expire("anna", 4))["settled"] == 4


def test_e9_due_points_expire_after_the_notice_period_once_expiry_is_on_again() -> None:
    shop = Shop(expire_enabled=False)
    shop.earn("anna", 10, expires_at=APRIL)
    shop.spend("anna", 1, at=APRIL)
    switched = Tenant(tenant_id="shop").following(shop.tenant, APRIL)
    shop.book.tenants["shop"] = switched
    assert data_of(shop.expire_due("anna", APRIL + timedelta(days=30) - INSTANT))["points_expired"] == 0
    assert data_of(shop.expire_due("anna", APRIL + timedelta(days=30)))["points_expired"] == 9


def test_e11_expiring_more_than_the_balance_settles_the_balance() -> None:
    shop = Shop()
    shop.earn("anna", 300)
    shop.account("anna").frozen_balance = 200
    data = data_of(shop.expire("anna", 500))
    assert (data["requested"], data["settled"], data["ratio"]) == (500, 300, "0.6")
    account = shop.account("anna")
    assert (account.balance, account.frozen_balance, account.expired_points) == (0, 200, 300)


@pytest.mark.parametrize(
    ("available", "requested", "ratio"),
    [
        (300, 300, "1"),
        (300, 100, "1"),
        (1, 3, "0.333333"),
        (2, 3, "0.666667"),
        (1, 10**15, "0"),
        (50, 100, "0.5"),
    ],
)
def test_e11_the_ratio_is_of_the_requested_amount(available: int, requested: int, ratio: str) -> None:
    shop = Shop()
    shop.earn("anna", available)
    assert data_of(shop.expire("anna", requested))["ratio"] == ratio


def test_e12_expiring_an_empty_account_is_applied_without_an_entry() -> None:
    shop = Shop()
    shop.earn("anna", 5)
    shop.spend("anna", 5)
    data = data_of(shop.expire("anna", 5))
    assert (data["settled"], data["ratio"], data["transactions"]) == (0, "0", [])
    assert len(shop.entries("anna")) == 2


@pytest.mark.parametrize("amount", [0, -5])
def test_e12_the_amount_to_expire_is_positive(amount: int) -> None:
    with pytest.raises(ValueError, match="amount"):
        Shop().expire("anna", amount)


def test_expiring_takes_the_soonest_first() -> None:
    shop = Shop()
    shop.earn("anna", 10)
    shop.earn("anna", 10, expires_at=APRIL)
    shop.expire("anna", 12)
    assert [(lot.remaining, lot.expires_at) for lot in shop.lots("anna")] == [(8, None)]


@pytest.mark.parametrize(
    ("lots", "amount", "left"),
    [
        ([100, 100, 100], 100, [66, 67, 67]),  # the first of equal remainders gives the point
        ([1, 1, 1], 1, [1, 1]),
        ([1, 1, 1], 2, [1]),
        ([50, 30, 20], 10, [45, 27, 18]),
        ([3, 3, 1], 5, [1, 1]),  # shares 2.14, 2.14, 0.71
        ([7, 5, 3], 15, []),
        ([7, 5, 3], 100, []),
        ([10**15 - 10, 7, 3], 10**15 - 1, [1]),
    ],
)
def test_a3_pro_rata_takes_from_every_lot_by_largest_remainder(
    lots: list[int], amount: int, left: list[int]
) -> None:
    shop = Shop()
    for day, points in enumerate(lots):
        shop.earn("anna", points, expires_at=APRIL + timedelta(days=day))
    data = data_of(shop.expire("anna", amount, strategy="pro_rata"))
    assert shop.left("anna") == left
    assert shop.balance("anna") == sum(left) == sum(lots) - data["settled"]


def test_a3_pro_rata_expires_due_lots_first_by_their_own_entries() -> None:
    shop = Shop()
    shop.earn("anna", 50, expires_at=APRIL)
    shop.earn("anna", 50)
    assert data_of(shop.expire("anna", 10, at=APRIL, strategy="pro_rata"))["settled"] == 10
    assert shop.history("anna")[2:] == [("scheduled", -50), ("manual", -10)]


def test_a3_pro_rata_of_an_empty_account_settles_nothing() -> None:
    shop = Shop()
    shop.earn("anna", 5)
    shop.spend("anna", 5)
    assert data_of(shop.expire("anna", 5, strategy="pro_rata"))["settled"] == 0
