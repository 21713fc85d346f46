"""Holds on a real ledger: loaded and saved with their lots, in batches of any size, and resolved once."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pointledger import (
    Adjust,
    ConfirmDeduction,
    Earn,
    Freeze,
    SetStatus,
    Spend,
    Unfreeze,
)
from pointledger.client.acceptor import Acceptance
from pointledger.jobs.scheduler import JobScheduler
from pointledger.settings import Settings
from tests.engine.figures import sums
from tests.engine.many_workers import at_once, drain_with
from tests.engine.soundness import assert_sound
from tests.ledger import Ledger, data_of

ANNA: dict[str, Any] = {"tenant_id": "shop", "user_id": "anna"}
LONG_AGO = datetime(2020, 1, 1, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)


def scheduler_of(ledger: Ledger) -> JobScheduler:
    return JobScheduler(ledger.database, Acceptance(ledger.database, ledger.doorbells, ledger.settings))


def hold_of(ledger: Ledger, amount: int, **more: Any) -> str:
    (outcome,) = ledger.apply(Freeze(**ANNA, amount=amount, **more))
    return str(data_of(outcome)["hold_id"])


def test_each_step_of_a_hold_reads_what_the_step_before_saved(ledger: Ledger) -> None:
    ledger.tenant()
    ledger.apply(*(Earn(**ANNA, amount=10, expires_at=datetime.now(UTC) + n * DAY) for n in (1, 2, 3)))
    hold_id = hold_of(ledger, 25)
    assert len(hold_id) == 26, "a ULID"
    assert sums(ledger) == {"balance": 5, "frozen_balance": 25}
    ledger.apply(Unfreeze(**ANNA, hold_id=hold_id, amount=2))  # type: ignore[arg-type]
    (outcome,) = ledger.apply(ConfirmDeduction(**ANNA, hold_id=hold_id, amount=20))  # type: ignore[arg-type]
    assert data_of(outcome)["points_released"] == 3
    assert sums(ledger) == {"balance": 10, "total_spent": 20}
    (late,) = ledger.apply(ConfirmDeduction(**ANNA, hold_id=hold_id))  # type: ignore[arg-type]
    assert late.reason == "RELATED_NOT_REVERSIBLE"
    assert_sound(ledger)


def test_a_partly_held_lot_is_one_object(ledger: Ledger) -> None:
    """The ledger loads it once as consumable and once with its hold, as the same object."""
    ledger.tenant()
    ledger.apply(Earn(**ANNA, amount=100))
    hold_id = hold_of(ledger, 40)
    ledger.apply(Unfreeze(**ANNA, hold_id=hold_id), Spend(**ANNA, amount=90))  # type: ignore[arg-type]
    assert sums(ledger) == {"balance": 10, "total_spent": 90}
    assert_sound(ledger)


def test_wholly_held_lots_do_not_hide_those_that_can_be_spent(ledger: Ledger) -> None:
    ledger.tenant()
    soon = datetime.now(UTC) + DAY
    ledger.apply(*(Earn(**ANNA, amount=1, expires_at=soon) for _ in range(700)), Earn(**ANNA, amount=5))
    hold_of(ledger, 700)
    ledger.apply(Spend(**ANNA, amount=5))
    assert sums(ledger) == {"frozen_balance": 700, "total_spent": 5}
    assert_sound(ledger)


def test_a_release_by_amount_takes_the_oldest_holds_even_if_the_batch_names_others(ledger: Ledger) -> None:
    ledger.tenant()
    ledger.apply(Earn(**ANNA, amount=100))
    holds = [hold_of(ledger, 10) for _ in range(6)]
    outcomes = ledger.apply(
        ConfirmDeduction(**ANNA, hold_id=holds[0]),  # type: ignore[arg-type]
        ConfirmDeduction(**ANNA, hold_id=holds[2]),  # type: ignore[arg-type]
        Unfreeze(**ANNA, amount=15),
    )
    released = [entry["related_id"] for entry in data_of(outcomes[2])["transactions"]]
    assert released == [holds[1], holds[3]]
    assert sums(ledger) == {"balance": 55, "frozen_balance": 25, "total_spent": 20}
    assert_sound(ledger)


def test_plain_earning_reads_no_holds(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger.tenant()

    def query(*_: object, **__: object) -> None:
        raise AssertionError("a round trip for holds")

    monkeypatch.setattr("pointledger.storage.ledger.holds.rows", query)
    outcomes = ledger.apply(Earn(**ANNA, amount=10), Spend(**ANNA, amount=5), Earn(**ANNA, amount=1))
    assert [outcome.state for outcome in outcomes] == ["applied"] * 3


def test_a_hundred_concurrent_freezes_hold_exactly_the_balance(settings: Settings) -> None:
    with Ledger(settings.model_copy(update={"batch_size": 3})) as ledger:
        ledger.tenant()
        ledger.apply(Earn(**ANNA, amount=70))

        def freeze() -> None:
            for _ in range(25):
                ledger.client.enqueue(Freeze(**ANNA, amount=3))

        at_once(*[freeze] * 4)

        drain_with(ledger, 4)

        assert sums(ledger) == {"balance": 1, "frozen_balance": 69}
        states = dict(ledger.rows("SELECT coalesce(reason, state), count(*) FROM outcomes GROUP BY 1"))
        assert states == {"applied": 1 + 23, "INSUFFICIENT_BALANCE": 77}
        assert ledger.rows("SELECT count(*) FROM holds WHERE state = 'open'") == [(23,)]
        assert_sound(ledger)


def test_h5_if_a_capture_and_a_timeout_race_exactly_one_wins(settings: Settings) -> None:
    """Workers capture and time out forty holds at the same time."""
    with Ledger(settings.model_copy(update={"batch_size": 2})) as ledger:
        ledger.tenant()
        users = [f"user-{number}" for number in range(40)]
        ends = LONG_AGO + DAY
        outcomes = ledger.apply(
            *(Earn(tenant_id="shop", user_id=user, amount=10, occurred_at=LONG_AGO) for user in users),
            *(
                Freeze(tenant_id="shop", user_id=user, amount=10, occurred_at=LONG_AGO, expires_at=ends)
                for user in users
            ),
        )
        holds = [data_of(outcome)["hold_id"] for outcome in outcomes[len(users) :]]

        def capture() -> None:
            for user, hold_id in zip(users, holds, strict=True):
                ledger.client.enqueue(
                    ConfirmDeduction(
                        tenant_id="shop", user_id=user, hold_id=hold_id, occurred_at=ends - DAY / 2
                    )
                )

        def time_out() -> None:
            scheduler_of(ledger).release_holds()

        at_once(capture, time_out)
        drain_with(ledger, 3)

        spent = sum(ledger.account(user)["total_spent"] for user in users)
        assert sum(ledger.balance(user) for user in users) + spent == 400
        states = dict(ledger.rows("SELECT state, count(*) FROM holds GROUP BY state"))
        assert states.get("captured", 0) * 10 == spent
        assert states.get("captured", 0) + states.get("timed_out", 0) == 40
        assert_sound(ledger)


def test_the_job_releases_holds_that_timed_out_by_the_databases_clock(ledger: Ledger) -> None:
    ledger.tenant()
    ledger.apply(Earn(**ANNA, amount=100, occurred_at=LONG_AGO))
    for ends in (LONG_AGO + DAY, LONG_AGO + DAY, LONG_AGO + 2 * DAY, datetime.now(UTC) + DAY, None):
        hold_of(ledger, 10, occurred_at=LONG_AGO, expires_at=ends)
    scheduler = scheduler_of(ledger)

    assert scheduler.release_holds() == 2, "one for each moment of a user"
    assert scheduler.release_holds() == 0, "the same commands, not applied yet"
    assert ledger.counts("aliases") == [0]
    ledger.drain()

    assert sums(ledger) == {"balance": 80, "frozen_balance": 20}
    assert scheduler.release_holds() == 0
    assert ledger.rows("SELECT count(*) FROM entries WHERE subtype = 'timeout'") == [(3,)]
    assert_sound(ledger)


def test_the_job_releases_holds_of_all_tenants_in_pages(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pointledger.jobs.scheduler._PAGE", 3)
    for tenant_id in ("shop", "cafe"):
        ledger.tenant(tenant_id)
        for number in range(5):
            user: dict[str, Any] = {"tenant_id": tenant_id, "user_id": f"user-{number}"}
            ledger.apply(
                Earn(**user, amount=10, occurred_at=LONG_AGO),
                Freeze(**user, amount=10, occurred_at=LONG_AGO, expires_at=LONG_AGO + DAY),
            )
    assert scheduler_of(ledger).release_holds() == 10
    ledger.drain()
    assert ledger.rows("SELECT state, count(*) FROM holds GROUP BY state") == [("timed_out", 10)]


def test_a_lot_that_expires_while_held_comes_back_with_grace(ledger: Ledger) -> None:
    ledger.tenant()
    ends = LONG_AGO + DAY
    ledger.apply(Earn(**ANNA, amount=30, occurred_at=LONG_AGO, expires_at=ends))
    hold_id = hold_of(ledger, 20, occurred_at=LONG_AGO)
    list(scheduler_of(ledger).expire_now(ends + DAY, "shop"))
    ledger.drain()
    assert sums(ledger) == {"frozen_balance": 20, "expired_points": 10}
    assert list(scheduler_of(ledger).expire_now(ends + DAY, "shop")) == [], "frozen points are not due"

    ledger.apply(Unfreeze(**ANNA, hold_id=hold_id, occurred_at=ends + DAY))  # type: ignore[arg-type]
    assert sums(ledger) == {"balance": 20, "expired_points": 10}
    assert_sound(ledger)
    list(scheduler_of(ledger).expire_now(ends + 9 * DAY, "shop"))
    ledger.drain()
    assert sums(ledger) == {"expired_points": 30}
    assert_sound(ledger)


def test_an_account_is_adjusted_suspended_and_closed(ledger: Ledger) -> None:
    ledger.tenant()
    outcomes = ledger.apply(
        Adjust(**ANNA, amount=50, reason="sorry"),
        Adjust(**ANNA, amount=-20, reason="too much", actor="admin"),
        SetStatus(**ANNA, status="suspended", reason="fraud?"),
        Spend(**ANNA, amount=1),
    )
    assert [outcome.reason for outcome in outcomes] == [None, None, None, "ACCOUNT_SUSPENDED"]
    ledger.apply(SetStatus(**ANNA, status="closed", reason="fraud"))
    account = ledger.account("anna")
    assert (account["status"], account["balance"]) == ("closed", 0)
    assert (account["total_adjusted_in"], account["total_adjusted_out"]) == (50, 50)
    assert [entry["reason"] for entry in ledger.entries("anna")] == ["fraud", "too much", "sorry"]
    assert_sound(ledger)
