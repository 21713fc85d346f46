"""The journal: what was accepted, what waits, what failed."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import sqlalchemy as sa

from pointledger.domain.commands.records import Line
from pointledger.storage.database import AnyConnection, execute, rows
from pointledger.storage.queue.callbacks import MARK_DUE
from pointledger.storage.queue.pauses import PAUSED
from pointledger.storage.queue.precedence import HASHES

# ------------------------------------------------------------------------------------------- accepting


_ACCEPT = f"""
WITH numbered AS MATERIALIZED (
    -- the order of the input is the order of application
    SELECT nextval('journal_seq') AS seq, line.*
    FROM (SELECT set_config('lock_timeout', '500ms', true)) AS patience,
         unnest(%(ids)b::uuid[], %(lanes)b::int2[], %(versions)b::int2[], %(occurred)b::timestamptz[],
                %(fingerprints)b::bytea[], %(tenants)b::text[], %(users)b::text[], %(actors)b::text[],
                %(kinds)b::text[], %(keys)b::text[], %(payloads)b::text[], %(extensions)b::text[])
         WITH ORDINALITY AS line (id, lane, version, occurred_at, fingerprint, tenant_id, user_id, actor,
                                  kind, idempotency_key, payload, extensions, ordinal)
    ORDER BY ordinal
), accepted AS (
    -- sorted by key: two accepts that overlap must not wait for each other in a circle; of two in one call
    -- the first is the command, the other its repetition
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
INSERT INTO pending (lane, seq, id, user_hash, recipient_hash)
SELECT lane, seq, id, {HASHES.format(line="accepted")} FROM accepted"""  # noqa: S608  (ours)


def accept(connection: AnyConnection, lines: Sequence[Line], lane_count: int) -> int:
    """Writes commands to the journal and to what waits, in one statement; how many were new.

    None, where the database is laid out for another number of lanes: they would stand where nobody looks.
    For somebody's open transaction with one of the keys it waits half a second, and so does what follows in
    the connection's transaction.
    """
    values = {
        "ids": [line.id for line in lines],
        "lanes": [line.lane for line in lines],
        "versions": [line.version for line in lines],
        "occurred": [line.occurred_at for line in lines],
        "fingerprints": [line.fingerprint for line in lines],
        "tenants": [line.tenant_id for line in lines],
        "users": [line.user_id for line in lines],
        "actors": [line.actor for line in lines],
        "kinds": [line.kind for line in lines],
        "keys": [line.key for line in lines],
        "payloads": [line.payload for line in lines],
        "extensions": [line.extensions for line in lines],
        "lane_count": lane_count,
    }
    return int(execute(connection, _ACCEPT, values).rowcount)


def lane_count(connection: AnyConnection) -> int:
    """How many lanes the database is laid out for."""
    return int(execute(connection, "SELECT count(*) FROM lanes").fetchone()[0])


_FIRST_OF_EACH = """
-- of a command that was stripped of an erased person nobody can tell any more what it asked for: a repetition
-- of its id is believed, and answered
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


def firsts(connection: AnyConnection, lines: Sequence[Line]) -> list[tuple[int, UUID, bool]]:
    """For each line, the commands that hold its id or its key: (index, id, same content).

    A statement of its own, after `accept`: only so it sees what another transaction has just committed.
    """
    values = {
        "ids": [line.id for line in lines],
        "fingerprints": [line.fingerprint for line in lines],
        "tenants": [line.tenant_id for line in lines],
        "actors": [line.actor for line in lines],
        "kinds": [line.kind for line in lines],
        "keys": [line.key for line in lines],
    }
    return [tuple(row) for row in execute(connection, _FIRST_OF_EACH, values).fetchall()]


_ALIAS = """
INSERT INTO aliases (id, journal_id)
SELECT id, journal_id FROM unnest(%(ids)s::uuid[], %(firsts)s::uuid[]) AS alias (id, journal_id)
ORDER BY id ON CONFLICT DO NOTHING"""


def add_aliases(connection: AnyConnection, aliases: dict[UUID, UUID]) -> None:
    """Lets each id answer with the outcome of the command that came first."""
    execute(connection, _ALIAS, {"ids": list(aliases), "firsts": list(aliases.values())})


# ------------------------------------------------------------------------------------------- what waits

# What waits, `p`, each with its line `j`. `OFFSET 0`: Postgres goes from one to the other. Left to itself
# it at times reads all that waits, or the whole journal, for the first few.
WAITING_LINES = "pending p CROSS JOIN LATERAL (SELECT * FROM journal WHERE journal.id = p.id OFFSET 0) j"

# Its user waits for no failing command, and for none that was accepted before. `statement_timestamp`, one
# moment for all rows: with a clock that goes on while they are read, a user whose wait ends meanwhile would
# keep the first commands back and let the later ones go.
_HELD = """
f.lane = p.lane AND f.tenant_id = j.tenant_id AND f.user_id = j.user_id
AND (f.next_attempt_at > statement_timestamp()
     OR (f.waits_until > statement_timestamp()
         AND EXISTS (SELECT FROM pending w WHERE w.lane = f.waits_lane AND w.seq = f.waits_seq)))"""

# Nobody has paused its tenant, and its user may go on.
MAY_GO = f"""
j.tenant_id <> ALL ({PAUSED}) AND NOT EXISTS (SELECT FROM failures f WHERE {_HELD} OFFSET 0)"""

_NEXT = f"""
SELECT p.seq, j.id, j.version, j.kind, j.tenant_id, j.user_id, j.actor, j.idempotency_key,
       j.occurred_at, j.accepted_at, j.payload::text,
       EXISTS (SELECT FROM failures f WHERE f.id = p.id AND f.attempts > 0) AS has_failed,
       (SELECT tries FROM lanes WHERE lane = %(lane)s) AS deaths,
       (SELECT alone_id FROM lanes WHERE lane = %(lane)s) AS blamed
FROM {WAITING_LINES}
WHERE p.lane = %(lane)s AND {MAY_GO}
ORDER BY p.seq LIMIT %(limit)s"""  # noqa: S608  (ours)


class Waiting(NamedTuple):
    """A command that waits, as it stands in the journal."""

    seq: int
    id: UUID
    version: int
    kind: str
    tenant_id: str
    user_id: str
    actor: str
    idempotency_key: str | None
    occurred_at: datetime | None
    accepted_at: datetime
    payload: str
    has_failed: bool  # it was charged before
    deaths: int  # of processes over the lane's batches, since the last that ended well
    blamed: UUID | None  # the command that the last of them worked on alone


# With it, that a batch begins (`lanes.begin_try`): in one statement it costs no transaction of its own.
_PEEK = f"""
WITH waiting AS MATERIALIZED ({_NEXT}),
     tried AS (UPDATE lanes SET tries = least(tries + 1, 100)
               FROM set_config('synchronous_commit', 'off', true)
               WHERE lane = %(lane)s AND EXISTS (SELECT FROM waiting))
SELECT * FROM waiting ORDER BY seq"""  # noqa: S608  (ours)


def peek(connection: sa.Connection, lane: int, limit: int) -> list[Waiting]:
    """The lane's next commands in order, without those whose user must wait for a failing one and those of
    paused tenants. If there are any, notes on the lane's row that a batch begins; `deaths` is without it.

    Holds nothing: the journal does not change, and `claim` looks again.
    """
    return [Waiting(*row) for row in rows(connection, _PEEK, lane=lane, limit=limit)]


_CLAIM = f"""
SELECT p.seq
FROM {WAITING_LINES}
WHERE p.lane = %(lane)s AND p.seq = ANY(%(seqs)s::int8[]) AND {MAY_GO}"""  # noqa: S608  (ours)

_CLAIM_ALL = """
SELECT seq, EXISTS (SELECT FROM failures WHERE lane = %(lane)s) AS failed,
       EXISTS (SELECT FROM paused_tenants) AS paused
FROM pending WHERE lane = %(lane)s AND seq = ANY(%(seqs)s::int8[])"""


class Claimed(NamedTuple):
    """Which commands may go now, by their place in the order; and whether any of the lane has failed before
    and is not done with."""

    seqs: set[int]
    failed: bool


def claim(connection: sa.Connection, lane: int, seqs: list[int]) -> Claimed:
    """Which of these still wait and may go. The lane's row is held, so nobody else applies them."""
    found = rows(connection, _CLAIM_ALL, lane=lane, seqs=seqs)
    if not found:
        return Claimed(set(), failed=False)
    _, failed, paused = found[0]
    if failed or paused:
        found = rows(connection, _CLAIM, lane=lane, seqs=seqs)
    return Claimed({row[0] for row in found}, failed)


_DONE = f"""
WITH gone AS (DELETE FROM pending WHERE lane = %(lane)s AND seq = ANY(%(seqs)s::int8[]) RETURNING id),
     well AS (UPDATE lanes SET tries = 0, alone_id = NULL WHERE lane = %(lane)s),
     due AS ({MARK_DUE})
SELECT count(*) AS gone, EXISTS (SELECT FROM due) AS due,
       ARRAY(SELECT DISTINCT lane FROM failures
             WHERE waits_lane = %(lane)s AND waits_seq = ANY(%(seqs)s::int8[])) AS rings
FROM gone"""  # noqa: S608  (ours)


class Done(NamedTuple):
    """What the end of commands sets free: whether callbacks are due now; lanes in which something waited for
    them."""

    callbacks_due: bool
    lanes: set[int]


def done(connection: sa.Connection, lane: int, seqs: list[int]) -> Done:
    """What has an outcome waits no more; and the lane's try has ended well, with the commit that follows."""
    gone, are_due, lanes = rows(connection, _DONE, lane=lane, seqs=seqs)[0]
    assert gone == len(seqs), "a claimed command waits until this transaction ends"
    return Done(are_due, set(lanes))


_WAITING_LANES = f"""
SELECT lane FROM lanes
WHERE EXISTS (SELECT FROM {WAITING_LINES}
              WHERE p.lane = lanes.lane AND j.accepted_at < clock_timestamp() - %(age)s * interval '1 second'
                AND j.tenant_id <> ALL ({PAUSED}))
ORDER BY lane"""  # noqa: S608  (ours)


def waiting_lanes(connection: sa.Connection, older_than_seconds: float) -> list[int]:
    """Lanes in which something has waited for so long that nobody has paused."""
    return [row[0] for row in rows(connection, _WAITING_LANES, age=older_than_seconds)]


_FULL_LANES = f"""
SELECT lane FROM unnest(%(lanes)s::int2[]) AS wanted (lane)
WHERE EXISTS (SELECT FROM pending p
              WHERE p.lane = wanted.lane
                AND NOT EXISTS (SELECT FROM failures f JOIN journal j ON j.id = p.id
                                WHERE {_HELD} OFFSET 0)
              OFFSET %(most)s)"""  # noqa: S608

_STILL_FULL_LANES = f"""
SELECT lane FROM unnest(%(lanes)s::int2[]) AS wanted (lane)
WHERE EXISTS (SELECT FROM {WAITING_LINES}
              WHERE p.lane = wanted.lane AND {MAY_GO}
              OFFSET %(most)s)"""  # noqa: S608


def full_lanes(connection: sa.Connection, lanes: list[int], most: int) -> list[int]:
    """Those of the lanes in which more than so many commands wait that may go: paused tenants' may not."""
    full = [row[0] for row in rows(connection, _FULL_LANES, lanes=lanes, most=most)]
    if not full:
        return full
    return [row[0] for row in rows(connection, _STILL_FULL_LANES, lanes=full, most=most)]


_LANES_OF_WAITING = f"""
SELECT p.lane, count(*) FROM journal j JOIN pending p ON p.lane = j.lane AND p.seq = j.seq
WHERE j.id = ANY(%(ids)s::uuid[]) AND {MAY_GO}
GROUP BY p.lane"""  # noqa: S608  (ours)


def lanes_of_waiting(connection: sa.Connection, ids: list[UUID]) -> Counter[int]:
    """How many of these commands wait in each lane that may go."""
    return Counter(dict(tuple(row) for row in rows(connection, _LANES_OF_WAITING, ids=ids)))


def lane_of(connection: sa.Connection, command_id: UUID) -> int | None:
    """The lane a command was accepted into, also by its alias."""
    found = rows(
        connection,
        """SELECT lane FROM journal
           WHERE id = coalesce((SELECT journal_id FROM aliases WHERE id = %(id)s), %(id)s)""",
        id=command_id,
    )
    return found[0][0] if found else None


def tenant_of(connection: sa.Connection, command_id: UUID) -> str:
    """Whose command it is."""
    tenant_id: str = rows(connection, "SELECT tenant_id FROM journal WHERE id = %(id)s", id=command_id)[0][0]
    return tenant_id


def first_id(connection: sa.Connection, command_id: UUID) -> UUID:
    """The id under which the journal has a command; its own, or the one that an alias leads to."""
    found = rows(connection, "SELECT journal_id FROM aliases WHERE id = %(id)s", id=command_id)
    return found[0][0] if found else command_id
