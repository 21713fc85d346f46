"""Peeks at lanes: reads the commands that are next, with the same share of a lane for each tenant."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from operator import itemgetter
from typing import Any, NamedTuple
from uuid import UUID

import sqlalchemy as sa

from pointledger.domain.commands.records import LIVE_COMMANDS
from pointledger.storage.database import rows
from pointledger.storage.queue.pending import OF_QUEUE, PENDING_COMMANDS, RUNNABLE, UNPAUSED

# `OFFSET 0` keeps the lanes' queues apart: the search for them runs once for each wanted lane.
_QUEUES = f"""
WITH RECURSIVE queues (tenant_hash) AS (
    (SELECT p.tenant_hash FROM pending p
     WHERE p.lane = wanted.lane AND p.tenant_hash > wanted.after ORDER BY p.tenant_hash LIMIT 1)
    UNION ALL
    SELECT (SELECT p.tenant_hash FROM pending p
            WHERE p.lane = wanted.lane AND p.tenant_hash > queues.tenant_hash
            ORDER BY p.tenant_hash LIMIT 1)
    FROM queues WHERE queues.tenant_hash IS NOT NULL)
SELECT tenant_hash FROM queues
WHERE tenant_hash IS NOT NULL AND {UNPAUSED}
LIMIT %(queues)s OFFSET 0"""  # noqa: S608  (constants only)

# A queue offers at most twice its share, so the statement reads at most two batches.
_OFFER = f"""
SELECT p.seq, p.tenant_hash, p.cost, j.id, j.version, j.kind, j.tenant_id, j.user_id, j.actor,
       j.idempotency_key, j.occurred_at, j.accepted_at, j.payload
FROM {PENDING_COMMANDS}
WHERE p.lane = chosen.lane AND {OF_QUEUE.format(queue="chosen")} AND {RUNNABLE}
ORDER BY p.tenant_hash, p.seq
LIMIT least(chosen.most, greatest(chosen.most * 2 / chosen.queues, 1))"""  # noqa: S608

# Not the expensive commands behind those that fill a batch: each batch would read their long payloads. For
# other rows the first condition suffices, so the subquery runs only if there is an expensive one.
_FITS = """
coalesce(cost, 1) = 1 OR seq IN (
    SELECT seq FROM (
        SELECT seq, most, sum(cost) OVER (PARTITION BY lane, tenant_hash ORDER BY seq) - cost AS cost_before
        FROM offered WHERE cost > 1) AS expensive
    WHERE cost_before < most)"""


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
    tenant_hash: int
    cost: int


# It also notes that a batch begins, as `lanes.note_attempt` does, which saves a transaction. A queue without
# a runnable command has one row, of NULLs.
_PEEK = f"""
WITH chosen AS MATERIALIZED (
    SELECT wanted.lane, wanted.most, lanes.attempts, lanes.alone_id, queue.tenant_hash,
           count(*) OVER of_lane AS queues, max(queue.tenant_hash) OVER of_lane AS last_queue,
           EXISTS (SELECT FROM pending p
                   WHERE p.lane = wanted.lane AND {OF_QUEUE.format(queue="queue")}
                   OFFSET {LIVE_COMMANDS}) AS is_long
    FROM unnest(%(lanes)b::int2[], %(most)b::int4[], %(afters)b::int8[]) AS wanted (lane, most, after)
    JOIN lanes ON lanes.lane = wanted.lane
    CROSS JOIN LATERAL ({_QUEUES}) AS queue
    WINDOW of_lane AS (PARTITION BY wanted.lane)
), offered AS MATERIALIZED (
    SELECT chosen.lane, one.*, chosen.most, chosen.queues, chosen.last_queue, chosen.attempts,
           chosen.alone_id, chosen.is_long
    FROM chosen LEFT JOIN LATERAL ({_OFFER}) AS one ON true
), tried AS (
    UPDATE lanes SET attempts = least(attempts + 1, 100)
    FROM set_config('synchronous_commit', 'off', true)
    WHERE lane = ANY (ARRAY(SELECT DISTINCT lane FROM offered WHERE seq IS NOT NULL)))
SELECT seq, id, version, kind, tenant_id, user_id, actor, idempotency_key, occurred_at, accepted_at,
       payload::text,
       EXISTS (SELECT FROM failures f WHERE f.id = offered.id AND f.attempts > 0 OFFSET 0) AS has_failed,
       tenant_hash, cost, lane, queues, last_queue, attempts, alone_id, is_long
