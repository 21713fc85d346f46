"""A mixed load: what is asked of a ledger on a day like any other, and what must come of it, reckoned here.

Every user starts with more points than can be spent (`past.py`), so no debit is refused, and the order
between users, which is not promised, makes no difference. What is captured was frozen, and what is refunded
spent, before the clock starts: only their outcomes tell the ids.
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


class Order(NamedTuple):
    """A command that is not made yet: making it is timed, too."""

    kind: type[AnyCommand]
    fields: dict[str, Any]

    def made(self) -> AnyCommand:
        return self.kind(tenant_id=TENANT, **self.fields)


class Load:
    """So many commands for these users: 60% apply-rule, 20% spend, 10% transfer, 5% freeze or capture, 5%
    refund. `books` is what every user must have in the end."""

    def __init__(self, user_ids: list[str], count: int) -> None:
        self._chance = random.Random(_SEED)
        self._users = user_ids
        self._count = count
        self.books: defaultdict[str, Counter[str]] = defaultdict(
            lambda: Counter(balance=OPENING_POINTS, entries=1)
        )
        self.commands, self.unmatched = len(user_ids), 0

    def to_undo(self) -> list[Order]:
        """The spends that are refunded later, and the holds that are captured."""
        spends = [self._asked(Spend, self._user(), 50, "-balance") for _ in range(self._count // 20)]
        return spends + [self._freeze() for _ in range(self._count // 40)]

    def orders(self, undone: Sequence[Outcome]) -> list[Order]:
        """The load, in any order. `undone`: what came of `to_undo`."""
        made = [self._event() for _ in range(self._count * 60 // 100)]
        made += [self._asked(Spend, self._user(), 10, "-balance") for _ in range(self._count * 20 // 100)]
        made += [self._transfer() for _ in range(self._count * 10 // 100)]
        made += [self._freeze() for _ in range(self._count // 40)]
        for outcome in undone:
            data = outcome.data or {}
            user = data["account"]["user_id"]
            if "hold_id" in data:
                made.append(self._asked(ConfirmDeduction, user, 20, "-frozen", hold_id=data["hold_id"]))
            else:
                related_id = data["transaction"]["id"]
                made.append(self._asked(Refund, user, 30, "balance", related_id=related_id))
        self._chance.shuffle(made)
        return made

    def _user(self) -> str:
        return self._chance.choice(self._users)

    def _asked(self, kind: type[AnyCommand], user: str, amount: int, change: str, **more: Any) -> Order:
        """A command that writes one entry and changes one number."""
        sign = -1 if change.startswith("-") else 1
        self.books[user][change.removeprefix("-")] += sign * amount
        self.books[user]["entries"] += 1
        self.commands += 1
        return Order(kind, {"user_id": user, "amount": amount, **more})

    def _freeze(self) -> Order:
        order = self._asked(Freeze, self._user(), 20, "-balance")
        self.books[order.fields["user_id"]]["frozen"] += 20
        return order

    def _transfer(self) -> Order:
        source, destination = self._chance.sample(self._users, 2)
        self.books[destination].update(balance=10, entries=1)
        return self._asked(Transfer, source, 10, "-balance", to_user_id=destination)

    def _event(self) -> Order:
        user, amount = self._user(), self._chance.randrange(100, 20_000)
        channel = self._chance.choice(["app", "web", "till"])
        granted = [amount // 100] if amount >= 5000 and channel != "till" else []
        granted += [5] if channel == "app" else []
        self.books[user].update(balance=sum(granted), entries=len(granted))
        self.commands += 1
        self.unmatched += not granted
        metadata = {"amount_minor": amount, "channel": channel}
        return Order(ApplyRule, {"user_id": user, "event_type": EVENT_TYPE, "metadata": metadata})


_BOOKS = """
SELECT a.user_id, a.balance, a.frozen_balance, a.version, coalesce(l.remaining, 0)::bigint,
       coalesce(l.frozen, 0)::bigint
FROM accounts a
LEFT JOIN (SELECT account_id, sum(remaining) AS remaining, sum(frozen) AS frozen
           FROM lots GROUP BY account_id) l ON l.account_id = a.id"""

_OUTCOMES = """
SELECT count(*) FILTER (WHERE state = 'applied'), count(*) FILTER (WHERE reason = 'NO_MATCHING_RULE')
FROM outcomes"""


def verify(connection: sa.Connection, load: Load) -> None:
    """Every command has its outcome; every user has the points, the held points and the entries that the
    load says, in the account and in the lots. Raises DifferentWork."""
    applied, unmatched = connection.exec_driver_sql(_OUTCOMES).one()
    if (applied, unmatched) != (load.commands - load.unmatched, load.unmatched):
        raise DifferentWork(f"{load.commands} commands: {applied} are applied, {unmatched} match no rule")
    for user_id, balance, frozen, entries, remaining, held in connection.exec_driver_sql(_BOOKS):
        books = load.books[user_id]
        asked = (books["balance"], books["frozen"], books["entries"], books["balance"], books["frozen"])
        found = (balance, frozen, entries, remaining, held)
        if found != asked:
            raise DifferentWork(f"{user_id}: balance, frozen, entries and lots are {found}, not {asked}")
