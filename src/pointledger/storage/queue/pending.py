"""The pending commands: peeks at a lane, claims a batch and removes the commands that have outcomes."""

from collections import Counter
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import sqlalchemy as sa

from pointledger.storage.database import rows
from pointledger.storage.queue.callbacks import MARK_DUE
from pointledger.storage.queue.pauses import PAUSED

# Pending rows `p`, each with its journal row `j`. `OFFSET 0` makes Postgres look up one journal row for each
# pending row. Without it, Postgres sometimes reads all pending rows or the whole journal to find a few.
PENDING_COMMANDS = "pending p CROSS JOIN LATERAL (SELECT * FROM journal WHERE journal.id = p.id OFFSET 0) j"

# Another command of the user blocks this one: it fails and backs off, or it waits for an earlier command.
# `statement_timestamp` is the same for all rows. If the clock advanced during the read, a wait could end in
# between: the first commands would be left out and the later ones returned.
_BLOCKED = """
f.lane = p.lane AND f.tenant_id = j.tenant_id AND f.user_id = j.user_id
AND (f.next_attempt_at > statement_timestamp()
     OR (f.waits_until > statement_timestamp()
         AND EXISTS (SELECT FROM pending w WHERE w.lane = f.waits_lane AND w.seq = f.waits_seq)))"""

# The tenant is not paused, and no other command of the user blocks this one.
RUNNABLE = f"""
j.tenant_id <> ALL ({PAUSED}) AND NOT EXISTS (SELECT FROM failures f WHERE {_BLOCKED} OFFSET 0)"""

_NEXT = f"""
SELECT p.seq, j.id, j.version, j.kind, j.tenant_id, j.user_id, j.actor, j.idempotency_key,
       j.occurred_at, j.accepted_at, j.payload::text,
       EXISTS (SELECT FROM failures f WHERE f.id = p.id AND f.attempts > 0) AS has_failed,
       (SELECT attempts FROM lanes WHERE lane = %(lane)s) AS crashes,
       (SELECT alone_id FROM lanes WHERE lane = %(lane)s) AS quarantined
FROM {PENDING_COMMANDS}
WHERE p.lane = %(lane)s AND {RUNNABLE}
ORDER BY p.seq LIMIT %(limit)s"""  # noqa: S608  (constants only)


class QueuedCommand(NamedTuple):
    """A pending command as the journal has it."""

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
    has_failed: bool  # an attempt at this command failed before
    crashes: int  # process crashes on the lane's batches since the last successful one
    quarantined: UUID | None  # the only command in the batch of the last crash


# It also notes that a batch begins, as `lanes.note_attempt` does, which saves a transaction.
_PEEK = f"""
WITH waiting AS MATERIALIZED ({_NEXT}),
     tried AS (UPDATE lanes SET attempts = least(attempts + 1, 100)
               FROM set_config('synchronous_commit', 'off', true)
               WHERE lane = %(lane)s AND EXISTS (SELECT FROM waiting))
SELECT * FROM waiting ORDER BY seq"""  # noqa: S608  (constants only)


def peek(connection: sa.Connection, lane: int, limit: int) -> list[QueuedCommand]:
    """Return the lane's next runnable commands in order, skipping blocked users and paused tenants.

    If there are any, it notes on the lane's row that a batch begins; `crashes` does not count this batch. It
    locks no command, because journal rows do not change and `claim` checks again.
    """
    return [QueuedCommand(*row) for row in rows(connection, _PEEK, lane=lane, limit=limit)]


_CLAIM = f"""
SELECT p.seq
FROM {PENDING_COMMANDS}
WHERE p.lane = %(lane)s AND p.seq = ANY(%(seqs)s::int8[]) AND {RUNNABLE}"""  # noqa: S608  (constants only)

_CLAIM_ALL = """
SELECT seq, EXISTS (SELECT FROM failures WHERE lane = %(lane)s) AS failed,
       EXISTS (SELECT FROM paused_tenants) AS paused
FROM pending WHERE lane = %(lane)s AND seq = ANY(%(seqs)s::int8[])"""


class Claimed(NamedTuple):
    """The `seq` of each command that may run now; `failed`: the lane has unresolved failures."""

    seqs: set[int]
    failed: bool


