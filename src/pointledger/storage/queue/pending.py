"""The pending commands: peeks at a lane, claims a batch and removes the commands that have outcomes."""

from collections import Counter
from datetime import datetime
from operator import itemgetter
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

_QUEUES_OF_LANE = f"""
queues (tenant_hash) AS (
    (SELECT p.tenant_hash FROM pending p
     WHERE p.lane = %(lane)s AND p.tenant_hash > %(after)s ORDER BY p.tenant_hash LIMIT 1)
    UNION ALL
    SELECT (SELECT p.tenant_hash FROM pending p
            WHERE p.lane = %(lane)s AND p.tenant_hash > queues.tenant_hash ORDER BY p.tenant_hash LIMIT 1)
    FROM queues WHERE queues.tenant_hash IS NOT NULL
), chosen AS MATERIALIZED (
    SELECT tenant_hash FROM queues
    WHERE tenant_hash IS NOT NULL AND {UNPAUSED}
    LIMIT %(queues)s)"""  # noqa: S608  (constants only)

# A queue offers at most twice its share, so the statement reads at most two batches.
_OFFER = f"""
SELECT p.seq, p.tenant_hash, p.cost, j.id, j.version, j.kind, j.tenant_id, j.user_id, j.actor,
       j.idempotency_key, j.occurred_at, j.accepted_at, j.payload
FROM {PENDING_COMMANDS}
WHERE p.lane = %(lane)s AND {OF_QUEUE.format(queue="chosen")} AND {RUNNABLE}
ORDER BY p.tenant_hash, p.seq
LIMIT (SELECT least(%(limit)s, greatest(%(limit)s * 2 / count(*), 1)) FROM chosen)"""  # noqa: S608


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
    tenant_hash: int
    cost: int


# It also notes that a batch begins, as `lanes.note_attempt` does, which saves a transaction.
_PEEK = f"""
WITH RECURSIVE {_QUEUES_OF_LANE},
     offered AS MATERIALIZED (SELECT one.* FROM chosen CROSS JOIN LATERAL ({_OFFER}) AS one),
     tried AS (UPDATE lanes SET attempts = least(attempts + 1, 100)
               FROM set_config('synchronous_commit', 'off', true)
               WHERE lane = %(lane)s AND EXISTS (SELECT FROM offered))
SELECT seq, id, version, kind, tenant_id, user_id, actor, idempotency_key, occurred_at, accepted_at,
       payload::text,
       EXISTS (SELECT FROM failures f WHERE f.id = offered.id AND f.attempts > 0) AS has_failed,
       (SELECT attempts FROM lanes WHERE lane = %(lane)s) AS crashes,
       (SELECT alone_id FROM lanes WHERE lane = %(lane)s) AS quarantined,
       tenant_hash, cost, sizes.*
FROM (SELECT count(*) AS queues, max(tenant_hash) AS last_queue FROM chosen) AS sizes
LEFT JOIN offered ON true
ORDER BY tenant_hash, seq"""  # noqa: S608  (constants only)


class Peek(NamedTuple):
    """The next commands of a lane, and whether they are all that may run now.

    In `commands` tenants take turns, and those of one tenant are in the order of acceptance. `busy`: the
    tenants that fill their share of the batch. `last_queue` is set if the lane has more queues than a batch
    serves: the next batch begins after it.
    """

    commands: list[QueuedCommand]
    is_all: bool
    busy: set[str]
    last_queue: int | None


_MOST_QUEUES = 100  # a batch of ten commands of each is as good as a whole one
_FIRST = -(2**63)  # before every queue


def peek(connection: sa.Connection, lane: int, limit: int, after: int | None = None) -> Peek:
    """Return the lane's next runnable commands, with the same share for each tenant that has some.

    Blocked users and paused tenants are skipped. The commands cost `limit` ordinary ones together, or there
    is only one. If there are any, it notes on the lane's row that a batch begins; `crashes` does not count
    this batch. It locks no command, because journal rows do not change and `claim` checks again.
    """
    start = _FIRST if after is None else after
    found = rows(connection, _PEEK, lane=lane, limit=limit, after=start, queues=_MOST_QUEUES)
    queues, last_queue = found[0][-2:]
    offered = [QueuedCommand(*row[:-2]) for row in found] if found[0].seq is not None else []
    commands = _in_turns(offered, limit)
    per_queue = Counter(command.tenant_hash for command in commands)
    share = min(limit, max(limit * 2 // max(queues, 1), 1))
    is_all = len(offered) == len(commands) and max(per_queue.values(), default=0) < share
    full = {tenant_hash for tenant_hash, count in per_queue.items() if count * queues >= limit}
    is_last = queues < _MOST_QUEUES
    return Peek(
        commands,
        is_all and is_last and after is None,
        {command.tenant_id for command in commands if command.tenant_hash in full} if full else set(),
        None if is_last else last_queue,
    )


def _in_turns(offered: list[QueuedCommand], limit: int) -> list[QueuedCommand]:
    """Return the commands of a batch, in which queues take turns by what their commands cost.

    `offered`: by queue, each in the order of acceptance. The first command is always in the batch.
    """
    if not offered:
        return offered
    is_one_queue = offered[0].tenant_hash == offered[-1].tenant_hash
    if is_one_queue and all(command.cost == 1 for command in offered):
        return offered
    spent: Counter[int] = Counter()
    turns = []
    for command in offered:
        spent[command.tenant_hash] += command.cost
        turns.append((spent[command.tenant_hash], command.seq, command))
    turns.sort(key=itemgetter(0, 1))
    total, commands = 0, []
    for _, _, command in turns:
        if total >= limit:
            break
        total += command.cost
        commands.append(command)
    return commands


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

_NOT_BLOCKED = f"""
NOT EXISTS (SELECT FROM failures f JOIN journal j ON j.id = p.id WHERE {_BLOCKED} OFFSET 0)"""

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
SELECT p.lane, count(*) FROM journal j JOIN pending p ON p.lane = j.lane AND p.seq = j.seq
WHERE j.id = ANY(%(ids)s::uuid[]) AND {RUNNABLE}
GROUP BY p.lane"""  # noqa: S608  (constants only)


def lanes_of_waiting(connection: sa.Connection, ids: list[UUID]) -> Counter[int]:
    """Count the runnable ones of these commands per lane."""
    return Counter(dict(tuple(row) for row in rows(connection, _LANES_OF_WAITING, ids=ids)))