FROM offered WHERE {_FITS}"""  # noqa: S608  (constants only)


class Peek(NamedTuple):
    """The next commands of a lane, and whether they are all that may run now.

    In `commands` tenants take turns, and those of one tenant are in the order of acceptance. `busy`: the
    tenants that fill their share of the batch and have more than `LIVE_COMMANDS` pending. `last_queue` is set
    if the lane has more queues than a batch serves: the next batch begins after it. `crashes`: processes that
    crashed on the lane's batches since the last successful one. `quarantined`: the only command in the batch
    of the last crash.
    """

    lane: int
    commands: list[QueuedCommand]
    is_all: bool
    busy: set[str]
    last_queue: int | None = None
    crashes: int = 0
    quarantined: UUID | None = None


_MOST_QUEUES = 100  # a batch of ten commands of each is as good as a whole one
_FIRST = -(2**63)  # before every queue


def peek(
    connection: sa.Connection,
    limits: Mapping[int, int],
    after: Mapping[int, int | None] | None = None,
    *,
    is_hurried: bool = False,
) -> list[Peek]:
    """Return the next runnable commands of each lane, with the same share for each tenant that has some.

    Blocked users and paused tenants are skipped. `limits`: by lane, how many ordinary commands its commands
    cost together; a single one may cost more. `after`: by lane, the queue after which its batch begins.
    `is_hurried`: only commands of tenants with at most `LIVE_COMMANDS` pending in the lane, or the first one
    if no tenant has so few.

    If a lane has commands, its row notes that a batch begins; `crashes` does not count this batch. It locks
    no command, because journal rows do not change and `claim` checks again.
    """
    after = after or {}
    starts = {lane: _FIRST if (start := after.get(lane)) is None else start for lane in limits}
    by_lane = defaultdict(list)
    for row in rows(
        connection,
        _PEEK,
        lanes=list(limits),
        most=list(limits.values()),
        afters=list(starts.values()),
        queues=_MOST_QUEUES,
    ):
        by_lane[row.lane].append(row)
    return [
        _peeked(lane, by_lane[lane], limit, is_start=after.get(lane) is None, is_hurried=is_hurried)
        for lane, limit in limits.items()
    ]


_COLUMNS = len(QueuedCommand._fields)
_SEQ = itemgetter(0)  # several times faster than by its name


def _peeked(lane: int, found: Sequence[Any], limit: int, *, is_start: bool, is_hurried: bool) -> Peek:
    """Choose the lane's batch from what its queues offer."""
    if not found:
        return Peek(lane, [], is_start, set())
    _, queues, last_queue, crashes, quarantined, _ = found[0][_COLUMNS:]
    # Sorted here, because it costs Postgres some times as much.
    offered = sorted((QueuedCommand(*row[:_COLUMNS]) for row in found if row.seq is not None), key=_SEQ)
    commands = _in_turns(_short_queues(found, offered) if is_hurried else offered, limit)
    counts, costs = Counter[int](), Counter[int]()
    for command in commands:
        counts[command.tenant_hash] += 1
        costs[command.tenant_hash] += command.cost
    share = min(limit, max(limit * 2 // queues, 1))
    has_all = max(counts.values(), default=0) < share and max(costs.values(), default=0) < limit
    full = {tenant_hash for tenant_hash, cost in costs.items() if cost * queues >= limit}
    is_last = queues < _MOST_QUEUES
    return Peek(
        lane,
        commands,
        has_all and len(offered) == len(commands) and is_last and is_start,
        {row.tenant_id for row in found if row.tenant_hash in full and row.is_long} if full else set(),
        None if is_last else last_queue,
        crashes,
        quarantined,
    )


def _short_queues(found: Sequence[Any], offered: list[QueuedCommand]) -> list[QueuedCommand]:
    """Return the commands of queues with few, or the first command."""
    long = {row.tenant_hash for row in found if row.is_long}
    return [command for command in offered if command.tenant_hash not in long] or offered[:1]


def _in_turns(offered: list[QueuedCommand], limit: int) -> list[QueuedCommand]:
    """Return the commands of a batch, in which queues take turns. The first command is always in the batch.

    `offered`: in the order of acceptance. A limit below the number of queues would always go
    to the one whose commands are the oldest, so it counts as that number.
    """
    if not offered:
        return offered
    queues = len({command.tenant_hash for command in offered})
    if queues == 1 and all(command.cost == 1 for command in offered):
        return offered
    limit = max(limit, queues)
    total, commands = 0, []
    for command in _turns(offered):
        if total >= limit:
            break
        total += command.cost
        commands.append(command)
    return commands


def together(found: Sequence[Peek]) -> dict[int, int]:
    """Return the order of one batch of several lanes: each command's place by its `seq`.

    Tenants take turns in it, too, and a tenant's commands are in the order of acceptance.
    """
    commands = sorted((command for lane in found for command in lane.commands), key=_SEQ)
    return {command.seq: place for place, command in enumerate(_turns(commands))}


def _turns(commands: Iterable[QueuedCommand]) -> list[QueuedCommand]:
    """Sort the commands so that queues take turns by what their commands cost; each queue keeps its order."""
    spent: Counter[int] = Counter()
    turns = []
    for command in commands:
        spent[command.tenant_hash] += command.cost
        turns.append((spent[command.tenant_hash], command.seq, command))
    turns.sort(key=itemgetter(0, 1))
    return [command for _, _, command in turns]
