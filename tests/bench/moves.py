"""Transfers: which there are, and the proof that they were made."""

import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import sqlalchemy as sa

from tests.bench.harness import DifferentWork
from tests.bench.workload import OPENING_POINTS

_SEED = 20170103
MOST_POINTS = 100  # of one transfer: nobody runs out of the opening's


class Move(NamedTuple):
    """Points go from one user to another."""

    source: str
    destination: str
    amount: int


class Books(NamedTuple):
    """What a user must have: in each number of the account's, and of what it adds up from."""

    balance: int
    entries: int


def _random(chance: random.Random, user_ids: list[str]) -> tuple[str, str]:
    source, destination = chance.sample(user_ids, 2)
    return source, destination


def _hot(chance: random.Random, user_ids: list[str]) -> tuple[str, str]:
    return chance.choice(user_ids[1:]), user_ids[0]


DRAWS: Mapping[str, Callable[[random.Random, list[str]], tuple[str, str]]] = {
    "random users": _random,
    "into one user": _hot,
}


def moves(drawn: str, count: int, user_ids: list[str]) -> list[Move]:
    """Transfers between users drawn so."""
    chance = random.Random(_SEED)
    return [Move(*DRAWS[drawn](chance, user_ids), chance.randint(1, MOST_POINTS)) for _ in range(count)]


def books_after(user_ids: Iterable[str], made: Sequence[Move]) -> dict[str, Books]:
    """What everybody has after these transfers, who had the opening's points before."""
    balances = Counter(dict.fromkeys(user_ids, OPENING_POINTS))
    entries = Counter(dict.fromkeys(balances, 1))
    for move in made:
        balances[move.source] -= move.amount
        balances[move.destination] += move.amount
        entries.update((move.source, move.destination))
    return {user_id: Books(balances[user_id], entries[user_id]) for user_id in balances}


def compare_books(wanted: Mapping[str, Books], found: Mapping[str, Books]) -> None:
    """Raises DifferentWork unless they are the same."""
    if wanted == found:
        return
    user_id = min(
        user_id for user_id in wanted.keys() | found.keys() if wanted.get(user_id) != found.get(user_id)
    )
    raise DifferentWork(f"{user_id} has {found.get(user_id)}, not {wanted.get(user_id)}")


# Both sides name these columns alike. What entries and lots add up to is the balance, or the row says so.
_BOOKS = """
SELECT a.user_id, a.balance, a.version, e.entries, e.points, l.points
FROM accounts a
JOIN (SELECT account_id, count(*) AS entries, sum(delta)::bigint AS points FROM entries GROUP BY account_id) e
     ON e.account_id = a.id
JOIN (SELECT account_id, sum(remaining)::bigint AS points FROM lots GROUP BY account_id) l
     ON l.account_id = a.id"""

_OUTCOMES = "SELECT count(*) FILTER (WHERE state = 'applied'), count(*) FROM outcomes"


def verify(connection: sa.Connection, user_ids: list[str], made: Sequence[Move]) -> None:
    """Every transfer is applied; everybody has what is due to them, in the balance, the entries and the
    lots. Raises DifferentWork."""
    commands = len(user_ids) + len(made)
    done, outcomes = connection.exec_driver_sql(_OUTCOMES).one()
    if not done == outcomes == commands:
        raise DifferentWork(f"{commands} commands, {outcomes} outcomes, {done} of them applied")
    found = {}
    for user_id, balance, version, entries, entered, in_lots in connection.exec_driver_sql(_BOOKS):
        if version != entries or not balance == entered == in_lots:
            raise DifferentWork(f"{user_id}: balance {balance}, entries {entered}, lots {in_lots}")
        found[user_id] = Books(balance, entries)
    compare_books(books_after(user_ids, made), found)
