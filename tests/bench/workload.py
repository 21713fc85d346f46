"""Creates the events that all sides apply, and checks the results against the rule."""

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import accumulate

import sqlalchemy as sa

from tests.bench.harness import DifferentWork

TENANT = "shop"
EVENT_TYPE = "basket.paid"
PER_MINOR = 100  # a point and a half for each whole unit of money, rounded down
MULTIPLIER = "1.5"
EXPIRY_DAYS = 365

OPENING_EVENT_TYPE = "opening"
OPENING_MINOR = 10_000_000  # the basket that each user has paid before, so no user runs out of points
OPENING_POINTS = OPENING_MINOR // PER_MINOR * 3 // 2

_SEED = 20170101  # the same events in every round and on every machine


@dataclass(frozen=True, slots=True)
class BasketEvent:
    """A basket that was paid."""

    id: str
    user_id: str
    occurred_at: datetime
    amount_minor: int

    @property
    def points(self) -> int:
        """The points that the rule grants."""
        return self.amount_minor // PER_MINOR * 3 // 2


def users(count: int) -> list[str]:
    """Return the users' ids."""
    return [f"user-{number:06}" for number in range(count)]


# --------------------------------------------------------------------------------- distributions

Draw = Callable[[random.Random, list[str], int], Sequence[str]]


def _uniform(chance: random.Random, user_ids: list[str], count: int) -> Sequence[str]:
    return chance.choices(user_ids, k=count)


def _zipf(chance: random.Random, user_ids: list[str], count: int) -> Sequence[str]:
    """Draw the n-th user 1/n as often as the first."""
    weights = list(accumulate(1 / number for number in range(1, len(user_ids) + 1)))
    return chance.choices(user_ids, cum_weights=weights, k=count)


def _one_user(_chance: random.Random, user_ids: list[str], count: int) -> Sequence[str]:
    return user_ids[:1] * count


USER_DISTRIBUTIONS: dict[str, Draw] = {"uniform": _uniform, "Zipf 1.0": _zipf, "one user": _one_user}


def events(name: str, count: int, user_ids: list[str], distribution: str = "uniform") -> list[BasketEvent]:
    """Return events that happen now, to users of the distribution. `name` makes their ids unique."""
    chance = random.Random(_SEED)
    now = datetime.now(UTC).replace(microsecond=0)
    return [
        BasketEvent(f"{name}-{number}", user_id, now, chance.randrange(PER_MINOR, 200 * PER_MINOR))
        for number, user_id in enumerate(USER_DISTRIBUTIONS[distribution](chance, user_ids, count))
    ]


class EndlessEvents:
    """Events by number, for loops that end with time. Those after the drawn ones repeat them with new ids."""

    def __init__(self, name: str, user_ids: list[str]) -> None:
        self._drawn = events(name, len(user_ids), user_ids)

    def __getitem__(self, number: int) -> BasketEvent:
        repeats, place = divmod(number, len(self._drawn))
        event = self._drawn[place]
        return replace(event, id=f"{event.id}-again-{repeats}") if repeats else event

    def first(self, count: int) -> list[BasketEvent]:
        """Return this many events, from the first."""
        return [self[number] for number in range(count)]


# ---------------------------------------------------------------------------------- verification

# Both sides have these columns, so one query checks both.
_ACCOUNTS = """
SELECT a.user_id, a.balance, coalesce(e.entries, 0), coalesce(e.points, 0)::bigint,
       coalesce(l.lots, 0), coalesce(l.points, 0)::bigint
FROM accounts a
LEFT JOIN (SELECT account_id, count(*) AS entries, sum(delta) AS points FROM entries GROUP BY account_id) e
       ON e.account_id = a.id
LEFT JOIN (SELECT account_id, count(*) AS lots, sum(remaining) AS points FROM lots GROUP BY account_id) l
       ON l.account_id = a.id"""

_OUTCOMES = "SELECT count(*) FILTER (WHERE state = 'applied'), count(*) FROM outcomes"


def verify(
    connection: sa.Connection, user_ids: list[str], applied: Sequence[BasketEvent], before: tuple[int, int]
) -> None:
    """Check that each event has an applied outcome, an entry and a lot, and each user the expected points.

    `before` has the entries and points that each user had, with a lot and an outcome for each entry. Raises
    DifferentWork.
    """
    entries_before, points_before = before
    commands = len(applied) + entries_before * len(user_ids)
    done, outcomes = connection.exec_driver_sql(_OUTCOMES).one()
    if not done == outcomes == commands:
        raise DifferentWork(f"{commands} commands, {outcomes} outcomes, {done} of them applied")
    counts = Counter(event.user_id for event in applied)
    points: Counter[str] = Counter()
    for event in applied:
        points[event.user_id] += event.points
    found = {row[0]: tuple(row[1:]) for row in connection.exec_driver_sql(_ACCOUNTS)}
    if found.keys() != set(user_ids):
        raise DifferentWork(f"{len(found)} accounts are not those of {len(user_ids)} users")
    for user_id, figures in found.items():
        has, lots = points_before + points[user_id], entries_before + counts[user_id]
        if figures != (has, lots, has, lots, has):
            raise DifferentWork(
                f"{user_id}: balance, entries and lots are {figures}, not {(has, lots, has, lots, has)}"
            )
