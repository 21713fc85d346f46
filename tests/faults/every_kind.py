"""A command of every kind, each for a user of its own, and what must be there before it; all of one lane, so
that they share a batch."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from pointledger import (
    ActivateDue,
    Adjust,
    AnyCommand,
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
    OpenAccount,
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
from pointledger.domain.commands import KINDS
from pointledger.domain.commands.records import lane_of
from pointledger.ids import parse_id
from tests.ledger import Ledger, data_of

SHOP = "shop"
THEN = datetime.now(UTC) - timedelta(days=20)
DUE = THEN + timedelta(days=1)
LATER = datetime.now(UTC) + timedelta(days=20)

Who = dict[str, Any]
Told = dict[str, Any]  # of what was applied before


def _earned(who: Who) -> AnyCommand:
    return Earn(**who, amount=90, occurred_at=THEN)


def _lives_a_day(who: Who) -> AnyCommand:
    return Earn(**who, amount=90, occurred_at=THEN, expires_at=DUE)


def _pending(who: Who, until: datetime = LATER) -> AnyCommand:
    return Earn(**who, amount=90, occurred_at=THEN, activates_at=until)


def _entry(told: Told) -> Any:
    return parse_id(told["transaction"]["id"])


def _one_lot(who: Who, ledger: Ledger) -> tuple[LotExpiry, ...]:
    (lot,) = ledger.rows(
        "SELECT l.id FROM lots l JOIN accounts a ON a.id = l.account_id WHERE a.user_id = %(user)s",
        user=who["user_id"],
    )
    return (LotExpiry(lot_id=lot[0], changes=0, expires_at=LATER),)


Make = Callable[[Who, Told], AnyCommand]

# What comes before, if anything, one after the other; then the command itself, told what came of the last.
SCENES: dict[type[AnyCommand], tuple[list[Callable[[Who], AnyCommand]], Make]] = {
    ApplyRule: ([], lambda who, _: ApplyRule(**who, event_type="visit")),
    Earn: ([], lambda who, _: Earn(**who, amount=7)),
    Spend: ([_earned], lambda who, _: Spend(**who, amount=7)),
    Transfer: ([_earned], lambda who, _: Transfer(**who, to_user_id=user_of("friend"), amount=7)),
    Expire: ([_earned], lambda who, _: Expire(**who, amount=7)),
    ExpireDue: ([_lives_a_day], lambda who, _: ExpireDue(**who, as_of=DUE)),
    Refund: (
        [_earned, lambda who: Spend(**who, amount=20)],
        lambda who, told: Refund(**who, related_id=_entry(told), amount=7),
    ),
    Clawback: ([_earned], lambda who, told: Clawback(**who, related_id=_entry(told))),
    CancelPending: ([_pending], lambda who, told: CancelPending(**who, related_id=_entry(told))),
    ActivateDue: ([lambda who: _pending(who, DUE)], lambda who, _: ActivateDue(**who, as_of=DUE)),
    ImportOpeningBalance: (
        [],
        lambda who, _: ImportOpeningBalance(**who, lots=(OpeningLot(amount=4), OpeningLot(amount=3))),
    ),
    Freeze: ([_earned], lambda who, _: Freeze(**who, amount=7)),
    Unfreeze: ([_earned, lambda who: Freeze(**who, amount=20)], lambda who, _: Unfreeze(**who, amount=7)),
    ConfirmDeduction: (
        [_earned, lambda who: Freeze(**who, amount=20)],
        lambda who, told: ConfirmDeduction(**who, hold_id=parse_id(told["hold_id"]), amount=7),
    ),
    ReleaseHoldsDue: (
        [_earned, lambda who: Freeze(**who, amount=20, occurred_at=THEN, expires_at=DUE)],
        lambda who, _: ReleaseHoldsDue(**who, as_of=DUE),
    ),
    Adjust: ([_earned], lambda who, _: Adjust(**who, amount=-7, reason="too much")),
    SetStatus: ([_earned], lambda who, _: SetStatus(**who, status="closed", reason="gone")),
    SetExpiryExemption: ([_earned], lambda who, _: SetExpiryExemption(**who, exempt=True, reason="law")),
    ExtendExpiry: (
        [lambda who: Earn(**who, amount=90, expires_at=LATER)],
        lambda who, _: ExtendExpiry(**who, expiring_before=LATER + timedelta(days=1), days=9, reason="sorry"),
    ),
    ApplyExpiryPolicy: ([_earned], lambda who, told: ApplyExpiryPolicy(**who, lots=told["lots"])),
    EraseUser: ([_earned], lambda who, _: EraseUser(**who)),
    WalletAdjust: ([], lambda who, _: WalletAdjust(**who, type="deposit", amount="7.00", reason="won")),
    OpenAccount: ([], lambda who, _: OpenAccount(**who)),
    Exchange: (
        [lambda who: Earn(**who, amount=900, occurred_at=THEN)],
        lambda who, _: Exchange(**who, amount=700, exchange_type="wallet"),
    ),
}
assert {kind.kind for kind in SCENES} == set(KINDS), "a command of every kind"


def user_of(name: str, lanes: int = 64) -> str:
    """A user in the lane that all share."""
    return next(user for n in range(10_000) if not lane_of(SHOP, user := f"{name}-{n}", lanes))


def set_the_scenes(ledger: Ledger) -> list[AnyCommand]:
    """Does what must come before; a command of every kind, not sent yet."""
    ledger.tenant(
        points_type="cash_equivalent", transfer_enabled=True, default_expiry_days=365, exchange_rate=100
    )
    ledger.rule(name="visit", event_type="visit", points=7, daily_limit=70)
    ledger.apply(Earn(tenant_id=SHOP, user_id=user_of("friend"), amount=1))
    who = {kind: {"tenant_id": SHOP, "user_id": user_of(kind.kind)} for kind in SCENES}
    told: dict[type[AnyCommand], Told] = {}
    for step in range(2):
        kinds = [kind for kind, (before, _) in SCENES.items() if len(before) > step]
        outcomes = ledger.apply(*(SCENES[kind][0][step](who[kind]) for kind in kinds))
        told |= {kind: data_of(outcome) for kind, outcome in zip(kinds, outcomes, strict=True)}
    told[ApplyExpiryPolicy] = {"lots": _one_lot(who[ApplyExpiryPolicy], ledger)}
    return [make(who[kind], told.get(kind, {})) for kind, (_, make) in SCENES.items()]
