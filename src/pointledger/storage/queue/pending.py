"""The pending commands: claims a batch and removes the commands that have outcomes.

`peek.py` reads the next commands of lanes.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple
from uuid import UUID

import sqlalchemy as sa

from pointledger.storage.database import rows
from pointledger.storage.pipelines import send
from pointledger.storage.queue.callbacks import MARK_DUE
from pointledger.storage.queue.pauses import PAUSED

# Pending rows `p`, each with its journal row `j`. `OFFSET 0` makes Postgres look up one journal row for each
# pending row. Without it, Postgres sometimes reads all pending rows or the whole journal to find a few.
_ITS_JOURNAL_ROW = "CROSS JOIN LATERAL (SELECT * FROM journal WHERE journal.id = p.id OFFSET 0) j"
PENDING_COMMANDS = f"pending p {_ITS_JOURNAL_ROW}"


def at_place(lane: str, seq: str) -> str:
    """Return the SELECT that looks up the pending row at a place, given the SQL of its lane and `seq`.

    If all pages were empty at the last vacuum, Postgres believes that no command is pending, however many
    come. Then any index is as good to it. Only that of the primary key has a range of a lane in this order;
    in that of the queues it would search each queue of the lane, or before version 18 read the whole lane.
    `OFFSET 0` keeps the order in an EXISTS.
    """
    return f"""
SELECT here.lane, here.seq, here.id, here.ctid FROM pending here
WHERE here.lane = {lane} AND here.seq >= {seq} AND here.seq <= {seq}
ORDER BY here.seq LIMIT 1 OFFSET 0"""  # noqa: S608  (constants only)


# Another command of the user blocks this one: it fails and backs off, or it waits for an earlier command.
# `statement_timestamp` is the same for all rows. If the clock advanced during the read, a wait could end in
# between: the first commands would be left out and the later ones returned.
_BLOCKED = f"""
f.lane = p.lane AND f.tenant_id = j.tenant_id AND f.user_id = j.user_id
AND (f.next_attempt_at > statement_timestamp()
     OR (f.waits_until > statement_timestamp()
         AND EXISTS ({at_place("f.waits_lane", "f.waits_seq")})))"""

# The tenant is not paused, and no other command of the user blocks this one.
RUNNABLE = f"""
j.tenant_id <> ALL ({PAUSED}) AND NOT EXISTS (SELECT FROM failures f WHERE {_BLOCKED} OFFSET 0)"""

# Hashes only find candidates; the journal's row decides. `cost` is the work in units of an ordinary
# command. A lot of an import costs about as much (measured).
COLUMNS = "lane, seq, id, user_hash, recipient_hash, tenant_hash, cost"
_COLUMNS_OF = """
hashtext({line}.tenant_id || ' ' || {line}.user_id),
CASE {line}.kind
    WHEN 'transfer' THEN hashtext({line}.tenant_id || ' ' || ({line}.payload ->> 'to_user_id')) END,
