"""Expiring points, and the cash value of points."""

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from pointledger import Earn, Spend
from pointledger.client.acceptor import Acceptance
from pointledger.domain.values.money import cash_value
from pointledger.errors import NotCashEquivalent
from pointledger.jobs.scheduler import JobScheduler
from tests.ledger import Ledger

NOW = datetime.now(UTC)


def earn(ledger: Ledger, amount: int, days: int | None, user: str = "anna") -> None:
    expires_at = None if days is None else NOW + timedelta(days=days)
    ledger.apply(
        Earn(tenant_id="shop", user_id=user, amount=amount, expires_at=expires_at,
             occurred_at=NOW - timedelta(days=100))
    )  # fmt: skip


def switch_on_after_the_notice_period(ledger: Ledger) -> None:
    """Switch expiry on, as if the notice period had ended."""
    ledger.tenant(expire_enabled=True)
    with ledger.database.begin() as connection:
        connection.execute(
            sa.text(
                """INSERT INTO tenant_versions (tenant_id, version, config)
                   SELECT tenant_id, version + 1,
                          config::jsonb || jsonb_build_object('expires_not_before', CAST(:over AS text))
                   FROM tenant_versions ORDER BY version DESC LIMIT 1"""
            ),
            {"over": (NOW - timedelta(days=4)).isoformat()},
        )


def test_e14_expiring_points_have_every_lot_of_the_window_and_their_sum(ledger: Ledger) -> None:
    for amount, days in ((10, 3), (20, 29), (40, 31), (80, None), (160, 3)):
        earn(ledger, amount, days)
    ledger.apply(Spend(tenant_id="shop", user_id="anna", amount=15))

    found = ledger.client.expiring("shop", "anna", 30)

    assert sorted(lot["points"] for lot in found.lots) == [20, 155]
    assert (found.points, found.lots_in_all) == (175, 2)
    assert [lot["expires_at"] for lot in found.lots] == sorted(lot["expires_at"] for lot in found.lots)
    assert ledger.client.expiring("shop", "anna", 1).lots == ()
    assert ledger.client.expiring("shop", "anna", 60).points == 215


def test_e14_frozen_points_are_not_expiring(ledger: Ledger) -> None:
    earn(ledger, 10, 3)
    with ledger.database.begin() as connection:
        connection.exec_driver_sql("UPDATE lots SET remaining = 4, frozen = 6")
        connection.exec_driver_sql("UPDATE accounts SET balance = 4, frozen_balance = 6")
    assert ledger.client.expiring("shop", "anna").points == 4


def test_due_points_are_not_expiring(ledger: Ledger) -> None:
    earn(ledger, 10, -1)
    assert ledger.client.expiring("shop", "anna").points == 0


def test_a5_cash_value_is_exact(ledger: Ledger) -> None:
    ledger.tenant(points_type="cash_equivalent", exchange_rate=100)
    earn(ledger, 5050, None)
    found = ledger.client.value("shop", "anna")
    assert (found.value, found.is_exact, found.balance, found.exchange_rate) == ("50.50", True, 5050, 100)


@pytest.mark.parametrize(
    ("balance", "rate", "value", "is_exact"),
    [(0, 100, "0.00", True), (1, 3, "0.33", False), (5_055, 1_000, "5.05", False), (7, 1, "7.00", True),
     (10**15, 1, "1000000000000000.00", True), (10**15 - 1, 10**15, "0.99", False)],
)  # fmt: skip
def test_cash_value_is_rounded_down_to_minor_units(
    balance: int, rate: int, value: str, is_exact: bool
) -> None:
    assert cash_value(balance, rate) == (value, is_exact)


def test_only_cash_equivalent_points_have_a_cash_value(ledger: Ledger) -> None:
    earn(ledger, 5, None)
    with pytest.raises(NotCashEquivalent, match="expirable"):
        ledger.client.value("shop", "anna")


def test_e8_a_preview_shows_what_the_job_then_expires_and_changes_nothing(ledger: Ledger) -> None:
    for user, amount, days in (
        ("anna", 10, -1),
        ("anna", 5, -2),
        ("anna", 3, 9),
        ("ben", 7, -3),
        ("carl", 1, None),
    ):
        earn(ledger, amount, days, user)
    ledger.tenant(expire_enabled=False)
    before = ledger.counts("entries", "journal", "pending")

    (preview,) = ledger.client.preview_expiry("shop")

    assert (preview["accounts"], preview["lots"], preview["points"]) == (2, 3, 22)
    assert [(member["user_id"], member["points"]) for member in preview["members"]] == [
        ("ben", 7),
        ("anna", 15),
    ]
    assert preview["expire_enabled"] is False
    assert ledger.counts("entries", "journal", "pending") == before

    switch_on_after_the_notice_period(ledger)
    scheduler = JobScheduler(ledger.database, Acceptance(ledger.database, ledger.doorbells, ledger.settings))
    (receipt,) = scheduler.expire_now(NOW, "shop")
    ledger.drain()
    outcomes = ledger.client.outcomes(receipt.task_ids)
    assert sum(outcome.data["points_expired"] for outcome in outcomes if outcome.data) == preview["points"]
    assert sum(outcome.data["lots_expired"] for outcome in outcomes if outcome.data) == preview["lots"]
    assert ledger.client.preview_expiry("shop")[0]["points"] == 0


def test_e8_the_expiry_job_stops_at_its_limit_and_continues_in_its_next_run(ledger: Ledger) -> None:
    ledger.tenant(expire_accounts_per_run=2)
    for number in range(5):
        earn(ledger, 10, -5 + number, f"u{number}")
    scheduler = JobScheduler(ledger.database, Acceptance(ledger.database, ledger.doorbells, ledger.settings))

    assert [len(receipt.task_ids) for receipt in scheduler.expire_now(NOW, "shop", limit=1)] == [1]
    ledger.drain()
    assert ledger.balance("u0") == 0, "the soonest expiry first"
    with ledger.database.begin() as connection:
        connection.exec_driver_sql(
            """INSERT INTO job_runs (job, tenant_id, local_date, as_of, leased_until)
               SELECT 'expire-points', 'shop', current_date - 1 + day, now(), now()
               FROM generate_series(0, 1) AS day"""
        )
    assert scheduler.expire_points() is True
    ledger.drain()
    assert [ledger.balance(f"u{number}") for number in range(5)] == [0, 0, 0, 10, 10]
    assert scheduler.expire_points() is True, "the next night"
    ledger.drain()
    assert [ledger.balance(f"u{number}") for number in range(5)] == [0] * 5
    assert scheduler.expire_points() is False
