"""Dead letters: messages that are not commands, stored once each, exactly as received.

A dead letter waits for a person. A deferred message waits for its time, and then an entry point retries it.

The number of each source's messages is bounded, so that a flood of messages fills neither table nor disk. A
source is a producer that has signed its messages, or all others of an entry point together.
"""

from dataclasses import dataclass, fields
from datetime import datetime
from hashlib import blake2b
from typing import Any, NamedTuple
from uuid import UUID

import orjson
import sqlalchemy as sa

from pointledger.storage.database import rows, run

RETRYING = ("celery", "events")  # entry points that retry deferred messages
REPLAY = "REPLAY"  # the reason of a message that a person wants to be retried
_ERROR_CHARACTERS = 2_000  # enough to diagnose, too little to fill a disk


class Bounds(NamedTuple):
    """How many messages of one source the ledger keeps: dead letters, and as many deferred messages."""

    signed: int
    unsigned: int

    def of(self, producer: str | None) -> int:
        """Return the bound for a producer that has signed its messages, or for those without one."""
        return self.unsigned if producer is None else self.signed


@dataclass(frozen=True, slots=True)
class DeadLetterLine:
    """What a list says of a message, and why it is not a command.

    `producer` is the one that it claims, proven by its signature unless `reason` says that it is unsigned.
    `tenant_id` and `kind` are its own claims.
    """

    id: int
    entry_point: str
    state: str
    producer: str | None
    reason: str
    error: str
    attempts: int
    received_at: datetime
    last_seen_at: datetime
    deferred_until: datetime | None
    task_id: UUID | None
    tenant_id: str | None
    kind: str | None

    @property
    def can_be_replayed(self) -> bool:
        """Whether it is dead and came by an entry point that retries messages."""
        return self.state == "dead" and self.entry_point in RETRYING


@dataclass(frozen=True, slots=True)
class DeadLetter(DeadLetterLine):
    """A message exactly as received."""

    raw: bytes
    headers: dict[str, Any] | None


LINE_COLUMNS = ", ".join(each.name for each in fields(DeadLetterLine))
_COLUMNS = ", ".join(each.name for each in fields(DeadLetter))


_KEEP = """
INSERT INTO dead_letters AS known
    (entry_point, task_id, raw, reason, error, producer, headers, digest, tenant_id, kind, state,
     deferred_until)
VALUES (%(entry_point)s, %(task_id)s, %(raw)s, %(reason)s, %(error)s, %(producer)s, %(headers)s, %(digest)s,
        %(tenant_id)s, %(kind)s,
        CASE WHEN %(seconds)s::float8 IS NULL THEN 'dead' ELSE 'deferred' END,
        clock_timestamp() + %(seconds)s::float8 * interval '1 second')
ON CONFLICT (entry_point, digest) DO UPDATE
SET attempts = known.attempts + 1, last_seen_at = clock_timestamp(), reason = excluded.reason,
    error = excluded.error, state = excluded.state, deferred_until = excluded.deferred_until"""


def keep(
    connection: sa.Connection,
    *,
    entry_point: str,
    raw: bytes,
    reason: str,
    error: str,
    task_id: UUID | None = None,
    producer: str | None = None,
    headers: dict[str, Any] | None = None,
    tenant_id: str | None = None,
    kind: str | None = None,
    defer_seconds: float | None = None,
) -> None:
    """Store a message as received, with its error; with `defer_seconds` it is retried after that time.

    `tenant_id` and `kind` are the message's own claims.
    """
    as_json = orjson.dumps(headers, option=orjson.OPT_SORT_KEYS).decode() if headers is not None else None
    run(
        connection,
        _KEEP,
        entry_point=entry_point,
        task_id=task_id,
        raw=raw,
        reason=reason,
        error=error[:_ERROR_CHARACTERS].replace("\x00", ""),
        producer=producer,
        headers=as_json,
        tenant_id=tenant_id,
        kind=kind,
        digest=blake2b(raw + f"{as_json}{task_id}".encode(), digest_size=16).digest(),
        seconds=defer_seconds,
    )


_FOUND = f"""
SELECT {_COLUMNS} FROM dead_letters
WHERE (%(id)s::int8 IS NULL OR id = %(id)s) AND (%(state)s::text IS NULL OR state = %(state)s)
ORDER BY id DESC LIMIT %(limit)s"""  # noqa: S608  (constants only)


