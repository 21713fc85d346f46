"""A story in which every kind of command is applied, refused, repeated, waits and dies."""

from datetime import UTC, datetime, timedelta
from typing import Any

from pointledger import (
    Adjust,
    ApplyRule,
    ConfirmDeduction,
    Earn,
    Expire,
    ExpireDue,
    Freeze,
    ReleaseHoldsDue,
    SetStatus,
    Spend,
    Transfer,
    Unfreeze,
)
from pointledger.ids import parse_id
from pointledger.storage import failures
from tests.ledger import Ledger, data_of

NOW = datetime.now(UTC)
LONG_AGO = NOW - timedelta(days=400)


def tell(ledger: Ledger) -> None:
    """Two tenants, six accounts; afterwards one command waits and one is dead."""
    ledger.tenant(timezone="America/New_York", transfer_enabled=True, max_earn_per_day=100_000)
    ledger.tenant("cafe", default_expiry_days=30, max_spend_per_day=500)
    ledger.rule(
        name="baskets",
        event_type="basket.paid",
        base={"kind": "per_unit", "field": "minor", "per": 100, "points": 1},
        multiplier="1.5",
        daily_limit=60,
        total_limit=100,
    )
    ledger.rule(name="visits", event_type="visit", points=5, daily_limit=2, daily_limit_unit="times")
    ledger.rule(
        name="by app",
        event_type="visit",
        when="has(event.app) && account.balance < 1000",
        base={"kind": "formula", "expr": "2 + 1"},
        limits=[{"period": "week", "max": 5}, {"period": "month", "unit": "times", "max": 3}],
    )
    _earn_and_lose(ledger)
    _move(ledger)
    _hold(ledger)
    _leave_some_undone(ledger)


def _earn_and_lose(ledger: Ledger) -> None:
    shop: dict[str, Any] = {"tenant_id": "shop", "user_id": "anna"}
    cafe: dict[str, Any] = {"tenant_id": "cafe", "user_id": "anna"}
    soon = NOW + timedelta(days=20)
    ledger.apply(
        Earn(**shop, amount=100, expires_at=soon, idempotency_key="welcome"),
        *(ApplyRule(**shop, event_type="basket.paid", metadata={"minor": 2_000}) for _ in range(3)),
        *(ApplyRule(**shop, event_type="visit", occurred_at=LONG_AGO) for _ in range(3)),
        *(
            ApplyRule(tenant_id="shop", user_id="emil", event_type="visit", metadata={"app": True})
            for _ in range(3)
        ),
        ApplyRule(**shop, event_type="nobody.listens"),
        ApplyRule(tenant_id="shop", user_id="cleo", event_type="visit"),
        Earn(**cafe, amount=70, occurred_at=LONG_AGO),  # it has expired since
        Earn(**cafe, amount=40, occurred_at=NOW - timedelta(days=10)),
        Spend(**cafe, amount=1_000),  # refused, yet what was due has expired
        Spend(tenant_id="nowhere", user_id="anna", amount=1),
    )
    ledger.apply(
        Earn(**shop, amount=100, expires_at=soon, idempotency_key="welcome"),  # sent again: an alias
        Spend(**cafe, amount=15),
        Expire(**shop, amount=7),
        Expire(**cafe, amount=1_000, strategy="pro_rata"),
        Expire(**cafe, amount=1_000),
    )


def _move(ledger: Ledger) -> None:
    anna: dict[str, Any] = {"tenant_id": "shop", "user_id": "anna"}
    ben: dict[str, Any] = {"tenant_id": "shop", "user_id": "ben"}
    ledger.apply(Earn(**ben, amount=10))
    ledger.apply(
        Transfer(**anna, to_user_id="ben", amount=120),
        Transfer(**anna, to_user_id="nobody", amount=1),
        Spend(**ben, amount=25),
    )
    ledger.apply(
        Earn(
            tenant_id="shop",
            user_id="dora",
            amount=30,
            occurred_at=LONG_AGO,
            expires_at=LONG_AGO + timedelta(days=2),
        )
    )
    ledger.apply(
        Transfer(
            tenant_id="shop",
            user_id="dora",
            to_user_id="ben",
            amount=10,
            occurred_at=LONG_AGO + timedelta(days=1),
        ),
        ExpireDue(tenant_id="shop", user_id="dora", as_of=NOW),
        ExpireDue(tenant_id="shop", user_id="ben", as_of=NOW),
        ExpireDue(tenant_id="shop", user_id="ben", as_of=NOW, idempotency_key="again"),
    )


def _hold(ledger: Ledger) -> None:
    """Fred has a hold of every state, one of them over a lot that has expired; in the end he is suspended."""
    fred: dict[str, Any] = {"tenant_id": "shop", "user_id": "fred"}
    ledger.apply(
        Earn(**fred, amount=50, occurred_at=LONG_AGO, expires_at=LONG_AGO + timedelta(days=1)),
        Earn(**fred, amount=50, occurred_at=LONG_AGO),
    )
    (expiring,) = ledger.apply(Freeze(**fred, amount=45, occurred_at=LONG_AGO))
    outcomes = ledger.apply(
        Freeze(**fred, amount=10, expires_at=NOW - timedelta(hours=1)),
        *(Freeze(**fred, amount=amount) for amount in (11, 12, 13)),
        Adjust(**fred, amount=9, reason="sorry"),
        Adjust(**fred, amount=-4, reason="too much"),
        Adjust(**fred, amount=-1_000, reason="far too much"),
    )
    captured, released = (data_of(outcome)["hold_id"] for outcome in outcomes[1:3])
    ledger.apply(
        ReleaseHoldsDue(**fred, as_of=NOW),
        ConfirmDeduction(**fred, hold_id=captured, amount=6),
        Unfreeze(**fred, hold_id=released),
        Unfreeze(**fred, amount=5),  # of the oldest, whose lot has expired
        Unfreeze(**fred, hold_id=data_of(expiring)["hold_id"], amount=1_000),
        SetStatus(**fred, status="suspended", reason="who is Fred?"),
        SetStatus(**fred, status="closed", reason="nobody"),
    )


def _leave_some_undone(ledger: Ledger) -> None:
    """One command dies, and one that died waits again, under a new number."""
    for revived in (False, True):
        task_id = parse_id(ledger.client.enqueue(Spend(tenant_id="shop", user_id="dora", amount=1)))
        with ledger.database.begin() as connection:
            lane = ledger.waiting_lanes()[0]
            failures.charge(connection, lane, task_id, "OSError: the moon is full")
            failures.bury(connection, lane, task_id, hold=False)
            if revived:
                failures.revive(connection, task_id)
