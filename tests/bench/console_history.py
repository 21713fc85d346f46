"""Writes millions of entries by SQL, of many members and one who has a great many.

The rows are those of earns that were accepted and applied, and `pointledger verify` accepts them.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import sqlalchemy as sa

from pointledger.domain.commands.records import lane_of
from pointledger.storage.copy import copy
from tests.bench.workload import TENANT, users

POINTS = 5  # of each earn
WHALE = "user-with-all"
_SPAN = timedelta(days=2 * 365)  # over which the entries spread
_LIFETIME = timedelta(days=4 * 365)  # of the points, so that none are due
_AT_ONCE = 500_000  # entries of one statement: some seconds


@dataclass(frozen=True, slots=True)
class Members:
    """Members who have earned equally often, one after the other, in the span of time."""

    user_ids: list[str]
    earns_each: int
    first_seq: int  # of their commands, in the order of acceptance

    @property
    def entries(self) -> int:
        """All of their entries."""
        return len(self.user_ids) * self.earns_each


def members_of(entries: int, count: int, of_whale: int) -> tuple[Members, Members]:
    """Share the entries between many members and the one who has `of_whale` of them."""
    many = Members(users(count), (entries - of_whale) // count, 1)
    return many, Members([WHALE], of_whale, many.entries + 1)


# The earns of a piece: their numbers, members, moments and ids, which are in the order of time.
_EARNS = """
SELECT n, u.user_id, u.account_id, u.lane, n / %(users)s + 1 AS seq, at, %(first)s + n AS accepted,
       (time || lpad(to_hex(%(first)s + n), 20, '0'))::uuid AS command_id,
       (time || '1' || lpad(to_hex(%(first)s + n), 19, '0'))::uuid AS entry_id,
       (time || '2' || lpad(to_hex(%(first)s + n), 19, '0'))::uuid AS lot_id
FROM generate_series(%(start)s::bigint, %(stop)s::bigint - 1) AS n
JOIN bench_members u ON u.number = n %% %(users)s
CROSS JOIN LATERAL (SELECT %(began)s::timestamptz + n * %(step)s::interval AS at) AS moment
CROSS JOIN LATERAL (
    SELECT lpad(to_hex(floor(extract(epoch FROM at) * 1000)::bigint), 12, '0') AS time) AS id"""

_TABLES = (
    """INSERT INTO journal (id, seq, lane, version, accepted_at, occurred_at, fingerprint, tenant_id, user_id,
                             actor, kind, payload)
       SELECT command_id, accepted, lane, 1, at, at, decode(repeat('00', 16), 'hex'), %(tenant)s, user_id,
              'service', 'earn', %(payload)s::json FROM earns""",
    """INSERT INTO entries (tenant_id, account_id, seq, id, command_id, type, subtype, amount, delta,
                             balance_after, frozen_after, pending_after, debt_after, expires_at, occurred_at,
                             created_at)
       SELECT %(tenant)s, account_id, seq, entry_id, command_id, 'earn', 'manual', %(points)s, %(points)s,
              seq * %(points)s, 0, 0, 0, at + %(lifetime)s::interval, at, at FROM earns""",
    """INSERT INTO lots (tenant_id, id, account_id, entry_id, origin_id, amount, remaining, state, earned_at,
                          expires_at, seq)
       SELECT %(tenant)s, lot_id, account_id, entry_id, entry_id, %(points)s, %(points)s, 'active', at,
              at + %(lifetime)s::interval, seq FROM earns""",
    """INSERT INTO outcomes (id, tenant_id, state, applied_at, data)
       SELECT command_id, %(tenant)s, 'applied', at, json_build_object(
           'points_earned', %(points)s::bigint, 'transactions', json_build_array(json_build_object(
               'id', entry_id, 'seq', seq, 'type', 'earn', 'subtype', 'manual', 'amount', %(points)s::bigint,
               'balance_after', seq * %(points)s))) FROM earns""",
)

_ACCOUNTS = """
INSERT INTO accounts (tenant_id, user_id, id, points_type, status, balance, total_earned, version, as_of,
                      next_expiry_at, created_at, updated_at, frozen_balance, pending_balance, debt,
                      total_spent, expired_points, total_refunded, total_transferred_in,
                      total_transferred_out, total_adjusted_in, total_adjusted_out, total_clawed_back)
