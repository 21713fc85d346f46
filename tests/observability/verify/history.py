"""Creates a history in which every kind of command is applied or refused, and some repeat, wait or die."""

import json
from datetime import timedelta
from typing import Any

from pointledger import (
    Adjust,
    ApplyRule,
    Clawback,
    Earn,
    EraseUser,
    Exchange,
    Expire,
    ExpireDue,
    SetStatus,
    Spend,
    Transfer,
    WalletAdjust,
)
from pointledger.client.acceptor import Acceptance
from pointledger.events.ingest_queue import Message
from pointledger.ids import new_id, parse_id
from pointledger.integrations.celery_commands import CommandsByName
from pointledger.storage.ledger import erasures
from pointledger.storage.queue import failures
from tests.ledger import Ledger, data_of
from tests.observability.verify import lot_history
from tests.observability.verify.lot_history import LONG_AGO, NOW


def create_history(ledger: Ledger) -> None:
    """Create tenants, accounts and wallets, and leave one command pending and one dead."""
    _configure(ledger)
    _earn_and_expire(ledger)
    _share_budget(ledger)
    _transfer(ledger)
    lot_history.reverse(ledger)
    lot_history.activate(ledger)
    lot_history.hold(ledger)
    lot_history.hold_with_debt(ledger)
    _publish_events(ledger)
    lot_history.extend_expiry(ledger)
    _erase(ledger)
    _use_wallets(ledger)
    _send_by_name(ledger)
    _leave_pending_and_dead(ledger)


def _configure(ledger: Ledger) -> None:
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
    ledger.rule(
        name="campaign",
        event_type="campaign",
        base={"kind": "per_unit", "field": "n", "per": 1, "points": 1},
        limits=[
            {"scope": "tenant", "period": "day", "max": 40},
            {"scope": "rule", "period": "lifetime", "max": 60},
            {"scope": "rule", "period": "month", "unit": "times", "max": 4},
        ],
    )


def _send_by_name(ledger: Ledger) -> None:
    """Send a visit with callbacks, the same under another id, and a message that is no command."""
    commands = CommandsByName(
        ledger.database, Acceptance(ledger.database, ledger.doorbells, ledger.settings), ledger.settings
    )
    visit = {"tenant_id": "shop", "user_id": "rita", "event_type": "visit", "event_id": "by name"}
    followed = {"callbacks": [{"task": "shop.next"}], "errbacks": [{"task": "shop.sorry"}]}
    messages = [
        Message(json.dumps([[], visit, followed]).encode(), {"task": name, "id": str(new_id())})
        for name in ("points.apply_rule", "points.apply_rule", "points.visit")
    ]
    assert commands.receive(messages) == {"accepted": 2, "dead": 1}
    ledger.drain()


def _earn_and_expire(ledger: Ledger) -> None:
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
        Earn(**cafe, amount=70, occurred_at=LONG_AGO),  # expired since
        Earn(**cafe, amount=40, occurred_at=NOW - timedelta(days=10)),
        Spend(**cafe, amount=1_000),  # refused, but due points expire
        Spend(tenant_id="nowhere", user_id="anna", amount=1),
    )
    ledger.apply(
        Earn(**shop, amount=100, expires_at=soon, idempotency_key="welcome"),  # sent again: an alias
        Spend(**cafe, amount=15),
        Expire(**shop, amount=7),
        Expire(**cafe, amount=1_000, strategy="pro_rata"),
        Expire(**cafe, amount=1_000),
    )


def _share_budget(ledger: Ledger) -> None:
    """Emil and Cleo share a campaign's budget: 40 a day, partly clawed back that day, and 60 in all."""
    emil: dict[str, Any] = {"tenant_id": "shop", "user_id": "emil"}
    cleo: dict[str, Any] = {"tenant_id": "shop", "user_id": "cleo"}
    campaign: dict[str, Any] = {"event_type": "campaign", "metadata": {"n": 25}}
    before = [
        data_of(outcome)["points_earned"]
        for user in (cleo, emil)
        for outcome in ledger.apply(ApplyRule(**user, **campaign, occurred_at=LONG_AGO))
    ]
    earned = parse_id(ledger.entries("emil")[0]["id"])
    ledger.apply(Clawback(**emil, related_id=earned, amount=5, occurred_at=LONG_AGO))
    after = [
        data_of(outcome)["points_earned"]
        for user, moment in ((cleo, LONG_AGO), (emil, NOW), (cleo, NOW))
        for outcome in ledger.apply(ApplyRule(**user, **campaign, occurred_at=moment))
    ]
    assert (before, after) == ([25, 15], [5, 15, 0])


