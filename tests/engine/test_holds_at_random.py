"""Holds under random commands: batches do not matter, and the ledger adds up."""

import random
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
    Spend,
    Transfer,
    Unfreeze,
)
from tests.engine.figures import sums
from tests.engine.soundness import assert_sound
from tests.ledger import Ledger

LONG_AGO = datetime(2020, 1, 1, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.mark.parametrize("seed", range(4))
def test_the_outcomes_of_holds_do_not_depend_on_the_batches(ledger: Ledger, seed: int) -> None:
    """One user's commands come in one batch, the others' one by one or in threes."""
    ledger.tenant(hold_grace_days=3)
    steps = _steps(random.Random(seed))
    results = []
    for size in (1, 3, len(steps)):
        user = f"user-{size}"
        decided: list[tuple[str, str | None]] = []
        commands = [_command(step, user, number) for number, step in enumerate(steps)]
        for start in range(0, len(commands), size):
            outcomes = ledger.apply(*commands[start : start + size])
            decided += [(outcome.state, outcome.reason) for outcome in outcomes]
        entries = [(e["subtype"], e["delta"], e["delta_frozen"]) for e in ledger.entries(user)]
        results.append((decided, entries, sums(ledger, user)))
    assert results[0] == results[1] == results[2]
    assert {"hold", "release", "timeout"} <= {subtype for subtype, _, _ in results[0][1]}
    assert_sound(ledger)


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
def test_the_ledger_adds_up_after_random_commands_on_holds_over_many_lots(ledger: Ledger, seed: int) -> None:
    """Accounts have more lots than the first query loads, holds span many lots, and days pass in between."""
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
            assert_sound(ledger)
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
