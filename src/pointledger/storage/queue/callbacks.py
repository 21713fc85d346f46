"""Callbacks: what is to be sent when a command's outcome is final. Kept with the command, due with its
outcome, in the same transactions; sent afterwards, at least once.

A row waits (`due_at` and `sent_at` are null), is due (and tried at `try_at`), or is done with (`sent_at`).
"""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID

import sqlalchemy as sa

from pointledger.domain.events.celery_callbacks import Callback
from pointledger.storage.database import rows, run

_KEPT_DAYS = 2  # what is done with; of a dead command as long as it is dead
_PRUNED_AT_ONCE = 1000
_ERROR_CHARACTERS = 2_000
_FIRST_WAIT_SECONDS = 1.0  # before what could not be sent is tried again; twice as long each time
_MOST_WAIT_SECONDS = {True: 300.0, False: 15.0}  # by whether it failed, or only has no outcome yet

# For statements that give commands their outcomes; `gone` has those commands' ids. Where nobody waits for a
# callback, and that is nearly always, it costs one look.
MARK_DUE = """
UPDATE callbacks SET due_at = clock_timestamp(), try_at = clock_timestamp() FROM gone
WHERE (SELECT EXISTS (SELECT FROM callbacks WHERE due_at IS NULL AND sent_at IS NULL))
  AND callbacks.command_id = gone.id AND callbacks.due_at IS NULL AND callbacks.sent_at IS NULL
RETURNING 1"""

# For statements that let dead commands try again; `gone` has their ids.
WAIT_AGAIN = """
UPDATE callbacks SET due_at = NULL, try_at = NULL, sent_at = NULL, attempts = 0, error = NULL FROM gone
WHERE callbacks.command_id = gone.id"""


class Wanted(NamedTuple):
    """A callback that a message asks for. `is_refused`: the message was no command."""

    task_id: UUID
    callback: Callback
    is_refused: bool


# Of a message that repeats another command nobody marks the callbacks if the outcome is being written right
# now; so they are due from the start, and looked at until it is there.
_KEEP = """
INSERT INTO callbacks (task_id, command_id, kind, place, message, due_at, try_at)
SELECT wanted.task_id, first.id, wanted.kind, wanted.place, wanted.message::json, due.at, due.at
FROM unnest(%(tasks)s::uuid[], %(kinds)s::text[], %(places)s::int2[], %(messages)s::text[],
            %(refused)s::bool[]) AS wanted (task_id, kind, place, message, is_refused)
CROSS JOIN LATERAL (
    SELECT coalesce((SELECT journal_id FROM aliases a WHERE a.id = wanted.task_id), wanted.task_id) AS id
) AS first
CROSS JOIN LATERAL (
    SELECT CASE WHEN wanted.is_refused OR first.id <> wanted.task_id
                     OR EXISTS (SELECT FROM outcomes o WHERE o.id = first.id)
                     OR EXISTS (SELECT FROM failures f WHERE f.id = first.id AND f.dead_at IS NOT NULL)
                THEN clock_timestamp() END AS at
) AS due
ON CONFLICT (task_id, kind, place) DO UPDATE
SET due_at = excluded.due_at, try_at = excluded.try_at, sent_at = NULL
-- who sends a message again may have forgotten its result; what else it asked for was sent, or will be
WHERE callbacks.kind = 'result'"""


def keep(connection: sa.Connection, wanted: Sequence[Wanted]) -> None:
    """Keeps them with their commands, which this transaction has accepted or refused before."""
    if not wanted:
        return
    run(
        connection,
        _KEEP,
        tasks=[one.task_id for one in wanted],
        kinds=[one.callback.kind for one in wanted],
        places=[one.callback.place for one in wanted],
        messages=[json.dumps(one.callback.message) for one in wanted],
        refused=[one.is_refused for one in wanted],
    )