def find(
    connection: sa.Connection,
    *,
    dead_letter_id: int | None = None,
    state: str | None = None,
    limit: int = 100,
) -> list[DeadLetter]:
    """Return dead letters and deferred messages, the latest first."""
    return [DeadLetter(*row) for row in rows(connection, _FOUND, id=dead_letter_id, state=state, limit=limit)]


# Producers are few; index probes find them. Each one's messages come in the order of their times and arrival,
# and each may have an equal share, so those of a producer that is over its quota hide no others.
_DUE = f"""
WITH RECURSIVE found (producer) AS (
    (SELECT coalesce(producer, '') FROM dead_letters
     WHERE state = 'deferred' AND entry_point = %(entry_point)s
     ORDER BY entry_point, coalesce(producer, '') LIMIT 1)
    UNION ALL
    SELECT (SELECT coalesce(d.producer, '') FROM dead_letters d
            WHERE d.state = 'deferred' AND d.entry_point = %(entry_point)s
              AND coalesce(d.producer, '') > found.producer
            ORDER BY d.entry_point, coalesce(d.producer, '') LIMIT 1)
    FROM found WHERE found.producer IS NOT NULL
), producers AS MATERIALIZED (SELECT producer FROM found WHERE producer IS NOT NULL)
SELECT due.* FROM producers CROSS JOIN LATERAL (
    SELECT {_COLUMNS} FROM dead_letters d
    WHERE d.state = 'deferred' AND d.entry_point = %(entry_point)s
      AND coalesce(d.producer, '') = producers.producer AND d.deferred_until <= statement_timestamp()
    ORDER BY d.deferred_until, d.id LIMIT greatest(%(limit)s / (SELECT count(*) FROM producers), 1)
    FOR UPDATE SKIP LOCKED) due"""  # noqa: S608  (constants only)


_DEFERRED_LOCK = 7_205_759_404  # an advisory lock, which keeps deferred messages in order


def lock_deferred(connection: sa.Connection) -> bool:
    """Lock the retries of deferred messages until the transaction ends; False if another process has it."""
    return bool(rows(connection, "SELECT pg_try_advisory_xact_lock(%(key)s)", key=_DEFERRED_LOCK)[0][0])


def due(connection: sa.Connection, entry_point: str, limit: int) -> list[DeadLetter]:
    """Lock and return an entry point's due deferred messages until the transaction ends.

    Those of a producer are in order. The limit is shared by the producers, each of which may have one.
    """
    return [DeadLetter(*row) for row in rows(connection, _DUE, entry_point=entry_point, limit=limit)]


# The ranges and the order, here and in `_FULL`, make Postgres use the index that has them. Otherwise, if all
# pages were empty at the last vacuum, it reads all deferred messages through any index.
_WITH_DEFERRED = """
SELECT producer FROM unnest(%(producers)s::text[]) AS wanted (producer)
WHERE EXISTS (SELECT FROM dead_letters d
              WHERE d.state = 'deferred' AND (d.producer, d.reason) >= (wanted.producer, %(reason)s)
                AND (d.producer, d.reason) <= (wanted.producer, %(reason)s)
              ORDER BY d.producer, d.reason OFFSET 0)"""


def producers_with_deferred(connection: sa.Connection, producers: list[str], reason: str) -> set[str]:
    """Return the producers with messages deferred for this reason: their new messages queue behind those."""
    return {row[0] for row in rows(connection, _WITH_DEFERRED, producers=producers, reason=reason)}


_FULL = """
SELECT producer FROM unnest(%(producers)s::text[]) AS wanted (producer)
WHERE EXISTS (SELECT FROM dead_letters d
              WHERE d.state = 'deferred' AND d.producer >= wanted.producer AND d.producer <= wanted.producer
              ORDER BY d.producer, d.reason OFFSET %(most)s - 1)"""


def full_producers(connection: sa.Connection, producers: list[str], most: int) -> set[str]:
    """Return the producers with so many deferred messages that no more are deferred."""
    return {row[0] for row in rows(connection, _FULL, producers=producers, most=most)}