hashtextextended({line}.tenant_id, 0),
CASE {line}.kind WHEN 'import-opening-balance'
    THEN greatest(json_array_length({line}.payload::json -> 'lots'), 1) ELSE 1 END"""


def columns_of(line: str) -> str:
    """Return the SQL of the last four of `COLUMNS`, given the name of a journal row in the statement."""
    return _COLUMNS_OF.format(line=line)


# A lane has a queue for each tenant. Index probes find the queues, so the cost grows with their number and
# not with their length. Queues of paused tenants are skipped as a whole.
UNPAUSED = "tenant_hash <> ALL (ARRAY(SELECT hashtextextended(tenant_id, 0) FROM paused_tenants))"

QUEUES = """
queues (lane, tenant_hash) AS (
    (SELECT p.lane, p.tenant_hash FROM pending p ORDER BY p.lane, p.tenant_hash LIMIT 1)
    UNION ALL
    SELECT next.lane, next.tenant_hash
    FROM queues CROSS JOIN LATERAL (
        SELECT p.lane, p.tenant_hash FROM pending p
        WHERE (p.lane, p.tenant_hash) > (queues.lane, queues.tenant_hash)
        ORDER BY p.lane, p.tenant_hash LIMIT 1) AS next)"""

# The range in place of an equality keeps Postgres from reading the lane in the order of `seq` until rows of
# the queue turn up.
OF_QUEUE = "p.tenant_hash >= {queue}.tenant_hash AND p.tenant_hash <= {queue}.tenant_hash"

# The pending rows of a batch's commands, by lane and `seq`.
_EACH_WANTED = f"""
unnest(%(lanes)b::int2[], %(seqs)b::int8[]) AS wanted (lane, seq)
CROSS JOIN LATERAL ({at_place("wanted.lane", "wanted.seq")}) AS p"""

_CLAIM = f"SELECT p.seq FROM {_EACH_WANTED} {_ITS_JOURNAL_ROW} WHERE {RUNNABLE}"  # noqa: S608  (constants only)

# A large batch is of one lane, where Postgres needs half to two thirds of the time (measured).
_OF_ONE_LANE = "p.lane = (%(lanes)b::int2[])[1] AND p.seq = ANY(%(seqs)b::int8[])"

_CLAIM_ALL = """
SELECT p.seq, EXISTS (SELECT FROM failures WHERE lane = ANY(%(lanes)b::int2[])) AS failed,
       EXISTS (SELECT FROM paused_tenants) AS paused
FROM {claimed}"""
_CLAIM_ALL_IN_ONE_LANE = _CLAIM_ALL.format(claimed=f"pending p WHERE {_OF_ONE_LANE}")
_CLAIM_ALL_IN_MANY_LANES = _CLAIM_ALL.format(claimed=_EACH_WANTED)


class Claimed(NamedTuple):
    """The `seq` of each command that may run now; `failed`: the lanes have unresolved failures."""

    seqs: set[int]
    failed: bool


def claim(connection: sa.Connection, lanes: Sequence[int], seqs: Sequence[int]) -> Callable[[], Claimed]:
    """Ask which of these are still pending and runnable, and return the function that waits for the answer.

    The caller holds their lanes' row locks, so no other worker applies them. `lanes` has the lane of each
    `seq`.
    """
    sql = _CLAIM_ALL_IN_ONE_LANE if len(set(lanes)) == 1 else _CLAIM_ALL_IN_MANY_LANES
    sent = send(connection, sql, lanes=lanes, seqs=seqs)

    def claimed() -> Claimed:
        found = sent.fetchall()
        if not found:
            return Claimed(set(), failed=False)
        _, failed, paused = found[0]
        if failed or paused:
            found = rows(connection, _CLAIM, lanes=lanes, seqs=seqs)
        return Claimed({row[0] for row in found}, failed)

    return claimed


_DONE = f"""
WITH gone AS ({{gone}} RETURNING p.id),
     well AS (UPDATE lanes SET attempts = 0, alone_id = NULL WHERE lane = ANY(%(locked)b::int2[])),
     due AS ({MARK_DUE})
SELECT count(*) AS gone, EXISTS (SELECT FROM due) AS due,
       ARRAY(SELECT DISTINCT lane FROM failures
             WHERE waits_lane = ANY(%(lanes)b::int2[]) AND waits_seq = ANY(%(seqs)b::int8[])) AS rings
