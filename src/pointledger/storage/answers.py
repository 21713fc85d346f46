"""What the HTTP gateway answers for commands: outcomes, with what the API's pages show besides.

Everything here is as it was when the command was applied, so that a repetition gets the same answer.
"""

from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import sqlalchemy as sa

from pointledger.domain.snapshots import complete
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
