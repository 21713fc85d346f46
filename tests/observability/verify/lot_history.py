"""The part of the history that is about lots and holds."""

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
)
from pointledger.ids import parse_id
from tests.ledger import Ledger, data_of

NOW = datetime.now(UTC)
LONG_AGO = NOW - timedelta(days=400)


def reverse(ledger: Ledger) -> None:
    """Refund spends to active lots and to one that has expired since."""
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


def activate(ledger: Ledger) -> None:
    """Petra has pending points: some are activated, some canceled, and some stay pending."""
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


def hold(ledger: Ledger) -> None:
    """Fred has holds of every state, one of them on an expired lot. Finally he is suspended."""
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
        Unfreeze(**fred, amount=5),  # from the oldest hold, whose lot has expired
        Unfreeze(**fred, hold_id=data_of(expiring)["hold_id"], amount=1_000),
        SetStatus(**fred, status="suspended", reason="who is Fred?"),
        SetStatus(**fred, status="closed", reason="nobody"),
    )


def hold_with_debt(ledger: Ledger) -> None:
    """Released points repay debt, from their own lot or a replacement. A capture is refunded.

    An account that closes also forfeits its pending points.
    """
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


def extend_expiry(ledger: Ledger) -> None:
    """Ida's lots change their expiry while she spends, transfers, and is exempt from expiry for a while."""
    ida: dict[str, Any] = {"tenant_id": "shop", "user_id": "ida"}
    then, soon = NOW - timedelta(days=50), NOW + timedelta(days=5)
    ledger.apply(
        Earn(**ida, amount=10, occurred_at=then, expires_at=soon),
        Earn(**ida, amount=20, occurred_at=then, expires_at=soon + timedelta(days=1)),
        Earn(**ida, amount=40, occurred_at=then, expires_at=then + timedelta(days=20)),
        Freeze(**ida, amount=5, occurred_at=then),  # from the lot that expires
        Transfer(**ida, to_user_id="ben", amount=12, occurred_at=then),
        SetExpiryExemption(**ida, exempt=True, reason="the law"),
    )
    ledger.apply(
        ExtendExpiry(**ida, expiring_before=soon, days=60, reason="sorry"),  # held points no longer expire
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
