"""Reads outcomes by task id, and the results from which entry points build their responses."""

from dataclasses import replace
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import sqlalchemy as sa

from pointledger.domain.commands.outcomes import Outcome, State
from pointledger.domain.ledger.outcome_data import expand
from pointledger.ids import show_id
from pointledger.storage.database import rows

_RESULTS = """
SELECT wanted.id AS requested_id, j.id, j.tenant_id, j.user_id, j.actor, j.kind, j.accepted_at,
       j.idempotency_key, j.payload ->> 'source' AS source, j.payload ->> 'reason' AS given_reason,
       j.payload ->> 'description' AS description,
       coalesce(o.state, CASE WHEN f.dead_at IS NOT NULL THEN 'dead' ELSE 'pending' END) AS state,
       o.reason, o.message, o.applied_at, o.data,
       a.created_at AS account_created_at, a.points_type,
       coalesce((SELECT e.created_at FROM entries e
                 WHERE e.tenant_id = j.tenant_id AND e.account_id = a.id
                   AND e.seq = (o.data -> 'account' ->> 'version')::bigint), a.created_at)
           AS account_changed_at,
       (SELECT (t.config ->> 'exchange_rate')::bigint FROM tenant_versions t
        WHERE t.tenant_id = j.tenant_id AND t.saved_at <= o.applied_at
        ORDER BY t.version DESC LIMIT 1) AS exchange_rate
FROM unnest(%(ids)s::uuid[]) AS wanted (id)
JOIN journal j ON j.id = coalesce((SELECT journal_id FROM aliases WHERE aliases.id = wanted.id), wanted.id)
LEFT JOIN outcomes o ON o.id = j.id
LEFT JOIN LATERAL (SELECT * FROM failures WHERE failures.id = j.id OFFSET 0) AS f ON true
LEFT JOIN accounts a ON a.tenant_id = j.tenant_id AND a.user_id = j.user_id"""


class Result(NamedTuple):
    """An accepted command with its outcome and its user's account.

    `given_reason` is the command's own field; `reason` is why it was refused.
    """

    requested_id: UUID
    id: UUID
    tenant_id: str
    user_id: str
    actor: str
    kind: str
    accepted_at: datetime
    idempotency_key: str | None
    source: str | None
    given_reason: str | None
    description: str | None
    state: str
    reason: str | None
    message: str | None
    applied_at: datetime | None
    data: dict[str, Any] | None
    account_created_at: datetime | None
    points_type: str | None
    account_changed_at: datetime | None
    exchange_rate: int | None

    @property
    def is_final(self) -> bool:
        """Whether the result no longer changes."""
        return self.state != "pending"


def results(connection: sa.Connection, command_ids: list[UUID]) -> dict[UUID, Result]:
    """Return results by requested id, also of repetitions; ids that were not accepted are missing."""
    found = [Result(*row) for row in rows(connection, _RESULTS, ids=command_ids)]
    return {result.requested_id: result._replace(data=expand(result.data)) for result in found}


# OFFSET 0, because otherwise Postgres may search all dead letters in the order of their ids.
_LAST_DEAD_LETTER = """
SELECT * FROM (SELECT id, state, reason, error, tenant_id, kind FROM dead_letters d
               WHERE d.task_id = {requested}.id OFFSET 0) AS of_task
ORDER BY of_task.id DESC LIMIT 1"""

_OUTCOMES = f"""
WITH requested AS (
    SELECT id, coalesce((SELECT journal_id FROM aliases a WHERE a.id = wanted.id), id) AS journal_id
    FROM unnest(%(ids)s::uuid[]) AS wanted (id)
)
SELECT requested.id, j.lane, j.tenant_id, j.kind, j.accepted_at,
       o.state, o.reason, o.message, o.applied_at, o.data,
       f.dead_at, f.error,
       dead_letter.state AS dead_letter_state, dead_letter.reason AS dead_letter_reason,
       dead_letter.error AS dead_letter_error,
       dead_letter.tenant_id AS dead_letter_tenant, dead_letter.kind AS dead_letter_kind
FROM requested
LEFT JOIN LATERAL ({_LAST_DEAD_LETTER.format(requested="requested")}) AS dead_letter ON true
LEFT JOIN journal j ON j.id = requested.journal_id
LEFT JOIN outcomes o ON o.id = requested.journal_id
LEFT JOIN LATERAL (SELECT * FROM failures WHERE failures.id = requested.journal_id OFFSET 0) AS f ON true"""  # noqa: S608  (constants only)


