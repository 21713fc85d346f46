"""Writes a ledger's history with COPY, before the clock starts.

The rows are those of commands that were accepted and applied, and `pointledger verify` accepts them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Any, NamedTuple
from uuid import UUID
from zlib import crc32

import sqlalchemy as sa

from pointledger.domain.commands.records import lane_of
from pointledger.domain.program.rule import Rule
from pointledger.ids import derive_id, milliseconds_of
from pointledger.storage.copy import copy
from tests.bench.workload import OPENING_EVENT_TYPE, PER_MINOR, TENANT, users

_CHUNK_COMMANDS = 10_000  # user rows are in memory together
_ID_BITS = 80  # below an id's millisecond
_FINGERPRINT = bytes(16)  # compares commands with the same key; these have different keys

_JOURNAL = (
    "id", "seq", "lane", "version", "accepted_at", "occurred_at", "fingerprint", "tenant_id", "user_id",
    "actor", "kind", "idempotency_key", "payload",
)  # fmt: skip
_ENTRIES = (
    "tenant_id", "account_id", "seq", "id", "command_id", "type", "subtype", "amount", "delta",
    "balance_after", "frozen_after", "pending_after", "debt_after", "rule_id", "rule_version", "expires_at",
    "occurred_at", "created_at",
)  # fmt: skip
_LOTS = (
    "tenant_id", "id", "account_id", "entry_id", "origin_id", "amount", "remaining", "state", "earned_at",
    "expires_at", "seq",
)  # fmt: skip
_OUTCOMES = ("id", "tenant_id", "state", "reason", "message", "applied_at", "data")
_ZERO_FIGURES = (
    "frozen_balance", "pending_balance", "debt", "total_spent", "expired_points", "total_refunded",
    "total_transferred_in", "total_transferred_out", "total_adjusted_in", "total_adjusted_out",
    "total_clawed_back",
)  # fmt: skip
_ACCOUNTS = (
    "tenant_id", "user_id", "id", "points_type", "status", "balance", "total_earned", "version", "as_of",
    "next_expiry_at", "created_at", "updated_at", *_ZERO_FIGURES,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class BasketHistory:
    """Baskets of one price over the time `span`, from one user after the other.

    `lifetime` is that of their points. `entries_before` and `balance_before` are each user's earlier figures.
    """

    name: str
    users: int
    entries: int
    amount_minor: int
    began_at: datetime
    span: timedelta
    lifetime: timedelta
    entries_before: int = 0
    balance_before: int = 0

    @property
    def points(self) -> int:
        """The points of each basket."""
        return self.amount_minor // PER_MINOR * 3 // 2

    @property
    def per_user(self) -> tuple[int, int]:
        """Entries and points of each user after all baskets."""
        rounds = self.entries // self.users
        return self.entries_before + rounds, self.balance_before + rounds * self.points

    def paid_at(self, number: int) -> datetime:
        """Return when the basket of this number was paid."""
        # A product of span and number first would overflow timedelta.
        return self.began_at + self.span * (number / self.entries)


class HistoryRows(NamedTuple):
    """The rows of some commands by table, and the state of the account after each."""

    journal: list[tuple[Any, ...]]
    entries: list[tuple[Any, ...]]
    lots: list[tuple[Any, ...]]
    outcomes: list[tuple[Any, ...]]
    account_states: list[tuple[str, int, int, datetime]]  # user, version, balance, clock


def load(database: sa.Engine, history: BasketHistory, rule: Rule, lanes: int) -> None:
    """Write the whole history with its accounts. `rule` grants the points."""
    with database.begin() as connection:
        for rows in rows_of(history, rule, lanes, _CHUNK_COMMANDS):
            write(connection, rows)
        copy(connection, "accounts", _ACCOUNTS, list(_accounts(history)))
        connection.exec_driver_sql("SELECT setval('journal_seq', %s)", (history.entries,))
    with database.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM (ANALYZE)")  # as autovacuum would have done in that time


def write(connection: sa.Connection, rows: HistoryRows) -> None:
    """Write these rows. The caller writes the accounts."""
    copy(connection, "journal", _JOURNAL, rows.journal)
    copy(connection, "entries", _ENTRIES, rows.entries)
    copy(connection, "lots", _LOTS, rows.lots)
    copy(connection, "outcomes", _OUTCOMES, rows.outcomes)


def rows_of(history: BasketHistory, rule: Rule, lanes: int, chunk_size: int) -> Iterator[HistoryRows]:
    """Yield the rows in chunks of this many commands, in the order of time."""
    user_ids, points = users(history.users), history.points
    lane = [lane_of(TENANT, user_id, lanes) for user_id in user_ids]
    account = [_account_id(user_id) for user_id in user_ids]
    granted = _granted_json(rule, points)
    number_space = crc32(history.name.encode()) << 40
    for start in range(0, history.entries, chunk_size):
        rows = HistoryRows([], [], [], [], [])
        for number in range(start, min(start + chunk_size, history.entries)):
            user, seq = number % history.users, history.entries_before + number // history.users + 1
            balance = history.balance_before + (number // history.users + 1) * points
            moment = history.paid_at(number)
            expires_at, milliseconds = moment + history.lifetime, milliseconds_of(moment)
            command_id = UUID(int=milliseconds << _ID_BITS | number_space | number)
            entry_id = derive_id(command_id, 1, milliseconds)
            user_id, account_id, key = user_ids[user], account[user], f"{history.name}-{number}"
            rows.journal.append((
                command_id, number + 1, lane[user], 1, moment, moment, _FINGERPRINT, TENANT, user_id,
                "service", "apply-rule", key, f'{{"event_type":"{rule.body.event_type}","event_id":"{key}",'
                f'"metadata":{{"amount_minor":{history.amount_minor}}}}}',
            ))  # fmt: skip
            rows.entries.append((
                TENANT, account_id, seq, entry_id, command_id, "earn", "rule", points, points,
                balance, 0, 0, 0, rule.id, rule.version, expires_at, moment, moment,
            ))  # fmt: skip
            rows.lots.append((
                TENANT, derive_id(command_id, 2, milliseconds), account_id, entry_id, entry_id,
                points, points, "active", moment, expires_at, seq,
            ))  # fmt: skip
            rows.outcomes.append((
                command_id, TENANT, "applied", None, None, moment,
                f'{granted}[{{"id":"{entry_id}","seq":{seq},"type":"earn","subtype":"rule",'
                f'"amount":{points},"balance_before":{balance - points},"balance_after":{balance},'
                f'"expires_at":"{expires_at.isoformat()}"}}],"account":{{"id":"{account_id}",'
                f'"user_id":"{user_id}","status":"active","version":{seq},"balance":{balance},'
                f'"total_earned":{balance}}}}}',
            ))  # fmt: skip
            rows.account_states.append((user_id, seq, balance, moment))
        yield rows


def _granted_json(rule: Rule, points: int) -> str:
    """Return the beginning of `apply-rule`'s outcome data (`domain/ledger/outcome_data.py`)."""
    return (
        f'{{"points_earned":{points},"grants":[{{"rule_id":"{rule.id}","rule":"{rule.body.name}",'
        f'"rule_version":{rule.version},"wanted":{points},"granted":{points}}}],"transactions":'
    )


def _accounts(history: BasketHistory) -> Iterator[tuple[Any, ...]]:
    version, balance = history.per_user
    for number, user_id in enumerate(users(history.users)):
        first, last = history.paid_at(number), history.paid_at(history.entries - history.users + number)
        yield (
            TENANT, user_id, _account_id(user_id), "expirable", "active", balance, balance, version, last,
            first + history.lifetime, first, last, *(0 for _ in _ZERO_FIGURES),
        )  # fmt: skip


def _account_id(user_id: str) -> UUID:
    """Return an id in no order of users, because accounts are created one by one, over years."""
    return UUID(bytes=blake2b(user_id.encode(), digest_size=16).digest())


def opening_rule() -> dict[str, Any]:
    """Return the rule that granted the points of a history."""
    base = {"kind": "per_unit", "field": "amount_minor", "per": PER_MINOR, "points": 1}
    return {"name": "opening", "event_type": OPENING_EVENT_TYPE, "base": base, "multiplier": "1.5"}
