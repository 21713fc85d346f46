"""Plans transfers, and checks that they were applied."""

import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import sqlalchemy as sa

from tests.bench.harness import DifferentWork
from tests.bench.workload import OPENING_POINTS

_SEED = 20170103
MOST_POINTS = 100  # of one transfer, so no user runs out of the opening points


class PlannedTransfer(NamedTuple):
    """A transfer of points from one user to another."""

    source: str
    destination: str
    amount: int


class ExpectedAccount(NamedTuple):
    """The balance and the number of entries that a user must have."""

    balance: int
    entries: int


def _random(chance: random.Random, user_ids: list[str]) -> tuple[str, str]:
    source, destination = chance.sample(user_ids, 2)
    return source, destination


def _into_first_user(chance: random.Random, user_ids: list[str]) -> tuple[str, str]:
    return chance.choice(user_ids[1:]), user_ids[0]


USER_DISTRIBUTIONS: Mapping[str, Callable[[random.Random, list[str]], tuple[str, str]]] = {
    "random users": _random,
    "into one user": _into_first_user,
}


def planned_transfers(distribution: str, count: int, user_ids: list[str]) -> list[PlannedTransfer]:
    """Return transfers between users of the distribution."""
    chance = random.Random(_SEED)
    return [
        PlannedTransfer(*USER_DISTRIBUTIONS[distribution](chance, user_ids), chance.randint(1, MOST_POINTS))
        for _ in range(count)
    ]


def expected_accounts(user_ids: Iterable[str], made: Sequence[PlannedTransfer]) -> dict[str, ExpectedAccount]:
    """Return each user's account after these transfers. Each user had the opening points before."""
    balances = Counter(dict.fromkeys(user_ids, OPENING_POINTS))
    entries = Counter(dict.fromkeys(balances, 1))
    for transfer in made:
        balances[transfer.source] -= transfer.amount
        balances[transfer.destination] += transfer.amount
        entries.update((transfer.source, transfer.destination))
    return {user_id: ExpectedAccount(balances[user_id], entries[user_id]) for user_id in balances}


def compare_accounts(expected: Mapping[str, ExpectedAccount], found: Mapping[str, ExpectedAccount]) -> None:
    """Raise DifferentWork unless the accounts are the expected ones."""
    if expected == found:
        return
    user_id = min(
        user_id for user_id in expected.keys() | found.keys() if expected.get(user_id) != found.get(user_id)
    )
    raise DifferentWork(f"{user_id} has {found.get(user_id)}, not {expected.get(user_id)}")


# Both sides have these columns. `verify` compares the balance with the sums of entries and lots.
_ACCOUNTS = """
SELECT a.user_id, a.balance, a.version, e.entries, e.points, l.points
FROM accounts a
JOIN (SELECT account_id, count(*) AS entries, sum(delta)::bigint AS points FROM entries GROUP BY account_id) e
     ON e.account_id = a.id
JOIN (SELECT account_id, sum(remaining)::bigint AS points FROM lots GROUP BY account_id) l
     ON l.account_id = a.id"""

_OUTCOMES = "SELECT count(*) FILTER (WHERE state = 'applied'), count(*) FROM outcomes"


def verify(connection: sa.Connection, user_ids: list[str], made: Sequence[PlannedTransfer]) -> None:
    """Check that each transfer is applied, and that each user has the expected balance, entries and lots.

    Raises DifferentWork.
    """
    commands = len(user_ids) + len(made)
    done, outcomes = connection.exec_driver_sql(_OUTCOMES).one()
    if not done == outcomes == commands:
        raise DifferentWork(f"{commands} commands, {outcomes} outcomes, {done} of them applied")
    found = {}
    for user_id, balance, version, entries, entered, in_lots in connection.exec_driver_sql(_ACCOUNTS):
        if version != entries or not balance == entered == in_lots:
            raise DifferentWork(f"{user_id}: balance {balance}, entries {entered}, lots {in_lots}")
        found[user_id] = ExpectedAccount(balance, entries)
    compare_accounts(expected_accounts(user_ids, made), found)
