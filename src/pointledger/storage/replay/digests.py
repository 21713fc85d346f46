"""Compares many stored rows with decided ones by a single digest.

Postgres writes the stored rows as JSON and sends the hash. The replay writes the decided rows in the same
form and hashes them, so equal digests mean equal rows. Different digests mean only that rows may differ: the
replay then reads the rows and compares them value by value.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime
from hashlib import sha256
from typing import Any, NamedTuple
from uuid import UUID

import orjson
import sqlalchemy as sa

from pointledger.domain.commands.outcomes import Decision
from pointledger.storage.ledger.book import outcome_text
from pointledger.storage.replay.reads import page, tuples, utc_snapshot

# -------------------------------------------------------------------------------------------- decided rows


def digest_of_rows(decided: list[tuple[Any, ...]]) -> bytes | None:
    """Return the digest of rows in the order of their keys, or None if a value fits into no column."""
    try:
        return sha256(orjson.dumps(decided)).digest()
    except orjson.JSONEncodeError:
        return None


def digest_of_outcomes(decided: Iterable[Decision | Exception]) -> bytes | None:
    """Return the digest of a batch's outcomes in order; None if a command could not be decided.

    Messages are left out, because a later version may word them otherwise.
    """
    lines = []
    for decision in decided:
        if isinstance(decision, Exception):
            return None
        state, reason, _, data = outcome_text(decision)
        lines.append(f'"{state}" {_quoted(reason)} {data or ""}')
    return sha256("\n".join(lines).encode()).digest()


def _quoted(text: str | None) -> str:
    return "" if text is None else orjson.dumps(text).decode()


# --------------------------------------------------------------------------------------------- stored rows

# Writes timestamps as orjson does: with six digits of a second, or with none. The session's time zone is UTC.
_TIMESTAMP = """
coalesce('"' || replace(to_char({name}, 'YYYY-MM-DD"T"HH24:MI:SS.US'), '.000000', '') || '+00:00"', 'null')"""
_OTHER = "coalesce(to_json({name})::text, 'null')"


def _as_json(columns: tuple[str, ...]) -> str:
    """Return SQL that writes a row as orjson writes a tuple. Columns named `..._at` are timestamps."""
    values = ((_TIMESTAMP if name.endswith("_at") else _OTHER).format(name=name) for name in columns)
    return f"'[' || concat_ws(',', {', '.join(values)}) || ']'"


def _digest(columns: tuple[str, ...], order: str) -> str:
    """Return SQL for the digest of rows in this order, equal to that of `digest_of_rows`."""
    text = f"'[' || string_agg({_as_json(columns)}, ',' ORDER BY {order}) || ']'"
    return f"sha256(convert_to({text}, 'UTF8'))"


_BY_MILLISECOND = """
SELECT ('x0000' || left(replace({id}::text, '-', ''), 12))::bit(64)::bigint AS millisecond, {digest}
FROM {table} WHERE tenant_id = %(tenant)s AND {id} > %(after)s AND {id} <= %(to)s
GROUP BY millisecond"""


def digests_by_millisecond(
    connection: sa.Connection, table: str, columns: tuple[str, ...], key: tuple[str, ...], **bounds: Any
) -> dict[int, bytes]:
    """Return a digest per millisecond of the rows with an id above `after` and up to `to`, in key order.

    The id is the first column of the key, and begins with the millisecond.
    """
    query = _BY_MILLISECOND.format(id=key[0], digest=_digest(columns, ", ".join(key)), table=table)
    return dict(tuples(connection, query, **bounds))


_OPEN_LOTS = """
SELECT account_id, {digest} FROM lots
WHERE tenant_id = %(tenant)s AND account_id = ANY(%(accounts)s) AND state IN ('active', 'pending')
GROUP BY account_id"""


def _open_lot_digests(
    connection: sa.Connection, columns: tuple[str, ...], tenant_id: str, accounts: list[UUID]
) -> dict[UUID, bytes]:
    query = _OPEN_LOTS.format(digest=_digest(columns, "id"))
    return dict(tuples(connection, query, tenant=tenant_id, accounts=accounts))


def accounts_with_lot_digests(
    engine: sa.Engine, columns: tuple[str, ...], lot_columns: tuple[str, ...], tenant_id: str, most: int
) -> Iterator[tuple[tuple[Any, ...], bytes | None]]:
    """Yield all accounts by user, the first column, each with the digest of its open lots in id order.

    The digest is None if the account has no open lot. Each page is read in its own snapshot.
    """
    account_id, after = columns.index("id"), ""
    while True:
        with utc_snapshot(engine) as connection:
            found = page(connection, "accounts", columns, tenant_id, (after,), most)
            lots = _open_lot_digests(connection, lot_columns, tenant_id, [row[account_id] for row in found])
        for row in found:
            yield row, lots.get(row[account_id])
        if len(found) < most:
            return
        after = found[-1][0]


class StoredBatch(NamedTuple):
    """One tenant's part of a batch: the versions in force, and the digest of its outcomes in order.

    `applied_at` is the time of the first command, `last_at` the latest time.
    """

    number: int
    applied_at: datetime
    last_at: datetime
    tenant_version: int | None
    rule_versions: int | None
    outcomes_digest: bytes


# An outcome's data is stored as the text that orjson wrote, so that text is hashed.
_BATCHES = """
SELECT o.batch, (array_agg(o.applied_at ORDER BY o.place))[1], max(o.applied_at),
       (array_agg(o.tenant_version ORDER BY o.place))[1], (array_agg(o.rule_versions ORDER BY o.place))[1],
       sha256(convert_to(string_agg(
           concat_ws(' ', to_json(o.state)::text, coalesce(to_json(o.reason)::text, ''),
                     coalesce(o.data::text, '')),
           chr(10) ORDER BY o.place), 'UTF8'))
FROM unnest(%(ids)s::uuid[]) AS asked (id) JOIN outcomes o ON o.id = asked.id
GROUP BY o.batch"""


def stored_batches(connection: sa.Connection, ids: list[str]) -> dict[int, StoredBatch]:
    """Return the batches of these commands by number."""
    return {row[0]: StoredBatch(*row) for row in tuples(connection, _BATCHES, ids=f"{{{','.join(ids)}}}")}
