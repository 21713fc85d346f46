"""Searches the audit log."""

from typing import Any, Literal, NamedTuple
from uuid import UUID

import sqlalchemy as sa

from pointledger.domain.ledger.outcome_data import expand
from pointledger.storage.database import rows
from pointledger.storage.queries.rows import shown

_FOUND = """
FROM audit_log a LEFT JOIN journal j ON j.id = a.command_id
WHERE a.tenant_id = %(tenant)s
  AND (%(actor)s::text IS NULL OR coalesce(a.actor, j.actor) = %(actor)s)
  AND (%(kind)s::text IS NULL OR a.kind = %(kind)s)
  AND (%(state)s::text IS NULL OR a.state = %(state)s) AND (%(user)s::text IS NULL OR j.user_id = %(user)s)"""


_RECORDS = f"""
SELECT a.id, a.tenant_id, a.kind, coalesce(a.actor, j.actor) AS actor,
       CASE WHEN a.kind = j.kind THEN j.payload ->> 'reason' ELSE a.reason END AS reason,
       j.user_id, a.command_id, a.state, a.refusal, a.before, a.after,
       encode(coalesce(a.request_hash, j.fingerprint), 'hex') AS request_hash, a.recorded_at
{_FOUND}
  AND (%(before)s::uuid IS NULL OR (a.recorded_at, a.id) <
       (SELECT b.recorded_at, b.id FROM audit_log b WHERE b.tenant_id = a.tenant_id AND b.id = %(before)s))
ORDER BY a.recorded_at DESC, a.id DESC LIMIT %(limit)s OFFSET %(skip)s"""  # noqa: S608  (constants only)


class AuditLogFilter(NamedTuple):
    """Selects audit records by user, actor, kind and outcome; None matches all."""

    user: str | None = None
    actor: str | None = None
    kind: str | None = None
    state: Literal["applied", "refused"] | None = None


def records(
    connection: sa.Connection,
    tenant_id: str,
    which: AuditLogFilter,
    *,
    before: UUID | None = None,
    limit: int,
    skip: int = 0,
) -> list[dict[str, Any]]:
    """Return a tenant's audit records, the latest first, starting after the record `before`."""
    values = which._asdict() | {"before": before, "limit": limit, "skip": skip}
    found = [shown(row) for row in rows(connection, _RECORDS, tenant=tenant_id, **values)]
    return [
        record | {"before": expand(record["before"]), "after": expand(record["after"])} for record in found
    ]


def count(connection: sa.Connection, tenant_id: str, which: AuditLogFilter) -> int:
    """Count the selected audit records."""
    counting = f"SELECT count(*) {_FOUND}"
    return int(rows(connection, counting, tenant=tenant_id, **which._asdict())[0][0])
