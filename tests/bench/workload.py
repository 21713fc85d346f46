"""The work that both sides are given, and the proof that they did it: events, and what must come of them,
calculated here from the rule alone."""

import random
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime

import sqlalchemy as sa

from tests.bench.harness import DifferentWork

TENANT = "shop"
EVENT_TYPE = "basket.paid"
PER_MINOR = 100  # a point and a half for each whole unit of money, rounded down
MULTIPLIER = "1.5"
EXPIRY_DAYS = 365

_SEED = 20170101  # the same events in every round and on every machine


@dataclass(frozen=True, slots=True)
class Event:
    """A basket that was paid."""

    id: str
    user_id: str
    occurred_at: datetime
    amount_minor: int

    @property
    def points(self) -> int:
        """What the rule grants for it."""
        return self.amount_minor // PER_MINOR * 3 // 2


def users(count: int) -> list[str]:
    """The users' ids."""
    return [f"user-{number:06}" for number in range(count)]


def one_for_each(user_ids: list[str]) -> list[Event]:
    """An event for every user, so that all accounts are there before the clock starts."""
    return _events("first", user_ids, random.Random(_SEED + 1))


def uniform(name: str, count: int, user_ids: list[str]) -> list[Event]:
    """Events of users drawn uniformly."""
    chance = random.Random(_SEED)
    return _events(name, [chance.choice(user_ids) for _ in range(count)], chance)


def _events(name: str, user_ids: list[str], chance: random.Random) -> list[Event]:
    now = datetime.now(UTC).replace(microsecond=0)
    return [
        Event(f"{name}-{number}", user_id, now, chance.randrange(PER_MINOR, 200 * PER_MINOR))
        for number, user_id in enumerate(user_ids)
    ]


# Both sides name these columns alike, so both are asked the same.
_BOOKS = """
SELECT a.user_id, a.balance, coalesce(e.entries, 0), coalesce(e.points, 0)::bigint,
       coalesce(l.lots, 0), coalesce(l.points, 0)::bigint
FROM accounts a
LEFT JOIN (SELECT account_id, count(*) AS entries, sum(delta) AS points FROM entries GROUP BY account_id) e
       ON e.account_id = a.id
LEFT JOIN (SELECT account_id, count(*) AS lots, sum(remaining) AS points FROM lots GROUP BY account_id) l
       ON l.account_id = a.id"""

_OUTCOMES = "SELECT count(*) FILTER (WHERE state = 'applied'), count(*) FROM outcomes"


def verify(connection: sa.Connection, events: list[Event]) -> None:
    """Every event has an applied outcome, an entry and a lot; every user has the points of theirs, in the
    balance, in the entries and in the lots. Raises DifferentWork."""
    applied, all_outcomes = connection.exec_driver_sql(_OUTCOMES).one()
    if not applied == all_outcomes == len(events):
        raise DifferentWork(f"{len(events)} commands, {all_outcomes} outcomes, {applied} of them applied")
    counts = Counter(event.user_id for event in events)
    points: Counter[str] = Counter()
    for event in events:
        points[event.user_id] += event.points
    found = {row[0]: tuple(row[1:]) for row in connection.exec_driver_sql(_BOOKS)}
    missing = counts.keys() - found.keys()
    if missing:
        raise DifferentWork(f"{len(missing)} users have no account, {min(missing)} for one")
    for user_id, books in found.items():
        asked = (points[user_id], counts[user_id], points[user_id], counts[user_id], points[user_id])
        if books != asked:
            raise DifferentWork(f"{user_id}: balance, entries and lots are {books}, not {asked}")
