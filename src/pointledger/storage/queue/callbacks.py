"""Callbacks: messages to send when a command's outcome is final.

A callback is stored in the transaction that accepts its command. It becomes due in the transaction that
writes the outcome, and is sent afterwards, at least once. A row is waiting (`due_at` and `sent_at` are null),
due (tried at `try_at`) or finished (`sent_at`).
"""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID

import sqlalchemy as sa

from pointledger.domain.events.celery_callbacks import Callback
from pointledger.storage.database import rows, run

_KEPT_DAYS = 2  # of finished callbacks; those of a dead command stay while it is dead
_PRUNED_AT_ONCE = 1000
_ERROR_CHARACTERS = 2_000
_FIRST_WAIT_SECONDS = 1.0  # before a retry; it doubles each time
_MOST_WAIT_SECONDS = {True: 300.0, False: 15.0}  # True: sending failed; False: there is no outcome yet

# Part of statements that write outcomes; `gone` has the ids of their commands. If no callback is waiting, as
# is nearly always the case, it costs one index lookup.
# FOR UPDATE makes Postgres look up the callbacks of each command; otherwise, without statistics, it reads all
# waiting ones. It also looks at them again if another transaction has just changed them. ARRAY makes Postgres
# change each by its key; otherwise, if the table was empty at the last vacuum, it reads all callbacks.
MARK_DUE = """
UPDATE callbacks SET due_at = clock_timestamp(), try_at = clock_timestamp()
WHERE (SELECT EXISTS (SELECT FROM callbacks WHERE due_at IS NULL AND sent_at IS NULL))
  AND id = ANY (ARRAY(
    SELECT waiting.id FROM gone CROSS JOIN LATERAL (
        SELECT c.id FROM callbacks c
        WHERE c.command_id = gone.id AND c.due_at IS NULL AND c.sent_at IS NULL FOR UPDATE) AS waiting))
RETURNING 1"""

# Part of statements that retry dead commands; `gone` has their ids.
WAIT_AGAIN = """
UPDATE callbacks SET due_at = NULL, try_at = NULL, sent_at = NULL, attempts = 0, error = NULL
WHERE command_id = ANY (ARRAY(SELECT id FROM gone))"""


class NewCallbacks(NamedTuple):
    """A callback that a message requests. `is_refused`: the message was not a command."""

    task_id: UUID
    callback: Callback
    is_refused: bool


# If a message repeats a command whose outcome another transaction is writing, that transaction does not see
# its callbacks. So they are due from the start, and the sender polls until the outcome exists.
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
                     OR (SELECT f.dead_at FROM failures f WHERE f.id = first.id) IS NOT NULL
                THEN clock_timestamp() END AS at
) AS due
ON CONFLICT (task_id, kind, place) DO UPDATE
SET due_at = excluded.due_at, try_at = excluded.try_at, sent_at = NULL
-- a sender that repeats a message may have lost the result; its other callbacks are sent once
WHERE callbacks.kind = 'result'"""


def keep(connection: sa.Connection, wanted: Sequence[NewCallbacks]) -> None:
    """Store callbacks of commands that this transaction has accepted or refused."""
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


class DueCallback(NamedTuple):
    """A callback to send if its task has the outcome that it waits for."""

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


def take_due(connection: sa.Connection, most: int, *, results: bool) -> list[DueCallback]:
    """Lock and return some due callbacks, either results or tasks, until the transaction ends."""
    return [
        DueCallback(*row) for row in rows(connection, _TAKE_RESULTS if results else _TAKE_TASKS, most=most)
    ]


def done(connection: sa.Connection, ids: list[int]) -> None:
    """Mark callbacks as finished: they are sent, or their outcome needs none."""
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
    """Postpone a callback that could not be sent (`error`) or has no outcome yet, longer each time."""
    run(
        connection,
        _PUT_OFF,
        id=callback_id,
        error=error and error[:_ERROR_CHARACTERS].replace("\x00", ""),
        first=_FIRST_WAIT_SECONDS,
        most=_MOST_WAIT_SECONDS[error is not None],
    )


# With clock_timestamp(), which is volatile, Postgres could not use the index on sent_at. `ctid` makes it
# fetch each row by its place; by the key it reads all callbacks if there were none at the last vacuum. A row
# that has just been changed has a new place, and is left for the next time.
_PRUNE = """
DELETE FROM callbacks USING (
    SELECT ctid FROM callbacks c WHERE sent_at < statement_timestamp() - %(days)s * interval '1 day'
      AND NOT EXISTS (SELECT FROM failures f WHERE f.id = c.command_id OFFSET 0)
    ORDER BY sent_at LIMIT %(most)s FOR UPDATE SKIP LOCKED) AS old
WHERE callbacks.ctid = old.ctid"""

# In the order of the index that the sender of results uses.
_PRUNE_RESULTS = """
DELETE FROM callbacks USING (
    SELECT ctid FROM callbacks
    WHERE kind = 'result' AND sent_at IS NULL AND try_at IS NOT NULL
      AND kept_at < clock_timestamp() - %(seconds)s * interval '1 second'
    ORDER BY try_at LIMIT %(most)s FOR UPDATE SKIP LOCKED) AS old
WHERE callbacks.ctid = old.ctid"""


def prune(connection: sa.Connection, result_seconds: float) -> int:
    """Delete some finished callbacks and expired results, and return their number."""
    gone = run(connection, _PRUNE, days=_KEPT_DAYS, most=_PRUNED_AT_ONCE)
    return gone + run(connection, _PRUNE_RESULTS, seconds=result_seconds, most=_PRUNED_AT_ONCE)


class CallbackStatus(NamedTuple):
    """The callbacks that are due and not sent, counted up to 100,000 of each kind."""

    tasks: int
    results: int
    failing: int  # of both kinds, those whose last attempt failed
    oldest_seconds: float | None  # since the oldest became due; None if there are none


_COUNTED = 100_000  # beyond this the exact number does not matter, and counting takes too long

# Like this, each kind is read by its own index, the one that the senders use.
_DUE = """
    (SELECT kind, error, due_at FROM callbacks
     WHERE kind {which} 'result' AND try_at IS NOT NULL AND sent_at IS NULL ORDER BY try_at LIMIT %(most)s)"""
_STATUS = f"""
SELECT count(*) FILTER (WHERE kind <> 'result') AS tasks, count(*) FILTER (WHERE kind = 'result') AS results,
       count(*) FILTER (WHERE error IS NOT NULL) AS failing,
       round(extract(epoch FROM clock_timestamp() - min(due_at)), 3)::float8 AS oldest_seconds
FROM ({_DUE.format(which="=")} UNION ALL {_DUE.format(which="<>")}) AS due"""  # noqa: S608  (constants only)


def status(connection: sa.Connection) -> CallbackStatus:
    """Return how far the senders of callbacks are behind."""
    return CallbackStatus(*rows(connection, _STATUS, most=_COUNTED)[0])
