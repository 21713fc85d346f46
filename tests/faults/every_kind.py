"""Builds a scenario per command kind: a command, its user, and earlier commands. All users share one lane, so
the commands share a batch."""

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

User = dict[str, Any]  # the tenant's and the user's id
Data = dict[str, Any]  # of the outcome of the last earlier command


def _earned(user: User) -> AnyCommand:
    return Earn(**user, amount=90, occurred_at=THEN)


def _lives_a_day(user: User) -> AnyCommand:
    return Earn(**user, amount=90, occurred_at=THEN, expires_at=DUE)


def _pending(user: User, until: datetime = LATER) -> AnyCommand:
    return Earn(**user, amount=90, occurred_at=THEN, activates_at=until)


def _entry(data: Data) -> Any:
    return parse_id(data["transaction"]["id"])


def _one_lot(user: User, ledger: Ledger) -> tuple[LotExpiry, ...]:
    (lot,) = ledger.rows(
        "SELECT l.id FROM lots l JOIN accounts a ON a.id = l.account_id WHERE a.user_id = %(user)s",
        user=user["user_id"],
    )
    return (LotExpiry(lot_id=lot[0], changes=0, expires_at=LATER),)


Make = Callable[[User, Data], AnyCommand]

# The earlier commands, one after the other; then the command itself, from the data of the last one.
SCENARIOS: dict[type[AnyCommand], tuple[list[Callable[[User], AnyCommand]], Make]] = {
    ApplyRule: ([], lambda user, _: ApplyRule(**user, event_type="visit")),
    Earn: ([], lambda user, _: Earn(**user, amount=7)),
    Spend: ([_earned], lambda user, _: Spend(**user, amount=7)),
    Transfer: ([_earned], lambda user, _: Transfer(**user, to_user_id=user_of("friend"), amount=7)),
    Expire: ([_earned], lambda user, _: Expire(**user, amount=7)),
    ExpireDue: ([_lives_a_day], lambda user, _: ExpireDue(**user, as_of=DUE)),
    Refund: (
        [_earned, lambda user: Spend(**user, amount=20)],
        lambda user, data: Refund(**user, related_id=_entry(data), amount=7),
    ),
    Clawback: ([_earned], lambda user, data: Clawback(**user, related_id=_entry(data))),
    CancelPending: ([_pending], lambda user, data: CancelPending(**user, related_id=_entry(data))),
    ActivateDue: ([lambda user: _pending(user, DUE)], lambda user, _: ActivateDue(**user, as_of=DUE)),
    ImportOpeningBalance: (
        [],
        lambda user, _: ImportOpeningBalance(**user, lots=(OpeningLot(amount=4), OpeningLot(amount=3))),
    ),
    Freeze: ([_earned], lambda user, _: Freeze(**user, amount=7)),
    Unfreeze: ([_earned, lambda user: Freeze(**user, amount=20)], lambda user, _: Unfreeze(**user, amount=7)),
    ConfirmDeduction: (
        [_earned, lambda user: Freeze(**user, amount=20)],
        lambda user, data: ConfirmDeduction(**user, hold_id=parse_id(data["hold_id"]), amount=7),
    ),
    ReleaseHoldsDue: (
        [_earned, lambda user: Freeze(**user, amount=20, occurred_at=THEN, expires_at=DUE)],
        lambda user, _: ReleaseHoldsDue(**user, as_of=DUE),
    ),
    Adjust: ([_earned], lambda user, _: Adjust(**user, amount=-7, reason="too much")),
    SetStatus: ([_earned], lambda user, _: SetStatus(**user, status="closed", reason="gone")),
    SetExpiryExemption: ([_earned], lambda user, _: SetExpiryExemption(**user, exempt=True, reason="law")),
    ExtendExpiry: (
        [lambda user: Earn(**user, amount=90, expires_at=LATER)],
        lambda user, _: ExtendExpiry(
            **user, expiring_before=LATER + timedelta(days=1), days=9, reason="sorry"
        ),
    ),
    ApplyExpiryPolicy: ([_earned], lambda user, data: ApplyExpiryPolicy(**user, lots=data["lots"])),
    EraseUser: ([_earned], lambda user, _: EraseUser(**user)),
    WalletAdjust: ([], lambda user, _: WalletAdjust(**user, type="deposit", amount="7.00", reason="won")),
    OpenAccount: ([], lambda user, _: OpenAccount(**user)),
    Exchange: (
        [lambda user: Earn(**user, amount=900, occurred_at=THEN)],
        lambda user, _: Exchange(**user, amount=700, exchange_type="wallet"),
    ),
}
assert {kind.kind for kind in SCENARIOS} == set(KINDS), "a command of every kind"


def user_of(name: str, lanes: int = 64) -> str:
    """Return a user id in the shared lane."""
    return next(user_id for n in range(10_000) if not lane_of(SHOP, user_id := f"{name}-{n}", lanes))


def prepare_scenarios(ledger: Ledger) -> list[AnyCommand]:
    """Apply the earlier commands, and return a command of every kind that is not sent yet."""
    ledger.tenant(
        points_type="cash_equivalent", transfer_enabled=True, default_expiry_days=365, exchange_rate=100
    )
    ledger.rule(name="visit", event_type="visit", points=7, daily_limit=70)
    ledger.apply(Earn(tenant_id=SHOP, user_id=user_of("friend"), amount=1))
    users = {kind: {"tenant_id": SHOP, "user_id": user_of(kind.kind)} for kind in SCENARIOS}
    data_by_kind: dict[type[AnyCommand], Data] = {}
    for step in range(2):
        kinds = [kind for kind, (before, _) in SCENARIOS.items() if len(before) > step]
        outcomes = ledger.apply(*(SCENARIOS[kind][0][step](users[kind]) for kind in kinds))
        data_by_kind |= {kind: data_of(outcome) for kind, outcome in zip(kinds, outcomes, strict=True)}
    data_by_kind[ApplyExpiryPolicy] = {"lots": _one_lot(users[ApplyExpiryPolicy], ledger)}
    return [make(users[kind], data_by_kind.get(kind, {})) for kind, (_, make) in SCENARIOS.items()]