class Due(NamedTuple):
    """A callback that is to be sent, if the outcome of its task is what it waits for."""

    id: int
    task_id: UUID
    kind: str
    place: int
    message: dict[str, Any]


_TAKE = """
SELECT id, task_id, kind, place, message FROM callbacks
WHERE kind {which} 'result' AND try_at <= statement_timestamp() AND sent_at IS NULL
ORDER BY try_at LIMIT %(most)s FOR UPDATE SKIP LOCKED"""
_TAKE_RESULTS, _TAKE_TASKS = _TAKE.format(which="="), _TAKE.format(which="<>")


def take_due(connection: sa.Connection, most: int, *, results: bool) -> list[Due]:
    """Some that are due, results or tasks; ours until the transaction ends."""
    return [Due(*row) for row in rows(connection, _TAKE_RESULTS if results else _TAKE_TASKS, most=most)]


def done(connection: sa.Connection, ids: list[int]) -> None:
    """They are sent, or their outcome asks for none."""
    run(
        connection,
        "UPDATE callbacks SET sent_at = clock_timestamp() WHERE id = ANY(%(ids)s::int8[])",
        ids=ids,
    )


_PUT_OFF = """
UPDATE callbacks SET attempts = attempts + 1, error = %(error)s,
    try_at = clock_timestamp()
             + least(%(first)s * power(2, least(attempts, 20)), %(most)s) * interval '1 second'
WHERE id = %(id)s"""


def put_off(connection: sa.Connection, callback_id: int, error: str | None) -> None:
    """It cannot be sent now, for this reason, or has no outcome yet; it waits longer each time."""
    run(
        connection,
        _PUT_OFF,
        id=callback_id,
        error=error and error[:_ERROR_CHARACTERS].replace("\x00", ""),
        first=_FIRST_WAIT_SECONDS,
        most=_MOST_WAIT_SECONDS[error is not None],
    )


_PRUNE = """
DELETE FROM callbacks WHERE id IN (
    SELECT id FROM callbacks c WHERE sent_at < clock_timestamp() - %(days)s * interval '1 day'
      AND NOT EXISTS (SELECT FROM failures f WHERE f.id = c.command_id)
    ORDER BY sent_at LIMIT %(most)s FOR UPDATE SKIP LOCKED)"""

_PRUNE_RESULTS = """
DELETE FROM callbacks WHERE id IN (
    SELECT id FROM callbacks
    WHERE kind = 'result' AND sent_at IS NULL AND due_at IS NOT NULL
      AND kept_at < clock_timestamp() - %(seconds)s * interval '1 second'
    LIMIT %(most)s FOR UPDATE SKIP LOCKED)"""


def prune(connection: sa.Connection, result_seconds: float) -> int:
    """Forgets some of what is done with, and of results that nobody would wait for any more; how many."""
    gone = run(connection, _PRUNE, days=_KEPT_DAYS, most=_PRUNED_AT_ONCE)
    return gone + run(connection, _PRUNE_RESULTS, seconds=result_seconds, most=_PRUNED_AT_ONCE)


class CallbackStatus(NamedTuple):
    """What is due and not sent: tasks and results, how many of them could not be sent when it was tried, and
    for how long the oldest has been due (None: nothing is)."""

    tasks: int
    results: int
    failing: int
    oldest_seconds: float | None


_STATUS = """
SELECT count(*) FILTER (WHERE kind <> 'result') AS tasks, count(*) FILTER (WHERE kind = 'result') AS results,
       count(*) FILTER (WHERE error IS NOT NULL) AS failing,
       round(extract(epoch FROM clock_timestamp() - min(due_at)), 3)::float8 AS oldest_seconds
FROM callbacks WHERE sent_at IS NULL AND due_at IS NOT NULL"""


def status(connection: sa.Connection) -> CallbackStatus:
    """How far those who send them are behind."""
    return CallbackStatus(*rows(connection, _STATUS)[0])