def outcomes(connection: sa.Connection, task_ids: list[UUID]) -> dict[UUID, Outcome]:
    """Return the outcome of each task id, also of repetitions."""
    return {row.id: _outcome(row) for row in rows(connection, _OUTCOMES, ids=task_ids)}


def outcomes_with_lanes(
    connection: sa.Connection, task_ids: list[UUID]
) -> dict[UUID, tuple[Outcome, int | None]]:
    """Return the outcome of each task id, and the lane of its command, None if the journal has none."""
    return {row.id: (_outcome(row), row.lane) for row in rows(connection, _OUTCOMES, ids=task_ids)}


# Most commands have an outcome under their own id, so `rest` is read for the others only.
_COUNTS = f"""
SELECT coalesce(o.state, rest.state) AS state, coalesce(o.reason, rest.reason) AS reason,
       count(*) AS commands, sum((coalesce(o.data, rest.data) ->> 'points_earned')::numeric) AS points,
       array_agg(wanted.id ORDER BY wanted.place) FILTER (WHERE rest.state = 'pending') AS pending
FROM unnest(%(ids)s::uuid[]) WITH ORDINALITY AS wanted (id, place)
LEFT JOIN outcomes o ON o.id = wanted.id
LEFT JOIN LATERAL (
    SELECT CASE WHEN first.state IS NOT NULL THEN first.state
                WHEN f.dead_at IS NOT NULL THEN 'dead'
                WHEN j.id IS NULL AND letter.state <> 'deferred' THEN 'refused'
                ELSE 'pending' END AS state,
           coalesce(first.reason, CASE WHEN j.id IS NULL AND letter.state <> 'deferred'
                                       THEN letter.reason END) AS reason,
           first.data
    FROM (SELECT coalesce((SELECT journal_id FROM aliases a WHERE a.id = wanted.id), wanted.id) AS id
         ) AS known
    LEFT JOIN journal j ON j.id = known.id
    LEFT JOIN outcomes first ON first.id = known.id
    LEFT JOIN LATERAL (SELECT * FROM failures WHERE failures.id = known.id OFFSET 0) AS f ON true
    LEFT JOIN LATERAL ({_LAST_DEAD_LETTER.format(requested="wanted")}) AS letter ON j.id IS NULL
    WHERE o.id IS NULL
) AS rest ON true
GROUP BY 1, 2"""  # noqa: S608  (constants only)


class OutcomeCount(NamedTuple):
    """How many commands have the same state and reason. Commands that were never accepted are pending."""

    state: State
    reason: str | None
    commands: int
    points: int
    """The sum of `points_earned`."""
    pending: list[UUID]
    """The ids of pending commands, in the given order."""


def counts(connection: sa.Connection, task_ids: list[UUID]) -> list[OutcomeCount]:
    """Count the outcomes of the task ids, without their data."""
    return [
        OutcomeCount(row.state, row.reason, row.commands, int(row.points or 0), row.pending or [])
        for row in rows(connection, _COUNTS, ids=task_ids)
    ]


def _outcome(row: Any) -> Outcome:
    task_id = show_id(row.id)
    if row.accepted_at is None:
        if row.dead_letter_state is None:
            return Outcome(task_id)
        found = Outcome(task_id, row.dead_letter_tenant, row.dead_letter_kind, message=row.dead_letter_error)
        if row.dead_letter_state == "deferred":
            return replace(found, state="pending")
        return replace(found, state="refused", reason=row.dead_letter_reason)
    state: State = row.state or ("dead" if row.dead_at else "pending")
    return Outcome(
        task_id=task_id,
        tenant_id=row.tenant_id,
        kind=row.kind,
        state=state,
        reason=row.reason,
        message=row.error if state == "dead" else row.message,
        accepted_at=row.accepted_at,
        applied_at=row.applied_at,
        data=expand(row.data),
    )
