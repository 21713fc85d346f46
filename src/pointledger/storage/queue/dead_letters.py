"""Letters: what came through a door and was no command. A dead one waits for a person, a held one for its
moment; each is kept as it came, once, however often it comes."""

from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from typing import Any
from uuid import UUID

import orjson
import sqlalchemy as sa

from pointledger.storage.database import rows, run

_ERROR_CHARACTERS = 2_000  # enough to tell, too little to fill a disk


@dataclass(frozen=True, slots=True)
class Letter:
    """What came, and what was wrong with it. `producer` is who it says it is from, unless `reason` is that it
    is not signed."""

    id: int
    door: str
    state: str
    producer: str | None
    reason: str
    error: str
    attempts: int
    received_at: datetime
    last_seen_at: datetime
    held_until: datetime | None
    task_id: UUID | None
    raw: bytes
    headers: dict[str, Any] | None
    tenant_id: str | None = None
    kind: str | None = None


_KEEP = """
INSERT INTO dead_letters AS known
    (door, task_id, raw, reason, error, producer, headers, digest, tenant_id, kind, state, held_until)
VALUES (%(door)s, %(task_id)s, %(raw)s, %(reason)s, %(error)s, %(producer)s, %(headers)s, %(digest)s,
        %(tenant_id)s, %(kind)s,
        CASE WHEN %(held)s::float8 IS NULL THEN 'dead' ELSE 'held' END,
        clock_timestamp() + %(held)s::float8 * interval '1 second')
ON CONFLICT (door, digest) DO UPDATE
SET attempts = known.attempts + 1, last_seen_at = clock_timestamp(), reason = excluded.reason,
    error = excluded.error, state = excluded.state, held_until = excluded.held_until"""


def keep(
    connection: sa.Connection,
    *,
    door: str,
    raw: bytes,
    reason: str,
    error: str,
    task_id: UUID | None = None,
    producer: str | None = None,
    headers: dict[str, Any] | None = None,
    tenant_id: str | None = None,
    kind: str | None = None,
    held_seconds: float | None = None,
) -> None:
    """Keeps what came as it came, with what was wrong with it; `held_seconds`: it is tried again then.
    `tenant_id` and `kind` are what it says of itself."""
    told = orjson.dumps(headers, option=orjson.OPT_SORT_KEYS).decode() if headers is not None else None
    run(
        connection,
        _KEEP,
        door=door,
        task_id=task_id,
        raw=raw,
        reason=reason,
        error=error[:_ERROR_CHARACTERS].replace("\x00", ""),
        producer=producer,
        headers=told,
        tenant_id=tenant_id,
        kind=kind,
        digest=blake2b(raw + f"{told}{task_id}".encode(), digest_size=16).digest(),
        held=held_seconds,
    )


_COLUMNS = (
    "id, door, state, producer, reason, error, attempts, received_at, last_seen_at, held_until, task_id, "
    "raw, headers, tenant_id, kind"
)

_FOUND = f"""
SELECT {_COLUMNS} FROM dead_letters
WHERE (%(id)s::int8 IS NULL OR id = %(id)s) AND (%(state)s::text IS NULL OR state = %(state)s)
ORDER BY id DESC LIMIT %(limit)s"""  # noqa: S608  (names of ours)


def letters(
    connection: sa.Connection, *, letter_id: int | None = None, state: str | None = None, limit: int = 100
) -> list[Letter]:
    """Letters, the latest first."""
    return [Letter(*row) for row in rows(connection, _FOUND, id=letter_id, state=state, limit=limit)]


_HELD = f"""
SELECT {_COLUMNS} FROM dead_letters
WHERE state = 'held' AND door = %(door)s AND held_until <= statement_timestamp()
ORDER BY id LIMIT %(limit)s FOR UPDATE SKIP LOCKED"""  # noqa: S608  (names of ours)


_ONE_AT_A_TIME = 7_205_759_404  # an advisory lock of ours: held letters keep their order


def one_at_a_time(connection: sa.Connection) -> bool:
    """Whether nobody else tries held events now; and nobody will, until the transaction ends."""
    return bool(rows(connection, "SELECT pg_try_advisory_xact_lock(%(key)s)", key=_ONE_AT_A_TIME)[0][0])


def due(connection: sa.Connection, door: str, limit: int) -> list[Letter]:
    """A door's held letters whose moment has come, in the order of their coming; ours until the transaction
    ends."""
    return [Letter(*row) for row in rows(connection, _HELD, door=door, limit=limit)]


def holds_back(connection: sa.Connection, producers: list[str], reason: str) -> set[str]:
    """Those of the producers of whom something is held for this reason: what they send stands behind it."""
    found = rows(
        connection,
        """SELECT DISTINCT producer FROM dead_letters
           WHERE state = 'held' AND reason = %(reason)s AND producer = ANY(%(producers)s)""",
        reason=reason,
        producers=producers,
    )
    return {row[0] for row in found}


_WITHDRAW = """
UPDATE dead_letters SET state = 'dead', held_until = NULL, reason = %(reason)s, error = %(error)s,
    last_seen_at = clock_timestamp()
WHERE task_id = %(task_id)s AND state = 'held' RETURNING coalesce(tenant_id, '')"""


def withdraw(connection: sa.Connection, task_id: UUID, reason: str, error: str) -> str | None:
    """A held letter of this task id is to become no command any more; the tenant that it names. None: there
    is no such letter."""
    found = rows(connection, _WITHDRAW, task_id=task_id, reason=reason, error=error)
    return found[0][0] if found else None


def settle(connection: sa.Connection, letter_id: int) -> None:
    """It has become a command after all."""
    run(
        connection,
        """UPDATE dead_letters SET state = 'replayed', held_until = NULL, last_seen_at = clock_timestamp()
           WHERE id = %(id)s""",
        id=letter_id,
    )


def try_again(
    connection: sa.Connection, letter_id: int, reason: str, error: str, held_seconds: float | None
) -> None:
    """It is still none."""
    run(
        connection,
        """UPDATE dead_letters
           SET attempts = attempts + 1, last_seen_at = clock_timestamp(),
               reason = %(reason)s, error = %(error)s,
               state = CASE WHEN %(held)s::float8 IS NULL THEN 'dead' ELSE 'held' END,
               held_until = clock_timestamp() + %(held)s::float8 * interval '1 second'
           WHERE id = %(id)s""",
        id=letter_id,
        reason=reason,
        error=error[:_ERROR_CHARACTERS].replace("\x00", ""),
        held=held_seconds,
    )


_SPEND = """
INSERT INTO producer_minutes AS known (producer, minute, events)
VALUES (%(producer)s, date_trunc('minute', clock_timestamp()), %(events)s)
ON CONFLICT (producer) DO UPDATE SET
    minute = excluded.minute,
    events = excluded.events + CASE WHEN known.minute = excluded.minute THEN known.events ELSE 0 END
WHERE known.minute <> excluded.minute OR known.events + excluded.events <= %(most)s"""


def take_quota(connection: sa.Connection, producer: str, events: int, most: int) -> bool:
    """Counts so many events of a producer in this minute; False, and nothing counted, if they are too many.
    More than fit a whole minute fit an empty one."""
    return bool(run(connection, _SPEND, producer=producer, events=events, most=most))
