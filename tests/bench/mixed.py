"""Builds a mixed load, as on an ordinary day, and calculates the expected accounts.

Each user starts with more points than the load spends (`history.py`). So no debit is refused, and the order
between users, which is not guaranteed, makes no difference. The holds to capture and the spends to refund are
applied before the clock starts, because only their outcomes have the ids.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from pointledger import AnyCommand, ApplyRule, ConfirmDeduction, Freeze, Refund, Spend, Transfer
from pointledger.domain.commands.outcomes import Outcome
from tests.bench.harness import DifferentWork
from tests.bench.workload import EVENT_TYPE, OPENING_POINTS, TENANT

_SEED = 20170102

RULES: tuple[dict[str, Any], ...] = (
    {
        "name": "large baskets",
        "event_type": EVENT_TYPE,
        "when": "event.amount_minor >= 5000 && event.channel in ['app', 'web']",
        "base": {"kind": "per_unit", "field": "amount_minor", "per": 100, "points": 1},
    },
    {
        "name": "app",
        "event_type": EVENT_TYPE,
        "when": "has(event.channel) && event.channel == 'app' && account.balance >= 0",
        "points": 5,
    },
)


class PlannedCommand(NamedTuple):
    """A command to build later, because benchmarks time building it, too."""

    kind: type[AnyCommand]
    fields: dict[str, Any]

    def build(self) -> AnyCommand:
        return self.kind(tenant_id=TENANT, **self.fields)


class MixedLoad:
    """Commands for these users: 60% apply-rule, 20% spend, 10% transfer, 5% freeze or capture, 5% refund.

    `expected` has the figures of each user's account at the end.
    """

    def __init__(self, user_ids: list[str], count: int) -> None:
        self._chance = random.Random(_SEED)
        self._users = user_ids
        self._count = count
        self.expected: defaultdict[str, Counter[str]] = defaultdict(
            lambda: Counter(balance=OPENING_POINTS, entries=1)
        )
        self.commands, self.unmatched = len(user_ids), 0

    def to_reverse(self) -> list[PlannedCommand]:
        """Return the spends that are refunded later, and the freezes that are captured later."""
        spends = [self._plan(Spend, self._user(), 50, "-balance") for _ in range(self._count // 20)]
        return spends + [self._freeze() for _ in range(self._count // 40)]

    def commands_after(self, outcomes: Sequence[Outcome]) -> list[PlannedCommand]:
        """Return the load in random order, given the outcomes of `to_reverse`."""
        planned = [self._event() for _ in range(self._count * 60 // 100)]
        planned += [self._plan(Spend, self._user(), 10, "-balance") for _ in range(self._count * 20 // 100)]
        planned += [self._transfer() for _ in range(self._count * 10 // 100)]
        planned += [self._freeze() for _ in range(self._count // 40)]
        for outcome in outcomes:
            data = outcome.data or {}
            user = data["account"]["user_id"]
            if "hold_id" in data:
                planned.append(self._plan(ConfirmDeduction, user, 20, "-frozen", hold_id=data["hold_id"]))
            else:
                related_id = data["transaction"]["id"]
                planned.append(self._plan(Refund, user, 30, "balance", related_id=related_id))
        self._chance.shuffle(planned)
        return planned

    def _user(self) -> str:
        return self._chance.choice(self._users)

    def _plan(
        self, kind: type[AnyCommand], user: str, amount: int, change: str, **more: Any
    ) -> PlannedCommand:
        """Plan a command that writes one entry and changes one figure."""
        sign = -1 if change.startswith("-") else 1
        self.expected[user][change.removeprefix("-")] += sign * amount
        self.expected[user]["entries"] += 1
        self.commands += 1
        return PlannedCommand(kind, {"user_id": user, "amount": amount, **more})

    def _freeze(self) -> PlannedCommand:
        freeze = self._plan(Freeze, self._user(), 20, "-balance")
        self.expected[freeze.fields["user_id"]]["frozen"] += 20
        return freeze

    def _transfer(self) -> PlannedCommand:
        source, destination = self._chance.sample(self._users, 2)
        self.expected[destination].update(balance=10, entries=1)
        return self._plan(Transfer, source, 10, "-balance", to_user_id=destination)

    def _event(self) -> PlannedCommand:
        user, amount = self._user(), self._chance.randrange(100, 20_000)
        channel = self._chance.choice(["app", "web", "till"])
        granted = [amount // 100] if amount >= 5000 and channel != "till" else []
        granted += [5] if channel == "app" else []
        self.expected[user].update(balance=sum(granted), entries=len(granted))
        self.commands += 1
        self.unmatched += not granted
        metadata = {"amount_minor": amount, "channel": channel}
        return PlannedCommand(ApplyRule, {"user_id": user, "event_type": EVENT_TYPE, "metadata": metadata})


_ACCOUNTS = """
SELECT a.user_id, a.balance, a.frozen_balance, a.version, coalesce(l.remaining, 0)::bigint,
       coalesce(l.frozen, 0)::bigint
FROM accounts a
LEFT JOIN (SELECT account_id, sum(remaining) AS remaining, sum(frozen) AS frozen
           FROM lots GROUP BY account_id) l ON l.account_id = a.id"""

_OUTCOMES = """
SELECT count(*) FILTER (WHERE state = 'applied'), count(*) FILTER (WHERE reason = 'NO_MATCHING_RULE')
FROM outcomes"""


def verify(connection: sa.Connection, load: MixedLoad) -> None:
    """Check that each command has its outcome, and each user the expected points, held points and entries.

    Accounts and lots must agree. Raises DifferentWork.
    """
    applied, unmatched = connection.exec_driver_sql(_OUTCOMES).one()
    if (applied, unmatched) != (load.commands - load.unmatched, load.unmatched):
        raise DifferentWork(f"{load.commands} commands: {applied} are applied, {unmatched} match no rule")
    for user_id, balance, frozen, entries, remaining, held in connection.exec_driver_sql(_ACCOUNTS):
        figures = load.expected[user_id]
        points, held_points = figures["balance"], figures["frozen"]
        expected = (points, held_points, figures["entries"], points, held_points)
        found = (balance, frozen, entries, remaining, held)
        if found != expected:
            raise DifferentWork(f"{user_id}: balance, frozen, entries and lots are {found}, not {expected}")
