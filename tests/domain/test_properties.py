"""Tests invariants of random commands: value is conserved, and the same commands give the same book."""

from datetime import timedelta
from typing import Any, Literal, NamedTuple
from uuid import UUID

from hypothesis import example, given, settings
from hypothesis import strategies as st

from pointledger.domain.commands import (
    ActivateDue,
    Adjust,
    AnyCommand,
    ApplyRule,
    CancelPending,
    Clawback,
    ConfirmDeduction,
    Earn,
    Expire,
    ExpireDue,
    Freeze,
    Refund,
    ReleaseHoldsDue,
    SetStatus,
    Spend,
    Transfer,
    Unfreeze,
)
from pointledger.domain.commands.outcomes import Decision, Refused
from tests.domain.books import NOON, SHOP, Shop
from tests.domain.invariants import assert_only_what_was_due_has_changed, assert_sound, mark

USERS = ("anna", "ben", "carl")
Status = Literal["active", "suspended", "closed"]
STATUSES: tuple[Status, ...] = ("active", "active", "suspended", "active", "suspended", "closed")
EXAMPLES = 100  # of up to 20 commands: all tests of the folder take two seconds


class Step(NamedTuple):
    """One command as numbers: kind, user, recipient, amount, days later, and variant."""

    kind: str
    user: int
    other: int
    amount: int
    days: int
    when: int


STEPS = st.lists(
    st.builds(
        Step,
        kind=st.sampled_from(
            [
                "earn",
                "earn",
                "earn expiring",
                "event",
                "spend",
                "transfer",
                "expire",
                "pro rata",
                "due",
                "refund",
                "refund",
                "goodwill",
                "clawback",
                "earn pending",
                "cancel",
                "activate",
                "arrears",
                "freeze",
                "freeze for a while",
                "unfreeze",
                "unfreeze a hold",
                "capture",
                "holds due",
                "adjust",
                "status",
            ]
        ),
        user=st.integers(0, 2),
        other=st.integers(0, 2),
        amount=st.integers(1, 60),
        days=st.integers(0, 9),
        when=st.integers(-5, 5),
    ),
    min_size=1,
    max_size=20,
)


BUDGET: dict[str, Any] = {"scope": "tenant", "period": "lifetime", "max": 40}


def shop() -> Shop:
    opened = Shop(
        timezone="Europe/Berlin",
        transfer_enabled=True,
        max_balance=150,
        max_earn_per_day=100,
        max_spend_per_day=80,
        min_spend_points=3,
        default_expiry_days=20,
        backdating_days=4,
        hold_grace_days=2,
    )
    opened.rule(name="clamps", points=20, multiplier="1.15", daily_limit=30, expiry_days=3)
    opened.rule(name="refuses", points=7, total_limit=20, on_exceed="refuse", priority=1)
    opened.rule(name="clamps", points=30, daily_limit=25, in_force_from=NOON + timedelta(days=10))
    opened.rule(
        name="shares", points=9, limits=[BUDGET, BUDGET | {"scope": "rule", "period": "day", "max": 25}]
    )
    return opened


def command_of(step: Step, number: int, shop: Shop) -> AnyCommand:  # noqa: PLR0912  (a branch for each kind)
    who: dict[str, Any] = {"id": UUID(int=number), "tenant_id": SHOP, "user_id": USERS[step.user]}
    moved = shop.now + timedelta(days=step.days / 3)
    happened = moved + timedelta(days=step.when)
    match step.kind:
        case "earn":
            return Earn(**who, amount=step.amount, occurred_at=happened)
        case "earn expiring":
            return Earn(**who, amount=step.amount, expires_at=happened)
        case "event":
            return ApplyRule(**who, event_type="visit", occurred_at=happened)
        case "spend":
            return Spend(**who, amount=step.amount, occurred_at=happened)
        case "transfer":
            return Transfer(**who, to_user_id=USERS[step.other], amount=step.amount)
        case "expire":
            return Expire(**who, amount=step.amount)
        case "freeze":
            return Freeze(**who, amount=step.amount)
        case "freeze for a while":
            return Freeze(**who, amount=step.amount, expires_at=happened)
        case "unfreeze":
            return Unfreeze(**who, amount=step.amount)
        case "unfreeze a hold":
            return Unfreeze(**who, hold_id=hold_of(step, shop), amount=step.amount)
        case "capture":
            amount = step.amount if step.other else None
            return ConfirmDeduction(**who, hold_id=hold_of(step, shop), amount=amount, occurred_at=happened)
        case "holds due":
            return ReleaseHoldsDue(**who, as_of=happened)
        case "adjust":
            return Adjust(**who, amount=step.amount if step.other else -step.amount, reason="found")
        case "status":
            return SetStatus(**who, status=STATUSES[max(step.when, 0)], reason="requested")
        case "pro rata":
            return Expire(**who, amount=step.amount, strategy="pro_rata")
        case "refund":
            return Refund(**who, amount=min(step.amount, 20), related_id=spend_of(shop, step))
        case "goodwill":
            return Refund(**who, amount=step.amount)
        case "earn pending":
            return Earn(**who, amount=step.amount, activates_at=moved + timedelta(days=step.when))
        case "cancel":
            return CancelPending(**who, related_id=earned_by(shop, step))
        case "activate":
            return ActivateDue(**who, as_of=happened)
        case "clawback":
            return Clawback(**who, amount=min(step.amount, 20), related_id=earned_by(shop, step))
        case "arrears":
            return Clawback(**who, policy="arrears", related_id=earned_by(shop, step))
        case _:
            return ExpireDue(**who, as_of=happened)