def _transfer(ledger: Ledger) -> None:
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


def _publish_events(ledger: Ledger) -> None:
    """A tenant publishes all events: five entries in two rows of the outbox, then a status in a third."""
    ledger.tenant("kiosk", events="all")
    kim: dict[str, Any] = {"tenant_id": "kiosk", "user_id": "kim"}
    ledger.apply(Earn(**kim, amount=9), Spend(**kim, amount=1), Spend(**kim, amount=2))
    ledger.apply(
        Spend(**kim, amount=3), Spend(**kim, amount=1), SetStatus(**kim, status="suspended", reason="asked")
    )


def _erase(ledger: Ledger) -> None:
    """Edna's erasure is finished; the search for Otto's data is not."""
    edna: dict[str, Any] = {"tenant_id": "shop", "user_id": "edna"}
    otto: dict[str, Any] = {"tenant_id": "shop", "user_id": "otto"}
    ledger.apply(
        Earn(**otto, amount=90, idempotency_key="otto-1"), Earn(**edna, amount=60, reason="for Edna")
    )
    ledger.apply(
        ApplyRule(**edna, event_type="visit", event_id="edna-17", metadata={"note": "Edna was here"}),
        Transfer(**otto, to_user_id="edna", amount=33, reason="Edna's birthday"),
        Transfer(**edna, to_user_id="otto", amount=11, description="from Edna"),
        Adjust(**edna, amount=4, reason="Edna complained"),
        Spend(**edna, amount=10_000),
    )
    ledger.apply(EraseUser(**edna), Earn(**edna, amount=5, idempotency_key="edna-again"))
    with ledger.database.begin() as connection:
        while erasures.search_next(connection) is False:
            pass
    ledger.apply(EraseUser(**otto))
    assert ledger.counts("erasures") == [2]


def _use_wallets(ledger: Ledger) -> None:
    """Deposit and withdraw money; exchange points for money and for a coupon."""
    ledger.tenant("bank", points_type="cash_equivalent", exchange_rate=300, currency="KWD")
    mia: dict[str, Any] = {"tenant_id": "bank", "user_id": "mia"}
    ledger.apply(
        Earn(**mia, amount=1_000),
        WalletAdjust(**mia, type="deposit", amount="12.345", reason="won", actor="admin"),
        WalletAdjust(**mia, type="withdraw", amount="2.3", reason="paid out", actor="admin"),
        WalletAdjust(**mia, type="withdraw", amount="99", reason="too much", actor="admin"),
        Exchange(**mia, amount=100, exchange_type="wallet"),
        Exchange(**mia, amount=50, exchange_type="coupon"),
        Exchange(**mia, amount=5_000, exchange_type="wallet"),  # refused
        WalletAdjust(tenant_id="bank", user_id="nils", type="deposit", amount="1", reason="hello"),
        WalletAdjust(tenant_id="shop", user_id="anna", type="deposit", amount="5", reason="sorry"),
    )
    assert ledger.client.wallet("bank", "mia")["balance"] == "10.378"


def _leave_pending_and_dead(ledger: Ledger) -> None:
    """Leave one command dead. Retry another dead one, which is pending again under a new number."""
    for retried in (False, True):
        task_id = parse_id(ledger.client.enqueue(Spend(tenant_id="shop", user_id="dora", amount=1)))
        with ledger.database.begin() as connection:
            lane = ledger.waiting_lanes()[0]
            failures.record_failure(connection, lane, task_id, "OSError: the moon is full")
            failures.mark_dead(connection, lane, task_id, block=False)
            if retried:
                failures.retry(connection, task_id)
