"""The journal: accepts commands, detects repetitions and looks commands up by id."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from pointledger.domain.commands.records import JournalRecord
from pointledger.storage.database import AnyConnection, execute, rows
from pointledger.storage.queue.pending import COLUMNS, columns_of

_ACCEPT = f"""
WITH numbered AS MATERIALIZED (
    -- commands are applied in the order of the input
    SELECT nextval('journal_seq') AS seq, line.*
    FROM (SELECT set_config('lock_timeout', %(lock_ms)s, true)) AS patience,
         unnest(%(ids)b::uuid[], %(lanes)b::int2[], %(versions)b::int2[], %(occurred)b::timestamptz[],
                %(fingerprints)b::bytea[], %(tenants)b::text[], %(users)b::text[], %(actors)b::text[],
                %(kinds)b::text[], %(keys)b::text[], %(payloads)b::text[], %(extensions)b::text[])
         WITH ORDINALITY AS line (id, lane, version, occurred_at, fingerprint, tenant_id, user_id, actor,
                                  kind, idempotency_key, payload, extensions, ordinal)
    ORDER BY ordinal
), accepted AS (
    -- sorted by key, so two accepts that overlap cannot deadlock; of two equal ones in a call, the first is
    -- the command and the second its repetition
    INSERT INTO journal (seq, id, lane, version, occurred_at, fingerprint, tenant_id, user_id, actor, kind,
                         idempotency_key, payload, extensions)
    SELECT seq, id, lane, version, occurred_at, fingerprint, tenant_id, user_id, actor, kind,
           idempotency_key, payload::json, extensions::json
    FROM numbered
    WHERE NOT EXISTS (SELECT FROM aliases WHERE aliases.id = numbered.id)
      AND (SELECT count(*) FROM lanes) = %(lane_count)b
    ORDER BY tenant_id COLLATE "C", actor COLLATE "C", kind COLLATE "C", idempotency_key COLLATE "C",
             CASE WHEN idempotency_key IS NULL THEN id END, seq
    ON CONFLICT DO NOTHING
    RETURNING lane, seq, id, tenant_id, user_id, kind, payload
)
INSERT INTO pending ({COLUMNS})
SELECT lane, seq, id, {columns_of("accepted")} FROM accepted"""  # noqa: S608  (constants only)

_ACCEPT_EACH = f"{_ACCEPT} RETURNING id"

LOCK_MS = 500  # for an open transaction with the same key: far longer than accepting takes


def accept(connection: AnyConnection, records: Sequence[JournalRecord], lane_count: int) -> int:
    """Write commands to the journal and the pending ones, in one statement; return how many were new.

    It writes none if the database has another number of lanes, because no worker would read them. It waits
    half a second for an open transaction that holds one of the keys. That lock timeout also applies to later
    statements in the connection's transaction.
    """
    return int(execute(connection, _ACCEPT, _columns(records, lane_count, LOCK_MS)).rowcount)


def accept_each(
    connection: sa.Connection, records: Sequence[JournalRecord], lane_count: int, lock_ms: int
) -> set[UUID]:
    """Do the same for records with different ids, and return the ids of the new ones.

    It waits for `lock_ms` milliseconds at most.
    """
    return {row[0] for row in rows(connection, _ACCEPT_EACH, **_columns(records, lane_count, lock_ms))}


def _columns(records: Sequence[JournalRecord], lane_count: int, lock_ms: int) -> dict[str, Any]:
    extensions = [record.extensions for record in records]
    return {
        **_identities(records),
        "lanes": [record.lane for record in records],
        "versions": [record.version for record in records],
        "occurred": [record.occurred_at for record in records],
        "users": [record.user_id for record in records],
        "payloads": [record.payload for record in records],
        # Most commands have none: `unnest` fills a shorter array up with NULLs.
        "extensions": extensions if any(extensions) else [],
        "lane_count": lane_count,
        "lock_ms": str(lock_ms),
    }


_FIRST_OF_EACH = """
-- the content of a redacted command is gone, so any repetition of its id counts as the same command
SELECT wanted.ordinal - 1, first.id,
       first.fingerprint IN (wanted.fingerprint, decode(repeat('00', 16), 'hex'))
