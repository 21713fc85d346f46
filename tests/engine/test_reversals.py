"""Reversals on a real ledger: they find what was recorded, and no race reverses an entry twice."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from pointledger import (
    ActivateDue,
    AnyCommand,
    ApplyRule,
    CancelPending,
    Clawback,
    ConfirmDeduction,
    Earn,
    ExpireDue,
    Freeze,
    Refund,
    SetStatus,
    Spend,
    Transfer,
    Unfreeze,
)
from pointledger.ids import parse_id
from pointledger.settings import Settings
from tests.engine.many_workers import at_once, drain_with
from tests.engine.soundness import assert_sound
from tests.ledger import Ledger, data_of

ANNA: dict[str, Any] = {"tenant_id": "shop", "user_id": "anna"}
NOW = datetime.now(UTC)
SOON, LATER = NOW + timedelta(days=1), NOW + timedelta(days=9)


def made(ledger: Ledger, command: Any) -> UUID:
    """Apply a command and return the id of its entry."""
    return parse_id(data_of(ledger.apply(command)[0])["transactions"][0]["id"])


def lots(ledger: Ledger) -> list[tuple[int, datetime | None]]:
    found = ledger.rows(
        """SELECT remaining, expires_at FROM lots WHERE state = 'active'
           ORDER BY expires_at, earned_at, id"""
    )
    return [tuple(row) for row in found]


def test_a_refund_returns_points_to_the_same_lots_many_batches_later(ledger: Ledger) -> None:
    ledger.tenant()
    ledger.apply(Earn(**ANNA, amount=3, expires_at=SOON), Earn(**ANNA, amount=4, expires_at=LATER))
    ledger.apply(Earn(**ANNA, amount=10))
    spend = made(ledger, Spend(**ANNA, amount=12))
    assert lots(ledger) == [(5, None)]

    made(ledger, Refund(**ANNA, amount=6, related_id=spend))
    assert lots(ledger) == [(1, LATER), (10, None)]
    states = [
        outcome.reason or outcome.state
        for outcome in ledger.apply(
            Refund(**ANNA, amount=5, related_id=spend),
            Refund(**ANNA, amount=2, related_id=spend),
            Refund(**ANNA, amount=1, related_id=spend),
            Refund(**ANNA, amount=1, related_id=UUID(int=1)),
            Spend(**ANNA, amount=1),
        )
    ]
    assert states == ["applied", "RELATED_NOT_REVERSIBLE", "applied", "RELATED_NOT_FOUND", "applied"]
    assert lots(ledger) == [(2, SOON), (4, LATER), (10, None)]
    assert_sound(ledger)


def test_refunded_points_of_an_expired_lot_come_back_with_grace(ledger: Ledger) -> None:
    ledger.tenant(refund_grace_days=7)
    past = NOW - timedelta(days=20)
    ledger.apply(Earn(**ANNA, amount=5, occurred_at=past, expires_at=past + timedelta(days=2)))
    spend = made(ledger, Spend(**ANNA, amount=5, occurred_at=past))
    made(ledger, Refund(**ANNA, amount=3, related_id=spend, occurred_at=NOW - timedelta(days=1)))
    assert lots(ledger) == [(3, NOW - timedelta(days=1) + timedelta(days=7))]
    assert ledger.apply(Refund(**ANNA, amount=3, related_id=spend))[0].reason == "RELATED_NOT_REVERSIBLE"
    assert_sound(ledger)


def test_a_refund_of_another_users_spend_is_refused(ledger: Ledger) -> None:
    ledger.tenant(transfer_enabled=True)
    ledger.apply(Earn(**ANNA, amount=5), Earn(tenant_id="shop", user_id="ben", amount=5))
    spend = made(ledger, Spend(**ANNA, amount=2))
    transfer = made(ledger, Transfer(**ANNA, to_user_id="ben", amount=1))
    refused = ledger.apply(
        Refund(tenant_id="shop", user_id="ben", amount=2, related_id=spend),
        Refund(**ANNA, amount=1, related_id=transfer),
    )
    assert [outcome.reason for outcome in refused] == ["RELATED_NOT_REVERSIBLE"] * 2


def test_a_clawback_takes_from_the_points_own_lot_and_the_debt_is_repaid_later(ledger: Ledger) -> None:
    ledger.tenant(max_earn_per_day=150)
    ledger.rule(name="visits", event_type="visit", points=30, daily_limit=30)
    ledger.apply(Earn(**ANNA, amount=5, expires_at=SOON))
    granted = made(ledger, ApplyRule(**ANNA, event_type="visit"))
    ledger.apply(Earn(**ANNA, amount=7, expires_at=LATER))

    made(ledger, Clawback(**ANNA, related_id=granted, amount=20))
    assert lots(ledger) == [(5, SOON), (7, LATER), (10, None)]
    made(ledger, Spend(**ANNA, amount=18))
    data = data_of(ledger.apply(Clawback(**ANNA, related_id=granted, policy="arrears"))[0])
    assert (data["clawed_back"], data["debt_added"]) == (10, 6)
    assert ledger.apply(Clawback(**ANNA, related_id=granted))[0].reason == "RELATED_NOT_REVERSIBLE"

    assert data_of(ledger.apply(ApplyRule(**ANNA, event_type="visit"))[0])["points_earned"] == 30
    account = ledger.account("anna")
    assert (account["balance"], account["debt"], account["total_clawed_back"]) == (24, 0, 30)
    assert_sound(ledger)


def test_expired_points_are_not_clawed_back(ledger: Ledger) -> None:
    ledger.tenant()
    past = NOW - timedelta(days=20)
    earned = made(ledger, Earn(**ANNA, amount=50, occurred_at=past, expires_at=past + timedelta(days=2)))
    ledger.apply(Spend(**ANNA, amount=20, occurred_at=past), Earn(**ANNA, amount=500))
    data = data_of(ledger.apply(Clawback(**ANNA, related_id=earned, policy="arrears"))[0])
    assert (data["requested"], data["clawed_back"], ledger.balance("anna")) == (50, 20, 480)
    assert_sound(ledger)


def test_a_received_transfer_repays_debt(ledger: Ledger) -> None:
    ledger.tenant(transfer_enabled=True)
    earned = made(ledger, Earn(**ANNA, amount=20))
    ledger.apply(Spend(**ANNA, amount=20), Clawback(**ANNA, related_id=earned, amount=6, policy="arrears"))
    ledger.apply(Earn(tenant_id="shop", user_id="ben", amount=10))
    ledger.apply(Transfer(tenant_id="shop", user_id="ben", to_user_id="anna", amount=10))
    account = ledger.account("anna")
    assert (account["balance"], account["debt"], account["total_transferred_in"]) == (4, 0, 10)
    assert_sound(ledger)


@pytest.mark.parametrize("together", [False, True], ids=["in two batches", "in one batch"])
def test_points_that_expired_after_grace_are_not_clawed_back(ledger: Ledger, together: bool) -> None:
    ledger.tenant(refund_grace_days=7)
    past = NOW - timedelta(days=20)
    earned = made(ledger, Earn(**ANNA, amount=50, occurred_at=past, expires_at=past + timedelta(days=2)))
    spend = made(ledger, Spend(**ANNA, amount=50, occurred_at=past))
    made(ledger, Refund(**ANNA, amount=40, related_id=spend, occurred_at=past + timedelta(days=3)))
    expiry, clawback = (
        ExpireDue(**ANNA, as_of=NOW),
        Clawback(**ANNA, related_id=earned, policy="arrears"),
    )
    if not together:
        ledger.apply(expiry)
    data = data_of((ledger.apply(expiry, clawback) if together else ledger.apply(clawback))[-1])
    assert (data["requested"], data["clawed_back"], data["debt_added"]) == (50, 10, 10)
    assert_sound(ledger)


def test_queries_show_due_pending_points_as_available(ledger: Ledger) -> None:
    ledger.tenant(default_expiry_days=10)
    past = NOW - timedelta(days=20)
    about: dict[str, Any] = {**ANNA, "occurred_at": past}
    for day in (2, 5, 8):
        ledger.apply(Earn(**about, amount=10 * day, activates_at=past + timedelta(days=day)))
    about["occurred_at"] = NOW - timedelta(days=1)
    late = made(ledger, Earn(**about, amount=7, activates_at=NOW + timedelta(days=5)))
    # The lots of the past have become available, and all of them have expired since.
    account = ledger.account("anna")
    assert (account["balance"], account["pending_balance"], account["expired_points"]) == (0, 7, 150)

    made(ledger, Earn(**about, amount=9, activates_at=NOW - timedelta(hours=2)))
    data = data_of(ledger.apply(ActivateDue(**ANNA, as_of=NOW - timedelta(hours=1)))[0])
    assert (data["points_activated"], data["lots_activated"]) == (9, 1)
    made(ledger, Clawback(**ANNA, related_id=late, amount=3, policy="only_pending"))
    made(ledger, CancelPending(**ANNA, related_id=late))
    account = ledger.account("anna")
    assert (account["balance"], account["pending_balance"], account["total_clawed_back"]) == (9, 0, 7)
    assert_sound(ledger)


def test_cancelling_pending_points_restores_the_days_limit(ledger: Ledger) -> None:
    ledger.tenant(max_earn_per_day=50)
    ledger.apply(Earn(**ANNA, amount=40))
    pending = made(ledger, Earn(**ANNA, amount=10, activates_at=SOON))
    made(ledger, CancelPending(**ANNA, related_id=pending))
    (refused,) = ledger.apply(Earn(**ANNA, amount=11))
    assert refused.reason == "LIMIT_REACHED"
    made(ledger, Earn(**ANNA, amount=10))
    assert_sound(ledger)


def test_the_outcomes_do_not_depend_on_the_batch_size(settings: Settings) -> None:
    states = []
    for batch_size in (1, 1000):
        with Ledger(settings.model_copy(update={"batch_size": batch_size})) as ledger:
            then = NOW - timedelta(days=5)
            user: dict[str, Any] = {"tenant_id": "shop", "user_id": f"user-{batch_size}"}
            past = {**user, "occurred_at": then}
            ledger.tenant(default_expiry_days=30)
            commands: list[AnyCommand] = [
                Earn(**past, amount=5, activates_at=then + timedelta(days=3)),
                Earn(**past, amount=8),
                ActivateDue(**user, as_of=then + timedelta(days=2)),
                Earn(**past, amount=3, activates_at=then + timedelta(days=4)),
                ActivateDue(**user, as_of=then + timedelta(days=3)),
                Spend(**past, amount=13),
                ActivateDue(**user, as_of=then + timedelta(days=4)),
                Spend(**past, amount=3),
            ]
            outcomes = ledger.apply(*commands)
            states.append([outcome.state for outcome in outcomes])
            assert_sound(ledger)
    assert states == [["applied"] * 8] * 2


def test_r1_one_of_two_concurrent_full_refunds_is_applied(settings: Settings) -> None:
    with Ledger(settings.model_copy(update={"batch_size": 1})) as ledger:
        ledger.tenant()
        ledger.apply(Earn(**ANNA, amount=100))
        spends = [made(ledger, Spend(**ANNA, amount=10)) for _ in range(5)]

        def refund() -> None:
            for spend in spends:
                ledger.client.enqueue(Refund(**ANNA, amount=10, related_id=spend))

        at_once(*[refund] * 2)
        drain_with(ledger, 3)

        assert ledger.balance("anna") == 100
        states = dict(ledger.rows("SELECT coalesce(reason, state), count(*) FROM outcomes GROUP BY 1"))
        assert states == {"applied": 6 + 5, "RELATED_NOT_REVERSIBLE": 5}
        assert_sound(ledger)


def test_a_lot_held_and_reversed_in_one_batch_is_one_object(ledger: Ledger) -> None:
    ledger.tenant()
    earned = made(ledger, Earn(**ANNA, amount=50))
    hold = made(ledger, Freeze(**ANNA, amount=50))
    ledger.apply(
        Clawback(**ANNA, related_id=earned, amount=20, policy="arrears"),
        Unfreeze(**ANNA, hold_id=hold, amount=30),
        Clawback(**ANNA, related_id=earned, amount=10),
        ConfirmDeduction(**ANNA, hold_id=hold, amount=15),
    )
    account = ledger.account("anna")
    assert (account["balance"], account["frozen_balance"], account["debt"]) == (5, 0, 0)
    spent = parse_id(next(e["id"] for e in ledger.entries("anna") if e["subtype"] == "capture"))
    ledger.apply(Refund(**ANNA, related_id=spent, amount=15))
    assert ledger.balance("anna") == 20
    assert ledger.rows("SELECT remaining, frozen, expired, state FROM lots") == [(20, 0, 0, "active")]
    assert_sound(ledger)


def test_a_lots_expired_points_are_recorded_while_the_rest_is_held(ledger: Ledger) -> None:
    ledger.tenant()
    past = {**ANNA, "occurred_at": NOW - timedelta(days=9)}
    earned = made(ledger, Earn(**past, amount=50, expires_at=NOW - timedelta(days=2)))
    hold = made(ledger, Freeze(**past, amount=30))
    ledger.apply(ExpireDue(**ANNA, as_of=NOW))
    ledger.apply(Unfreeze(**ANNA, hold_id=hold, amount=10))
    assert ledger.rows("SELECT remaining, frozen, expired FROM lots ORDER BY id") == [(0, 20, 20), (10, 0, 0)]
    data = data_of(ledger.apply(Clawback(**ANNA, related_id=earned, policy="arrears"))[0])
    assert (data["clawed_back"], data["debt_added"]) == (30, 20)
    assert_sound(ledger)


def test_closing_an_account_forfeits_its_pending_points(ledger: Ledger) -> None:
    ledger.tenant()
    for days in (3, 5):
        ledger.apply(Earn(**ANNA, amount=days, activates_at=NOW + timedelta(days=days)))
    data = data_of(ledger.apply(SetStatus(**ANNA, status="closed", reason="requested"))[0])
    assert data["points_forfeited"] == 8
    assert ledger.rows("SELECT state FROM lots") == [("cancelled",), ("cancelled",)]
    assert ledger.rows("SELECT next_activation_at, pending_balance FROM accounts") == [(None, 0)]
    assert_sound(ledger)