FROM gone"""  # noqa: S608  (constants only)
_DONE_IN_ONE_LANE = _DONE.format(gone=f"DELETE FROM pending p WHERE {_OF_ONE_LANE}")  # noqa: S608
_DONE_IN_MANY_LANES = _DONE.format(
    # No one changes these rows meanwhile, because their lanes are locked.
    gone=f"DELETE FROM pending p WHERE p.ctid = ANY (ARRAY(SELECT p.ctid FROM {_EACH_WANTED}))"  # noqa: S608
)


class Finished(NamedTuple):
    """Whether callbacks are due now, and the lanes in which commands waited for the finished ones."""

    callbacks_due: bool
    lanes: set[int]


def done(
    connection: sa.Connection, lanes: Sequence[int], seqs: Sequence[int], locked: Sequence[int]
) -> Callable[[], Finished]:
    """Remove commands that have outcomes, and clear the crash counts of the batch's lanes when the caller
    commits.

    `lanes` has the lane of each `seq`. `locked`: the lanes of the batch, also those in which it has ended no
    command. Return the function that waits for the result and checks it.
    """
    sql = _DONE_IN_ONE_LANE if len(set(lanes)) == 1 else _DONE_IN_MANY_LANES
    sent = send(connection, sql, lanes=lanes, seqs=seqs, locked=locked)

    def finished() -> Finished:
        ((gone, are_due, waiting),) = sent.fetchall()
        assert gone == len(seqs), "a claimed command stays pending until this transaction ends"
        return Finished(are_due, set(waiting))

    return finished


_WAITING_LANES = f"""
WITH RECURSIVE {QUEUES}
SELECT DISTINCT queues.lane
FROM queues CROSS JOIN LATERAL (
    SELECT j.tenant_id, j.accepted_at FROM {PENDING_COMMANDS}
    WHERE p.lane = queues.lane AND {OF_QUEUE.format(queue="queues")}
    ORDER BY p.tenant_hash, p.seq LIMIT 1) AS first
WHERE {UNPAUSED} AND first.accepted_at < clock_timestamp() - %(age)s * interval '1 second'
ORDER BY queues.lane"""  # noqa: S608  (constants only)


def waiting_lanes(connection: sa.Connection, older_than_seconds: float) -> list[int]:
    """Return the lanes with a command that has been pending for so long and whose tenant is not paused."""
    return [row[0] for row in rows(connection, _WAITING_LANES, age=older_than_seconds)]


_FULL_LANES = """
SELECT lane FROM unnest(%(lanes)s::int2[]) AS wanted (lane)
WHERE EXISTS (SELECT FROM {rows}
              WHERE p.lane = wanted.lane AND {queue} AND {runnable}
              OFFSET %(most)s)"""

# Begins with the lane's failures, so that a lane without any needs no journal row.
_NOT_BLOCKED = f"""
NOT EXISTS (
    SELECT FROM (SELECT * FROM failures WHERE failures.lane = p.lane
                 AND (next_attempt_at IS NOT NULL OR waits_until IS NOT NULL) OFFSET 0) f
    CROSS JOIN LATERAL (SELECT * FROM journal WHERE journal.id = p.id AND f.lane = p.lane OFFSET 0) j
    WHERE {_BLOCKED} OFFSET 0)"""  # noqa: S608  (constants only)

_ALL_QUEUES = "true"
_ONE_QUEUE = """
p.tenant_hash >= hashtextextended(%(tenant)s, 0) AND p.tenant_hash <= hashtextextended(%(tenant)s, 0)"""


def full_lanes(
    connection: sa.Connection, lanes: list[int], most: int, tenant_id: str | None = None
) -> list[int]:
    """Return those of the lanes that have more than `most` runnable commands, of all tenants or of one."""
    queue = _ALL_QUEUES if tenant_id is None else _ONE_QUEUE
    values = {"most": most} | ({} if tenant_id is None else {"tenant": tenant_id})
    cheap = _FULL_LANES.format(rows="pending p", queue=queue, runnable=_NOT_BLOCKED)
    full = [row[0] for row in rows(connection, cheap, lanes=lanes, **values)]
    if not full:
        return full
    exact = _FULL_LANES.format(rows=PENDING_COMMANDS, queue=queue, runnable=RUNNABLE)
    return [row[0] for row in rows(connection, exact, lanes=full, **values)]


_LANES_OF_WAITING = f"""
SELECT p.lane, count(*) FROM journal j CROSS JOIN LATERAL ({at_place("j.lane", "j.seq")}) AS p
WHERE j.id = ANY(%(ids)s::uuid[]) AND {RUNNABLE}
GROUP BY p.lane"""  # noqa: S608  (constants only)


def lanes_of_waiting(connection: sa.Connection, ids: list[UUID]) -> Counter[int]:
    """Count the runnable ones of these commands per lane."""
    return Counter(dict(tuple(row) for row in rows(connection, _LANES_OF_WAITING, ids=ids)))
