"""Outcomes by task id, and what an entry point answers with. Reads only."""

from dataclasses import replace
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import sqlalchemy as sa

from pointledger.domain.commands.outcomes import Outcome, State
from pointledger.domain.ledger.outcome_data import complete
from pointledger.ids import show_id
from pointledger.storage.database import rows

_ANSWERS = """
SELECT wanted.id AS asked_id, j.id, j.tenant_id, j.user_id, j.actor, j.kind, j.accepted_at,
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
LEFT JOIN failures f ON f.id = j.id
LEFT JOIN accounts a ON a.tenant_id = j.tenant_id AND a.user_id = j.user_id"""


class Answered(NamedTuple):
    """A command that was accepted, what came of it, and its user's account. `given_reason` is the command's
    own field, `reason` why it was refused."""

    asked_id: UUID
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
        """True when waiting longer brings nothing."""
        return self.state != "pending"


def answers(connection: sa.Connection, command_ids: list[UUID]) -> dict[UUID, Answered]:
    """By the id that was asked for, also that of a repetition; without those that were never accepted."""
    found = [Answered(*row) for row in rows(connection, _ANSWERS, ids=command_ids)]
    return {answered.asked_id: answered._replace(data=complete(answered.data)) for answered in found}


_OUTCOMES = """
WITH asked AS (
    SELECT id, coalesce((SELECT journal_id FROM aliases a WHERE a.id = wanted.id), id) AS journal_id
    FROM unnest(%(ids)s::uuid[]) AS wanted (id)
)
SELECT asked.id, j.tenant_id, j.kind, j.accepted_at, o.state, o.reason, o.message, o.applied_at, o.data,
       f.dead_at, f.error,
       letter.state AS letter_state, letter.reason AS letter_reason, letter.error AS letter_error,
       letter.tenant_id AS letter_tenant, letter.kind AS letter_kind
FROM asked
LEFT JOIN LATERAL (SELECT state, reason, error, tenant_id, kind FROM dead_letters d WHERE d.task_id = asked.id
                   ORDER BY d.id DESC LIMIT 1) AS letter ON true
LEFT JOIN journal j ON j.id = asked.journal_id
LEFT JOIN outcomes o ON o.id = asked.journal_id
LEFT JOIN failures f ON f.id = asked.journal_id"""


def outcomes(connection: sa.Connection, task_ids: list[UUID]) -> dict[UUID, Outcome]:
    """The outcome of each task id, also of those under which a command was sent again."""
    return {row.id: _outcome(row) for row in rows(connection, _OUTCOMES, ids=task_ids)}


def _outcome(row: Any) -> Outcome:
    task_id = show_id(row.id)
    if row.accepted_at is None:
        if row.letter_state is None:
            return Outcome(task_id)
        told = Outcome(task_id, row.letter_tenant, row.letter_kind, message=row.letter_error)
        if row.letter_state == "held":
            return replace(told, state="pending")
        return replace(told, state="refused", reason=row.letter_reason)
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
        data=complete(row.data),
    )
