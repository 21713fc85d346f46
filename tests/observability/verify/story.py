"""A story in which every kind of command is applied, refused, repeated, waits and dies."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from pointledger import (
    ActivateDue,
    Adjust,
    ApplyExpiryPolicy,
    ApplyRule,
    CancelPending,
    Clawback,
    ConfirmDeduction,
    Earn,
    EraseUser,
    Exchange,
    Expire,
    ExpireDue,
    ExtendExpiry,
    Freeze,
    ImportOpeningBalance,
    LotExpiry,
    OpeningLot,
    Refund,
    ReleaseHoldsDue,
    SetExpiryExemption,
    SetStatus,
    Spend,
    Transfer,
    Unfreeze,
    WalletAdjust,
)
from pointledger.client.acceptor import Acceptance
from pointledger.events.ingest_queue import Message
from pointledger.ids import new_id, parse_id
from pointledger.integrations.celery_commands import ByName
from pointledger.storage.ledger import erasures
from pointledger.storage.queue import failures
from tests.ledger import Ledger, data_of

NOW = datetime.now(UTC)
LONG_AGO = NOW - timedelta(days=400)


def tell(ledger: Ledger) -> None:
    """Four tenants, seventeen accounts, three wallets; afterwards one command waits and one is dead."""
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
    _earn_and_lose(ledger)
    _share(ledger)
    _move(ledger)
    _reverse(ledger)
    _wait(ledger)
    _hold(ledger)
    _hold_and_owe(ledger)
    _tell_others(ledger)
    _live_longer(ledger)
    _erase(ledger)
    _pay(ledger)
    _ask_by_name(ledger)
    _leave_some_undone(ledger)


def _ask_by_name(ledger: Ledger) -> None:
    """A visit that wants to be followed, again under another id, and what is no command."""
    taker = ByName(
        ledger.database, Acceptance(ledger.database, ledger.doorbells, ledger.settings), ledger.settings
    )
    visit = {"tenant_id": "shop", "user_id": "rita", "event_type": "visit", "event_id": "by name"}
    followed = {"callbacks": [{"task": "shop.next"}], "errbacks": [{"task": "shop.sorry"}]}
    messages = [
        Message(json.dumps([[], visit, followed]).encode(), {"task": name, "id": str(new_id())})
        for name in ("points.apply_rule", "points.apply_rule", "points.visit")
    ]
    assert taker.receive(messages) == {"accepted": 2, "dead": 1}
    ledger.drain()


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


def _share(ledger: Ledger) -> None:
    """Emil and Cleo share a campaign's budget: 40 a day, of which some comes back on the day, 60 in all."""
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
        *(Freeze(**fred, amount=amount, actor="boss") for amount in (11, 12, 13)),
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


def _reverse(ledger: Ledger) -> None:
    """Spends are refunded: to lots that live, and to one that has died since."""
    rita: dict[str, Any] = {"tenant_id": "shop", "user_id": "rita"}
    ledger.apply(
        Earn(**rita, amount=30, occurred_at=LONG_AGO, expires_at=LONG_AGO + timedelta(days=10)),
        Earn(**rita, amount=70, occurred_at=LONG_AGO),
        Spend(**rita, amount=40, occurred_at=LONG_AGO),
        Spend(**rita, amount=10, occurred_at=LONG_AGO),
    )
    ten, forty = [parse_id(entry["id"]) for entry in ledger.entries("rita")[:2]]
    ledger.apply(
        Refund(**rita, amount=25, related_id=forty),
        Refund(**rita, amount=15, related_id=forty),
        Refund(**rita, amount=1, related_id=forty),  # refused
        Refund(**rita, amount=10, related_id=ten),
        Refund(**rita, amount=3, actor="admin"),
    )
    ledger.apply(ApplyRule(**rita, event_type="basket.paid", metadata={"minor": 2_000}))
    granted = parse_id(ledger.entries("rita")[0]["id"])
    ledger.apply(
        Clawback(**rita, related_id=granted, amount=12),
        Spend(**rita, amount=80),
        Clawback(**rita, related_id=granted, policy="arrears"),
        ApplyRule(**rita, event_type="basket.paid", metadata={"minor": 1_000}),
    )
    assert ledger.account("rita")["debt"] == 0


def _wait(ledger: Ledger) -> None:
    """Points are pending; some become available, some are cancelled, some still wait."""
    petra: dict[str, Any] = {"tenant_id": "shop", "user_id": "petra"}
    then = NOW - timedelta(days=5)
    ledger.apply(
        *(
            Earn(**petra, amount=20, occurred_at=then, activates_at=then + timedelta(days=day))
            for day in (1, 2, 9)
        )
    )
    third, second = [parse_id(entry["id"]) for entry in ledger.entries("petra")[:2]]
    ledger.apply(
        CancelPending(**petra, related_id=second, occurred_at=then),
        Clawback(**petra, related_id=third, amount=5, policy="only_pending", occurred_at=then),
        ActivateDue(**petra, as_of=then + timedelta(days=2)),
        Spend(**petra, amount=6),
    )
    lots = (OpeningLot(amount=4, earned_at=LONG_AGO), OpeningLot(amount=6, expires_at=LONG_AGO))
    ledger.apply(ImportOpeningBalance(**petra, lots=lots, expired="import"))
    account = ledger.account("petra")
    assert (account["balance"], account["pending_balance"]) == (18, 15)


