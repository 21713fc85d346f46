"""What a ledger holds before the clock starts, written with COPY: as if all of it had been accepted and
applied. The audit agrees."""

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

_AT_ONCE = 10_000  # commands whose rows are in memory together
_ID_BITS = 80  # below an id's millisecond
_FINGERPRINT = bytes(16)  # tells commands apart that are sent again; these are not

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
_NOTHING = (
    "frozen_balance", "pending_balance", "debt", "total_spent", "expired_points", "total_refunded",
    "total_transferred_in", "total_transferred_out", "total_adjusted_in", "total_adjusted_out",
    "total_clawed_back",
)  # fmt: skip
_ACCOUNTS = (
    "tenant_id", "user_id", "id", "points_type", "status", "balance", "total_earned", "version", "as_of",
    "next_expiry_at", "created_at", "updated_at", *_NOTHING,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Past:
    """Baskets of one price, in the order of time, the users taking turns. `span`: in which all of them fall;
    `lifetime`: of their points. `entries_before` and `balance_before`: what each user had then."""

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
        """For each basket."""
        return self.amount_minor // PER_MINOR * 3 // 2

    @property
    def of_each(self) -> tuple[int, int]:
        """Entries and points of each user, when it is past."""
        rounds = self.entries // self.users
        return self.entries_before + rounds, self.balance_before + rounds * self.points

    def moment(self, number: int) -> datetime:
        """When the basket of this number was paid."""
        return self.began_at + self.span * (number / self.entries)  # millions of years are no timedelta


class Rows(NamedTuple):
    """What so many commands have written, a list for each table; and how they left their accounts."""

    journal: list[tuple[Any, ...]]
    entries: list[tuple[Any, ...]]
    lots: list[tuple[Any, ...]]
    outcomes: list[tuple[Any, ...]]
    stands: list[tuple[str, int, int, datetime]]  # user, version, balance, clock


def load(database: sa.Engine, past: Past, rule: Rule, lanes: int) -> None:
    """Writes it all, accounts too. `rule` grants the points."""
    with database.begin() as connection:
        for rows in rows_of(past, rule, lanes, _AT_ONCE):
            write(connection, rows)
        copy(connection, "accounts", _ACCOUNTS, list(_accounts(past)))
        connection.exec_driver_sql("SELECT setval('journal_seq', %s)", (past.entries,))
    with database.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM (ANALYZE)")  # as autovacuum would have, in all that time


def write(connection: sa.Connection, rows: Rows) -> None:
    """Writes these rows; the accounts are the caller's."""
    copy(connection, "journal", _JOURNAL, rows.journal)
    copy(connection, "entries", _ENTRIES, rows.entries)
    copy(connection, "lots", _LOTS, rows.lots)
    copy(connection, "outcomes", _OUTCOMES, rows.outcomes)


def rows_of(past: Past, rule: Rule, lanes: int, at_once: int) -> Iterator[Rows]:
    """The rows of so many commands after the other, in the order of time."""
    user_ids = users(past.users)
    lane = [lane_of(TENANT, user_id, lanes) for user_id in user_ids]
    account = [_account_id(user_id) for user_id in user_ids]
    # As `apply-rule` tells it (`domain/ledger/outcome_data.py`).
    granted = (
        f'{{"points_earned":{past.points},"grants":[{{"rule_id":"{rule.id}","rule":"{rule.body.name}",'
        f'"rule_version":{rule.version},"wanted":{past.points},"granted":{past.points}}}],"transactions":'
    )
    number_space = crc32(past.name.encode()) << 40
    for start in range(0, past.entries, at_once):
        rows = Rows([], [], [], [], [])
        for number in range(start, min(start + at_once, past.entries)):
            whose, seq = number % past.users, past.entries_before + number // past.users + 1
            balance = past.balance_before + (number // past.users + 1) * past.points
            moment = past.moment(number)
            expires_at, milliseconds = moment + past.lifetime, milliseconds_of(moment)
            command_id = UUID(int=milliseconds << _ID_BITS | number_space | number)
            entry_id = derive_id(command_id, 1, milliseconds)
            user_id, account_id, key = user_ids[whose], account[whose], f"{past.name}-{number}"
            rows.journal.append((
                command_id, number + 1, lane[whose], 1, moment, moment, _FINGERPRINT, TENANT, user_id,
                "service", "apply-rule", key, f'{{"event_type":"{rule.body.event_type}","event_id":"{key}",'
                f'"metadata":{{"amount_minor":{past.amount_minor}}}}}',
            ))  # fmt: skip
            rows.entries.append((
                TENANT, account_id, seq, entry_id, command_id, "earn", "rule", past.points, past.points,
                balance, 0, 0, 0, rule.id, rule.version, expires_at, moment, moment,
            ))  # fmt: skip
            rows.lots.append((
                TENANT, derive_id(command_id, 2, milliseconds), account_id, entry_id, entry_id, past.points,
                past.points, "active", moment, expires_at, seq,
            ))  # fmt: skip
            rows.outcomes.append((
                command_id, TENANT, "applied", None, None, moment,
                f'{granted}[{{"id":"{entry_id}","seq":{seq},"type":"earn","subtype":"rule",'
                f'"amount":{past.points},"balance_before":{balance - past.points},"balance_after":{balance},'
                f'"expires_at":"{expires_at.isoformat()}"}}],"account":{{"id":"{account_id}",'
                f'"user_id":"{user_id}","status":"active","version":{seq},"balance":{balance},'
                f'"total_earned":{balance}}}}}',
            ))  # fmt: skip
            rows.stands.append((user_id, seq, balance, moment))
        yield rows


def _accounts(past: Past) -> Iterator[tuple[Any, ...]]:
    version, balance = past.of_each
    for number, user_id in enumerate(users(past.users)):
        first, last = past.moment(number), past.moment(past.entries - past.users + number)
        yield (
            TENANT, user_id, _account_id(user_id), "expirable", "active", balance, balance, version, last,
            first + past.lifetime, first, last, *(0 for _ in _NOTHING),
        )  # fmt: skip


def _account_id(user_id: str) -> UUID:
    """In no order: accounts are made one by one, over years."""
    return UUID(bytes=blake2b(user_id.encode(), digest_size=16).digest())


def opening_rule() -> dict[str, Any]:
    """What granted the points of the past."""
    base = {"kind": "per_unit", "field": "amount_minor", "per": PER_MINOR, "points": 1}
    return {"name": "opening", "event_type": OPENING_EVENT_TYPE, "base": base, "multiplier": "1.5"}