# `ctid` makes Postgres fetch each row by its place; by the key it reads all messages if there were none at
# the last vacuum. A row that has just been changed has a new place, and is left for the next time.
_DROP = """
DELETE FROM dead_letters USING (
    SELECT ctid FROM dead_letters
    WHERE entry_point = %(entry_point)s AND coalesce(producer, '') = %(producer)s AND state <> 'deferred'
    ORDER BY id DESC LIMIT %(most)s OFFSET %(kept)s FOR UPDATE SKIP LOCKED) AS old
WHERE dead_letters.ctid = old.ctid"""
_DROPPED_AT_ONCE = 1_000  # more than a batch adds


def drop_oldest(connection: sa.Connection, entry_point: str, producer: str | None, kept: int) -> int:
    """Delete the source's oldest dead letters, so that `kept` remain, and return how many are deleted."""
    return run(
        connection,
        _DROP,
        entry_point=entry_point,
        producer=producer or "",
        kept=kept,
        most=_DROPPED_AT_ONCE,
    )


_WITHDRAW = """
UPDATE dead_letters SET state = 'dead', deferred_until = NULL, reason = %(reason)s, error = %(error)s,
    last_seen_at = clock_timestamp()
WHERE task_id = %(task_id)s AND state = 'deferred' RETURNING coalesce(tenant_id, '')"""


def withdraw(connection: sa.Connection, task_id: UUID, reason: str, error: str) -> str | None:
    """Make the deferred message with this task id a dead letter.

    Return the tenant that it names, empty if it names none, or None if there is no such message.
    """
    found = rows(connection, _WITHDRAW, task_id=task_id, reason=reason, error=error)
    return found[0][0] if found else None


_REQUEST_REPLAY = """
UPDATE dead_letters SET state = 'deferred', deferred_until = clock_timestamp(), reason = %(replay)s
WHERE id = %(id)s AND tenant_id = %(tenant)s AND state = 'dead' AND entry_point = ANY (%(retrying)s::text[])
RETURNING id"""


def request_replay(connection: sa.Connection, tenant_id: str, dead_letter_id: int) -> bool:
    """Let the entry point of the tenant's dead letter retry it. Return False if it cannot be replayed.

    With the reason REPLAY, time that has passed does not count against the message.
    """
    values = {"tenant": tenant_id, "id": dead_letter_id, "replay": REPLAY, "retrying": list(RETRYING)}
    return bool(rows(connection, _REQUEST_REPLAY, **values))


def settle(connection: sa.Connection, dead_letter_id: int) -> None:
    """Mark a dead letter as replayed, because it has become a command."""
    run(
        connection,
        """UPDATE dead_letters SET state = 'replayed', deferred_until = NULL, last_seen_at = clock_timestamp()
           WHERE id = %(id)s""",
        id=dead_letter_id,
    )


def record_attempt(
    connection: sa.Connection, dead_letter_id: int, reason: str, error: str, defer_seconds: float | None
) -> None:
    """Record that the message is still not a command; with `defer_seconds` it is retried after that time."""
    run(
        connection,
        """UPDATE dead_letters
           SET attempts = attempts + 1, last_seen_at = clock_timestamp(),
               reason = %(reason)s, error = %(error)s,
               state = CASE WHEN %(seconds)s::float8 IS NULL THEN 'dead' ELSE 'deferred' END,
               deferred_until = clock_timestamp() + %(seconds)s::float8 * interval '1 second'
           WHERE id = %(id)s""",
        id=dead_letter_id,
        reason=reason,
        error=error[:_ERROR_CHARACTERS].replace("\x00", ""),
        seconds=defer_seconds,
    )


_TAKE_QUOTA = """
INSERT INTO producer_minutes AS known (producer, minute, events)
VALUES (%(producer)s, date_trunc('minute', clock_timestamp()), %(events)s)
ON CONFLICT (producer) DO UPDATE SET
    minute = excluded.minute,
    events = excluded.events + CASE WHEN known.minute = excluded.minute THEN known.events ELSE 0 END
WHERE known.minute <> excluded.minute OR known.events + excluded.events <= %(most)s"""


def take_quota(connection: sa.Connection, producer: str, events: int, most: int) -> bool:
    """Count events of a producer in this minute; if they exceed the quota, count none and return False.

    The first events of a minute always fit, even if they exceed the quota.
    """
    return bool(run(connection, _TAKE_QUOTA, producer=producer, events=events, most=most))