FROM unnest(%(ids)s::uuid[], %(fingerprints)s::bytea[], %(tenants)s::text[], %(actors)s::text[],
            %(kinds)s::text[], %(keys)s::text[])
     WITH ORDINALITY AS wanted (id, fingerprint, tenant_id, actor, kind, key, ordinal)
CROSS JOIN LATERAL (
    SELECT id, fingerprint FROM journal WHERE id = wanted.id
    UNION
    SELECT j.id, j.fingerprint FROM journal j JOIN aliases a ON a.journal_id = j.id WHERE a.id = wanted.id
    UNION
    SELECT id, fingerprint FROM journal
    WHERE tenant_id = wanted.tenant_id AND actor = wanted.actor AND kind = wanted.kind
      AND idempotency_key = wanted.key
) AS first"""


def firsts(connection: AnyConnection, records: Sequence[JournalRecord]) -> list[tuple[int, UUID, bool]]:
    """Return the commands that hold each record's id or key, as (index, id, same content).

    It is a separate statement after `accept`, so it sees what another transaction has just committed.
    """
    return [tuple(row) for row in execute(connection, _FIRST_OF_EACH, _identities(records)).fetchall()]


def _identities(records: Sequence[JournalRecord]) -> dict[str, Any]:
    """Return the columns by which repetitions are detected."""
    return {
        "ids": [record.id for record in records],
        "fingerprints": [record.fingerprint for record in records],
        "tenants": [record.tenant_id for record in records],
        "actors": [record.actor for record in records],
        "kinds": [record.kind for record in records],
        "keys": [record.key for record in records],
    }


_ALIAS = """
INSERT INTO aliases (id, journal_id)
SELECT id, journal_id FROM unnest(%(ids)s::uuid[], %(firsts)s::uuid[]) AS alias (id, journal_id)
ORDER BY id ON CONFLICT DO NOTHING"""


def add_aliases(connection: AnyConnection, aliases: dict[UUID, UUID]) -> None:
    """Map each id to the command that came first, so both have the same outcome."""
    execute(connection, _ALIAS, {"ids": list(aliases), "firsts": list(aliases.values())})


def lane_of(connection: sa.Connection, command_id: UUID) -> int | None:
    """Return the lane of the command with this id or alias."""
    found = rows(
        connection,
        """SELECT lane FROM journal
           WHERE id = coalesce((SELECT journal_id FROM aliases WHERE id = %(id)s), %(id)s)""",
        id=command_id,
    )
    return found[0][0] if found else None


def tenant_of(connection: sa.Connection, command_id: UUID) -> str:
    """Return the command's tenant."""
    tenant_id: str = rows(connection, "SELECT tenant_id FROM journal WHERE id = %(id)s", id=command_id)[0][0]
    return tenant_id


def carriers(connection: sa.Connection, ids: list[UUID]) -> list[dict[str, Any]]:
    """Return `traceparent` and `tracestate` of those commands that came with a trace, in their order."""
    return [
        {"traceparent": row.traceparent, "tracestate": row.tracestate}
        for row in rows(
            connection,
            """SELECT extensions ->> 'traceparent' AS traceparent, extensions ->> 'tracestate' AS tracestate
               FROM journal
               WHERE id = ANY(%(ids)s::uuid[]) AND extensions ->> 'traceparent' IS NOT NULL
               ORDER BY seq""",
            ids=ids,
        )
    ]


def first_id(connection: sa.Connection, command_id: UUID) -> UUID:
    """Return the id of the command that an alias stands for, or the id itself."""
    found = rows(connection, "SELECT journal_id FROM aliases WHERE id = %(id)s", id=command_id)
    return found[0][0] if found else command_id