def spend_of(shop: Shop, step: Step) -> UUID:
    """Return an existing entry, a spend if there is one."""
    spends = [entry.id for entry in shop.book.entries if entry.type == "spend"]
    found = spends or [entry.id for entry in shop.book.entries] or [UUID(int=0)]
    return found[step.other % len(found)]


def earned_by(shop: Shop, step: Step) -> UUID:
    """Return an entry of the user, or any entry."""
    of_user = [
        entry.id
        for account in shop.book.accounts.values()
        if account.user_id == USERS[step.user]
        for entry in shop.entries(account.user_id)
    ]
    return of_user[step.other % len(of_user)] if of_user else UUID(int=0)


def hold_of(step: Step, shop: Shop) -> UUID:
    """Return the id of a hold of the user in any state, or of an unknown hold."""
    account = shop.book.accounts.get((SHOP, USERS[step.user]))
    holds = list(account.holds) if account else []
    return holds[step.amount % len(holds)] if holds else UUID(int=99)


def play(steps: list[Step]) -> tuple[Shop, list[Decision]]:
    """Apply the steps to a new shop, and check all invariants after each."""
    opened, decisions = shop(), []
    for number, step in enumerate(steps):
        command = command_of(step, number, opened)
        before = mark(opened.book)
        decision = opened.apply(command, opened.now + timedelta(days=step.days / 3))
        for account in opened.book.accounts.values():
            assert_sound(opened.book, account)
        clocks = mark(opened.book).clocks
        assert all(clocks[key] >= clock for key, clock in before.clocks.items())
        if isinstance(decision, Refused):
            assert_only_what_was_due_has_changed(opened.book, before)
        decisions.append(decision)
    return opened, decisions


@settings(max_examples=EXAMPLES, deadline=None, derandomize=True, database=None)
@example([Step("earn", 0, 0, 60, 0, 0), Step("transfer", 0, 1, 5, 0, 0), Step("earn", 1, 0, 5, 0, 0)])
@given(STEPS)
def test_value_is_conserved_and_the_same_commands_give_the_same_book(steps: list[Step]) -> None:
    played, decisions = play(steps)
    again, same_decisions = play(steps)
    assert decisions == same_decisions
    assert played.book == again.book

    moved: dict[str, int] = {"in": 0, "out": 0}
    for account in played.book.accounts.values():
        moved["in"] += account.total_transferred_in
        moved["out"] += account.total_transferred_out
    assert moved["in"] == moved["out"]
    for window, usage in played.book.usage.items():
        most = {"earn": 100, "spend": 80, "budget": BUDGET["max"]}.get(window.meter)
        assert most is None or usage.points <= most
        if window.meter == "budget":
            granted = [e.amount for e in played.book.entries if e.rule and e.rule.body.name == "shares"
                       and e.subtype == "rule"]  # fmt: skip
            assert (usage.points, usage.times) == (sum(granted), len(granted))
    times = {}
    for account in played.book.accounts.values():
        times[account.user_id] = [entry.created_at for entry in played.entries(account.user_id)]
    assert all(moments == sorted(moments) for moments in times.values())