def _hold_and_owe(ledger: Ledger) -> None:
    """What is released repays debt, from its own lot or from one that comes in its stead; a capture is
    refunded; who closes forfeits what is pending, too."""
    gina: dict[str, Any] = {"tenant_id": "shop", "user_id": "gina"}
    hugo: dict[str, Any] = {"tenant_id": "shop", "user_id": "hugo"}
    ledger.apply(
        Earn(**gina, amount=100),
        Earn(**hugo, amount=50, occurred_at=LONG_AGO, expires_at=LONG_AGO + timedelta(days=1)),
        Earn(**hugo, amount=20, occurred_at=LONG_AGO),
    )
    for user in (gina, hugo):
        ledger.apply(Freeze(**user, amount=45, occurred_at=LONG_AGO))
        earned = parse_id(next(e["id"] for e in ledger.entries(user["user_id"]) if e["type"] == "earn"))
        ledger.apply(Spend(**user, amount=ledger.balance(user["user_id"]) - (5 if user is hugo else 0)))
        ledger.apply(Clawback(**user, related_id=earned, amount=20, policy="arrears"))
        assert ledger.account(user["user_id"])["debt"] == 20
        ledger.apply(Unfreeze(**user, amount=30))
        assert (ledger.account(user["user_id"])["debt"], ledger.balance(user["user_id"])) == (0, 10)

    hold = parse_id(next(e["id"] for e in ledger.entries("gina") if e["type"] == "freeze"))
    ledger.apply(ConfirmDeduction(**gina, hold_id=hold, amount=12))
    spent = parse_id(next(e["id"] for e in ledger.entries("gina") if e["subtype"] == "capture"))
    ledger.apply(Refund(**gina, related_id=spent, amount=4))
    ledger.apply(Refund(**gina, related_id=spent, amount=9))  # refused
    ledger.apply(Earn(**gina, amount=7, activates_at=NOW + timedelta(days=9)))
    ledger.apply(SetStatus(**gina, status="closed", reason="gone"))
    account = ledger.account("gina")
    assert (account["balance"], account["pending_balance"], account["status"]) == (0, 0, "closed")
    assert account["total_adjusted_out"] == 10 + 3 + 4 + 7


def _tell_others(ledger: Ledger) -> None:
    """A tenant of whom others hear everything: five entries in two rows, then a status in a third."""
    ledger.tenant("kiosk", events="all")
    kim: dict[str, Any] = {"tenant_id": "kiosk", "user_id": "kim"}
    ledger.apply(Earn(**kim, amount=9), Spend(**kim, amount=1), Spend(**kim, amount=2))
    ledger.apply(
        Spend(**kim, amount=3), Spend(**kim, amount=1), SetStatus(**kim, status="suspended", reason="asked")
    )


def _erase(ledger: Ledger) -> None:
    """Edna is erased, and found everywhere; Otto is erased, and still being searched for."""
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
        while erasures.search_on(connection) is False:
            pass
    ledger.apply(EraseUser(**otto))
    assert ledger.counts("erasures") == [2]


def _pay(ledger: Ledger) -> None:
    """Money is put in and taken out; points are exchanged for it, and for a coupon."""
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


def _live_longer(ledger: Ledger) -> None:
    """Ida's lots are moved, to and fro, while she spends and gives; for a while time takes nothing."""
    ida: dict[str, Any] = {"tenant_id": "shop", "user_id": "ida"}
    then, soon = NOW - timedelta(days=50), NOW + timedelta(days=5)
    ledger.apply(
        Earn(**ida, amount=10, occurred_at=then, expires_at=soon),
        Earn(**ida, amount=20, occurred_at=then, expires_at=soon + timedelta(days=1)),
        Earn(**ida, amount=40, occurred_at=then, expires_at=then + timedelta(days=20)),
        Freeze(**ida, amount=5, occurred_at=then),  # of the lot that expires
        Transfer(**ida, to_user_id="ben", amount=12, occurred_at=then),
        SetExpiryExemption(**ida, exempt=True, reason="the law"),
    )
    ledger.apply(
        ExtendExpiry(**ida, expiring_before=soon, days=60, reason="sorry"),  # what is held lives again
        ExtendExpiry(**ida, expiring_before=NOW, never=True, reason="nothing is left of it"),
        Spend(**ida, amount=15),
        Transfer(**ida, to_user_id="ben", amount=4),
        SetExpiryExemption(**ida, exempt=False, reason="the law has changed"),
    )
    lot, changes = ledger.rows(
        """SELECT l.id, l.expiry_changes FROM lots l JOIN accounts a ON a.id = l.account_id
           WHERE a.user_id = 'ida' AND l.state = 'active' AND l.expiry_changes = 0"""
    )[0]
    ledger.apply(
        ApplyExpiryPolicy(
            **ida, lots=(LotExpiry(lot_id=lot, changes=changes, expires_at=NOW + timedelta(days=3)),)
        ),
        Unfreeze(**ida, amount=5),
        ExpireDue(**ida, as_of=NOW),
    )
    assert ledger.counts("expiry_changes") == [2]


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
