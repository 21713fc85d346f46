"""Holds on a real ledger: loaded and saved with their lots, in batches of any size, and resolved once."""

import random
import threading
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pointledger import (
    Adjust,
    AnyCommand,
    ConfirmDeduction,
    Earn,
    Expire,
    Freeze,
    ReleaseHoldsDue,
    SetStatus,
    Spend,
    Transfer,
    Unfreeze,
)
from pointledger.client.acceptor import Acceptance
from pointledger.jobs.scheduler import Sweep
from pointledger.observability.verify import audit
from pointledger.settings import Settings
from tests.engine.many_workers import NobodyWaits, drain_with
from tests.ledger import Ledger, data_of

ANNA: dict[str, Any] = {"tenant_id": "shop", "user_id": "anna"}
LONG_AGO = datetime(2020, 1, 1, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)
SECONDS = 60


def sweep_of(ledger: Ledger) -> Sweep:
    return Sweep(ledger.database, Acceptance(ledger.database, ledger.doorbells, ledger.settings))


def hold_of(ledger: Ledger, amount: int, **more: Any) -> str:
    (outcome,) = ledger.apply(Freeze(**ANNA, amount=amount, **more))
    return str(data_of(outcome)["hold_id"])


def sums(ledger: Ledger, user: str = "anna") -> dict[str, int]:
    account = ledger.account(user)
    names = ("balance", "frozen_balance", "total_spent", "expired_points")
    return {name: account[name] for name in names if account[name]}


def assert_adds_up(ledger: Ledger) -> None:
    assert [each for each in audit(ledger.database).findings if each.violations] == []


def test_each_step_of_a_hold_finds_what_the_one_before_has_saved(ledger: Ledger) -> None:
    ledger.tenant()
    ledger.apply(*(Earn(**ANNA, amount=10, expires_at=datetime.now(UTC) + n * DAY) for n in (1, 2, 3)))
    hold_id = hold_of(ledger, 25)
    assert len(hold_id) == 26, "as people see ids"
    assert sums(ledger) == {"balance": 5, "frozen_balance": 25}
    ledger.apply(Unfreeze(**ANNA, hold_id=hold_id, amount=2))  # type: ignore[arg-type]
    (outcome,) = ledger.apply(ConfirmDeduction(**ANNA, hold_id=hold_id, amount=20))  # type: ignore[arg-type]
    assert data_of(outcome)["points_released"] == 3
    assert sums(ledger) == {"balance": 10, "total_spent": 20}
    (late,) = ledger.apply(ConfirmDeduction(**ANNA, hold_id=hold_id))  # type: ignore[arg-type]
    assert late.reason == "RELATED_NOT_REVERSIBLE"
    assert_adds_up(ledger)


def test_a_lot_that_is_partly_held_is_one_lot(ledger: Ledger) -> None:
    """Loaded once for what may be consumed and once for what is held, it is the same object."""
    ledger.tenant()
    ledger.apply(Earn(**ANNA, amount=100))
    hold_id = hold_of(ledger, 40)
    ledger.apply(Unfreeze(**ANNA, hold_id=hold_id), Spend(**ANNA, amount=90))  # type: ignore[arg-type]
    assert sums(ledger) == {"balance": 10, "total_spent": 90}
    assert_adds_up(ledger)


def test_wholly_held_lots_do_not_hide_those_that_can_be_spent(ledger: Ledger) -> None:
    ledger.tenant()
    soon = datetime.now(UTC) + DAY
    ledger.apply(*(Earn(**ANNA, amount=1, expires_at=soon) for _ in range(700)), Earn(**ANNA, amount=5))
    hold_of(ledger, 700)
    ledger.apply(Spend(**ANNA, amount=5))
    assert sums(ledger) == {"frozen_balance": 700, "total_spent": 5}
    assert_adds_up(ledger)


def test_by_amount_the_oldest_holds_are_released_whatever_else_the_batch_names(ledger: Ledger) -> None:
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
    assert_adds_up(ledger)