def claim(connection: sa.Connection, lane: int, seqs: list[int]) -> Claimed:
    """Return which of these are still pending and runnable. The caller holds the lane's row lock, so no other
    worker applies them."""
    found = rows(connection, _CLAIM_ALL, lane=lane, seqs=seqs)
    if not found:
        return Claimed(set(), failed=False)
    _, failed, paused = found[0]
    if failed or paused:
        found = rows(connection, _CLAIM, lane=lane, seqs=seqs)
    return Claimed({row[0] for row in found}, failed)


_DONE = f"""
WITH gone AS (DELETE FROM pending WHERE lane = %(lane)s AND seq = ANY(%(seqs)s::int8[]) RETURNING id),
     well AS (UPDATE lanes SET attempts = 0, alone_id = NULL WHERE lane = %(lane)s),
     due AS ({MARK_DUE})
SELECT count(*) AS gone, EXISTS (SELECT FROM due) AS due,
       ARRAY(SELECT DISTINCT lane FROM failures
             WHERE waits_lane = %(lane)s AND waits_seq = ANY(%(seqs)s::int8[])) AS rings
FROM gone"""  # noqa: S608  (constants only)


class Finished(NamedTuple):
    """Whether callbacks are due now, and the lanes in which commands waited for the finished ones."""

    callbacks_due: bool
    lanes: set[int]


def done(connection: sa.Connection, lane: int, seqs: list[int]) -> Finished:
    """Remove commands that have outcomes, and clear the lane's crash count when the caller commits."""
    gone, are_due, lanes = rows(connection, _DONE, lane=lane, seqs=seqs)[0]
    assert gone == len(seqs), "a claimed command stays pending until this transaction ends"
    return Finished(are_due, set(lanes))


_WAITING_LANES = f"""
SELECT lane FROM lanes
WHERE EXISTS (SELECT FROM {PENDING_COMMANDS}
              WHERE p.lane = lanes.lane AND j.accepted_at < clock_timestamp() - %(age)s * interval '1 second'
                AND j.tenant_id <> ALL ({PAUSED}))
ORDER BY lane"""  # noqa: S608  (constants only)


def waiting_lanes(connection: sa.Connection, older_than_seconds: float) -> list[int]:
    """Return the lanes with a command that has been pending for so long and whose tenant is not paused."""
    return [row[0] for row in rows(connection, _WAITING_LANES, age=older_than_seconds)]


_FULL_LANES = f"""
SELECT lane FROM unnest(%(lanes)s::int2[]) AS wanted (lane)
WHERE EXISTS (SELECT FROM pending p
              WHERE p.lane = wanted.lane
                AND NOT EXISTS (SELECT FROM failures f JOIN journal j ON j.id = p.id
                                WHERE {_BLOCKED} OFFSET 0)
              OFFSET %(most)s)"""  # noqa: S608

_STILL_FULL_LANES = f"""
SELECT lane FROM unnest(%(lanes)s::int2[]) AS wanted (lane)
WHERE EXISTS (SELECT FROM {PENDING_COMMANDS}
              WHERE p.lane = wanted.lane AND {RUNNABLE}
              OFFSET %(most)s)"""  # noqa: S608


def full_lanes(connection: sa.Connection, lanes: list[int], most: int) -> list[int]:
    """Return those of the lanes that have more than `most` runnable commands."""
    full = [row[0] for row in rows(connection, _FULL_LANES, lanes=lanes, most=most)]
    if not full:
        return full
    return [row[0] for row in rows(connection, _STILL_FULL_LANES, lanes=full, most=most)]


_LANES_OF_WAITING = f"""
SELECT p.lane, count(*) FROM journal j JOIN pending p ON p.lane = j.lane AND p.seq = j.seq
WHERE j.id = ANY(%(ids)s::uuid[]) AND {RUNNABLE}
GROUP BY p.lane"""  # noqa: S608  (constants only)


def lanes_of_waiting(connection: sa.Connection, ids: list[UUID]) -> Counter[int]:
    """Count the runnable ones of these commands per lane."""
    return Counter(dict(tuple(row) for row in rows(connection, _LANES_OF_WAITING, ids=ids)))