SELECT %(tenant)s, user_id, account_id, 'expirable', 'active', %(each)s * %(points)s, %(each)s * %(points)s,
       %(each)s, last, first + %(lifetime)s::interval, first, last, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0
FROM bench_members u CROSS JOIN LATERAL (
    SELECT %(began)s::timestamptz + u.number * %(step)s::interval AS first,
           %(began)s::timestamptz + ((%(each)s - 1) * %(users)s + u.number) * %(step)s::interval AS last
) AS at"""

_MEMBERS = """
CREATE TEMP TABLE bench_members (number bigint PRIMARY KEY, user_id text, account_id uuid, lane smallint)
ON COMMIT DROP"""


# The indexes of the tables that grow. Filled row by row in random order, they take far longer than all rows.
_INDEXES = """
SELECT c.conname IS NOT NULL, i.indrelid::regclass::text, i.indexrelid::regclass::text,
       coalesce(pg_get_constraintdef(c.oid), pg_get_indexdef(i.indexrelid))
FROM pg_index i LEFT JOIN pg_constraint c ON c.conindid = i.indexrelid AND c.contype IN ('p', 'u')
WHERE i.indrelid = ANY(%(tables)s::regclass[])"""
_GROWING = ["journal", "entries", "lots", "outcomes"]


def write(database: sa.Engine, groups: Sequence[Members], lanes: int) -> None:
    """Write the members with all that they have earned."""
    with database.begin() as connection, _without_indexes(connection):
        for members in groups:
            _write(connection, members, lanes)
        last = sum(members.entries for members in groups)
        connection.exec_driver_sql("SELECT setval('journal_seq', %s)", (last,))


@contextmanager
def _without_indexes(connection: sa.Connection) -> Iterator[None]:
    """Drop the indexes of the growing tables, and build them again at the end of the block."""
    indexes = connection.exec_driver_sql(_INDEXES, {"tables": _GROWING}).all()
    for is_constraint, table, name, _ in indexes:
        connection.exec_driver_sql(
            f"ALTER TABLE {table} DROP CONSTRAINT {name}" if is_constraint else f"DROP INDEX {name}"
        )
    yield
    connection.exec_driver_sql("SET LOCAL maintenance_work_mem = '1GB'")
    for is_constraint, table, name, definition in indexes:
        connection.exec_driver_sql(
            f"ALTER TABLE {table} ADD CONSTRAINT {name} {definition}" if is_constraint else definition
        )


def _write(connection: sa.Connection, members: Members, lanes: int) -> None:
    values: dict[str, Any] = {
        "tenant": TENANT,
        "users": len(members.user_ids),
        "first": members.first_seq,
        "points": POINTS,
        "payload": f'{{"amount":{POINTS}}}',
        "began": datetime.now(UTC) - _SPAN,
        "step": _SPAN / (members.entries + 1),
        "lifetime": _LIFETIME,
        "each": members.earns_each,
    }
    connection.exec_driver_sql("DROP TABLE IF EXISTS bench_members")
    connection.exec_driver_sql(_MEMBERS)
    copy(connection, "bench_members", ("number", "user_id", "account_id", "lane"), _rows(members, lanes))
    for start in range(0, members.entries, _AT_ONCE):
        values |= {"start": start, "stop": min(start + _AT_ONCE, members.entries)}
        for table in _TABLES:
            connection.exec_driver_sql(f"WITH earns AS ({_EARNS}) {table}", values)
    connection.exec_driver_sql(_ACCOUNTS, values)


def _rows(members: Members, lanes: int) -> list[tuple[int, str, UUID, int]]:
    return [
        (number, user_id, uuid4(), lane_of(TENANT, user_id, lanes))
        for number, user_id in enumerate(members.user_ids)
    ]


def settle(database: sa.Engine) -> None:
    """Vacuum and analyze, as autovacuum would have done in that time."""
    with database.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM (ANALYZE)")