def test_plain_earning_asks_for_no_holds(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger.tenant()

    def asks(*_: object, **__: object) -> None:
        raise AssertionError("a round trip for holds")

    monkeypatch.setattr("pointledger.storage.ledger.holds.rows", asks)
    outcomes = ledger.apply(Earn(**ANNA, amount=10), Spend(**ANNA, amount=5), Earn(**ANNA, amount=1))
    assert [outcome.state for outcome in outcomes] == ["applied"] * 3


def test_a_hundred_concurrent_freezes_hold_exactly_what_the_balance_has(settings: Settings) -> None:
    with Ledger(settings.model_copy(update={"batch_size": 3})) as ledger:
        ledger.tenant()
        ledger.apply(Earn(**ANNA, amount=70))
        barrier = threading.Barrier(4)

        def freeze() -> None:
            barrier.wait(SECONDS)
            for _ in range(25):
                ledger.client.enqueue(Freeze(**ANNA, amount=3))

        threads = [threading.Thread(target=freeze) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(SECONDS)

        drain_with(ledger, 4, NobodyWaits)

        assert sums(ledger) == {"balance": 1, "frozen_balance": 69}
        states = dict(ledger.rows("SELECT coalesce(reason, state), count(*) FROM outcomes GROUP BY 1"))
        assert states == {"applied": 1 + 23, "INSUFFICIENT_BALANCE": 77}
        assert ledger.rows("SELECT count(*) FROM holds WHERE state = 'open'") == [(23,)]
        assert_adds_up(ledger)


def test_h5_of_a_capture_and_a_time_out_at_once_exactly_one_wins(settings: Settings) -> None:
    """Forty holds, each captured and timed out at the same time, by workers without any Redis lock."""
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
        barrier = threading.Barrier(2)

        def capture() -> None:
            barrier.wait(SECONDS)
            for user, hold_id in zip(users, holds, strict=True):
                ledger.client.enqueue(
                    ConfirmDeduction(
                        tenant_id="shop", user_id=user, hold_id=hold_id, occurred_at=ends - DAY / 2
                    )
                )

        def time_out() -> None:
            barrier.wait(SECONDS)
            sweep_of(ledger).release_holds()

        threads = [threading.Thread(target=capture), threading.Thread(target=time_out)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(SECONDS)
        drain_with(ledger, 3, NobodyWaits)

        spent = sum(ledger.account(user)["total_spent"] for user in users)
        assert sum(ledger.balance(user) for user in users) + spent == 400
        states = dict(ledger.rows("SELECT state, count(*) FROM holds GROUP BY state"))
        assert states.get("captured", 0) * 10 == spent
        assert states.get("captured", 0) + states.get("timed_out", 0) == 40
        assert_adds_up(ledger)


def test_the_sweep_releases_what_has_timed_out_by_the_databases_clock(ledger: Ledger) -> None:
    ledger.tenant()
    ledger.apply(Earn(**ANNA, amount=100, occurred_at=LONG_AGO))
    for ends in (LONG_AGO + DAY, LONG_AGO + DAY, LONG_AGO + 2 * DAY, datetime.now(UTC) + DAY, None):
        hold_of(ledger, 10, occurred_at=LONG_AGO, expires_at=ends)
    sweep = sweep_of(ledger)

    assert sweep.release_holds() == 2, "one for each moment of a user"
    assert sweep.release_holds() == 0, "the same commands, not applied yet"
    assert ledger.counts("aliases") == [0]
    ledger.drain()

    assert sums(ledger) == {"balance": 80, "frozen_balance": 20}
    assert sweep.release_holds() == 0
    assert ledger.rows("SELECT count(*) FROM entries WHERE subtype = 'timeout'") == [(3,)]
    assert_adds_up(ledger)


def test_the_sweep_goes_page_by_page_over_all_tenants(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pointledger.jobs.scheduler._PAGE", 3)
    for tenant_id in ("shop", "cafe"):
        ledger.tenant(tenant_id)
        for number in range(5):
            whose: dict[str, Any] = {"tenant_id": tenant_id, "user_id": f"user-{number}"}
            ledger.apply(
                Earn(**whose, amount=10, occurred_at=LONG_AGO),
                Freeze(**whose, amount=10, occurred_at=LONG_AGO, expires_at=LONG_AGO + DAY),
            )
    assert sweep_of(ledger).release_holds() == 10
    ledger.drain()
    assert ledger.rows("SELECT state, count(*) FROM holds GROUP BY state") == [("timed_out", 10)]


def test_a_lot_that_expired_while_it_was_held_comes_back_with_its_grace(ledger: Ledger) -> None:
    ledger.tenant()
    ends = LONG_AGO + DAY
    ledger.apply(Earn(**ANNA, amount=30, occurred_at=LONG_AGO, expires_at=ends))
    hold_id = hold_of(ledger, 20, occurred_at=LONG_AGO)
    list(sweep_of(ledger).expire_now(ends + DAY, "shop"))
    ledger.drain()
    assert sums(ledger) == {"frozen_balance": 20, "expired_points": 10}
    assert list(sweep_of(ledger).expire_now(ends + DAY, "shop")) == [], "nothing is due of what is frozen"

    ledger.apply(Unfreeze(**ANNA, hold_id=hold_id, occurred_at=ends + DAY))  # type: ignore[arg-type]
    assert sums(ledger) == {"balance": 20, "expired_points": 10}
    assert_adds_up(ledger)
    list(sweep_of(ledger).expire_now(ends + 9 * DAY, "shop"))
    ledger.drain()
    assert sums(ledger) == {"expired_points": 30}
    assert_adds_up(ledger)


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
    assert_adds_up(ledger)


@pytest.mark.parametrize("seed", range(4))
def test_what_comes_of_holds_does_not_depend_on_how_commands_are_cut_into_batches(
    ledger: Ledger, seed: int
) -> None:
    """The same commands for a user in one batch, and for others one by one or by threes."""
    ledger.tenant(hold_grace_days=3)
    steps = _steps(random.Random(seed))
    results = []
    for size in (1, 3, len(steps)):
        user = f"user-{size}"
        told: list[tuple[str, str | None]] = []
        commands = [_command(step, user, number) for number, step in enumerate(steps)]
        for start in range(0, len(commands), size):
            outcomes = ledger.apply(*commands[start : start + size])
            told += [(outcome.state, outcome.reason) for outcome in outcomes]
        entries = [(e["subtype"], e["delta"], e["delta_frozen"]) for e in ledger.entries(user)]
        results.append((told, entries, sums(ledger, user)))
    assert results[0] == results[1] == results[2]
    assert {"hold", "release", "timeout"} <= {subtype for subtype, _, _ in results[0][1]}
    assert_adds_up(ledger)


def _steps(rng: random.Random) -> list[tuple[str, int, int]]:
    kinds = ["earn", "freeze", "freeze", "unfreeze", "unfreeze", "spend", "expire", "due", "take"]
    return [("earn", 60, 0), *((rng.choice(kinds), rng.randint(1, 25), rng.randint(0, 9)) for _ in range(45))]


def _command(step: tuple[str, int, int], user: str, number: int) -> AnyCommand:
    kind, amount, more = step
    at = LONG_AGO + number * DAY / 4
    who: dict[str, Any] = {"tenant_id": "shop", "user_id": user, "occurred_at": at}
    match kind:
        case "earn":
            return Earn(**who, amount=amount, expires_at=at + more * DAY if more else None)
        case "freeze":
            return Freeze(**who, amount=amount, expires_at=at + more * DAY / 3 if more else None)
        case "unfreeze":
            return Unfreeze(**who, amount=amount)
        case "spend":
            return Spend(**who, amount=amount)
        case "expire":
            return Expire(**who, amount=amount)
        case "take":
            return Adjust(**who, amount=-amount, reason="found")
        case _:
            return ReleaseHoldsDue(**who, as_of=at)


@pytest.mark.parametrize("seed", range(2))
def test_whatever_is_done_to_holds_over_many_lots_the_ledger_adds_up(ledger: Ledger, seed: int) -> None:
    """More lots than are loaded at first, holds over many of them, and time that passes in leaps."""
    rng = random.Random(seed)
    ledger.tenant(hold_grace_days=rng.choice([0, 3]), transfer_enabled=True)
    users = ("anna", "ben")
    now = LONG_AGO
    for step in range(12):
        now += rng.choice([0, 1, 5]) * DAY
        batch: list[AnyCommand] = []
        for _ in range(rng.randint(20, 120)):
            user = rng.choice(users)
            batch.append(_anything(rng, ledger, {"tenant_id": "shop", "user_id": user, "occurred_at": now}))
        ledger.apply(*batch)
        if step % 4 == 3:
            assert_adds_up(ledger)
    assert ledger.counts("failures") == [0]
    assert len(ledger.rows("SELECT DISTINCT state FROM holds")) >= 3, "of four"


def _anything(rng: random.Random, ledger: Ledger, who: dict[str, Any]) -> AnyCommand:
    now: datetime = who["occurred_at"]
    amount, later = rng.randint(1, 40), now + rng.randint(1, 12) * DAY
    known = ledger.rows("SELECT id FROM holds WHERE state = 'open'")
    hold_id = rng.choice(known)[0] if known else uuid.uuid4()
    other = "ben" if who["user_id"] == "anna" else "anna"
    commands: list[AnyCommand] = [
        *[Earn(**who, amount=rng.randint(1, 9), expires_at=rng.choice([later, None]))] * 9,
        *[Freeze(**who, amount=amount, expires_at=rng.choice([later, None]))] * 2,
        *[ConfirmDeduction(**who, hold_id=hold_id, amount=rng.choice([amount, None]))] * 2,
        Unfreeze(**who, hold_id=hold_id, amount=rng.choice([amount, None])),
        Unfreeze(**who, amount=amount),
        Spend(**who, amount=amount),
        Transfer(**who, to_user_id=other, amount=amount),
        Expire(**who, amount=amount, strategy=rng.choice(["soonest_first", "pro_rata"])),
        Adjust(**who, amount=-amount, reason="found"),
        ReleaseHoldsDue(**who, as_of=now),
    ]
    return rng.choice(commands)
