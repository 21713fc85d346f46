"""Searches the audit log."""

from datetime import datetime
from typing import Any, Literal, NamedTuple
from uuid import UUID

import sqlalchemy as sa

from pointledger.domain.ledger.outcome_data import expand
from pointledger.ids import parse_id
from pointledger.storage.database import rows
from pointledger.storage.queries.rows import shown

# An export is no command. It names the account, whose user an erasure renames.
_USER = """coalesce(j.user_id, (
    SELECT x.user_id FROM accounts x
    WHERE a.kind = 'export' AND x.tenant_id = a.tenant_id AND x.id = (a.after ->> 'account_id')::uuid))"""

_FOUND = f"""
FROM audit_log a LEFT JOIN journal j ON j.id = a.command_id
WHERE a.tenant_id = %(tenant)s
  AND (%(actor)s::text IS NULL OR coalesce(a.actor, j.actor) = %(actor)s)
  AND (%(kind)s::text IS NULL OR a.kind = %(kind)s)
  AND (%(state)s::text IS NULL OR a.state = %(state)s) AND (%(user)s::text IS NULL OR {_USER} = %(user)s)
  AND a.recorded_at >= coalesce(%(since)s::timestamptz, '-infinity')
  AND a.recorded_at < coalesce(%(until)s::timestamptz, 'infinity')"""


_COLUMNS = f"""
SELECT a.id, a.tenant_id, a.kind, coalesce(a.actor, j.actor) AS actor,
       CASE WHEN a.kind = j.kind THEN j.payload ->> 'reason' ELSE a.reason END AS reason,
       {_USER} AS user_id, a.command_id, a.state, a.refusal, a.before, a.after,
       encode(coalesce(a.request_hash, j.fingerprint), 'hex') AS request_hash, a.recorded_at"""

_RECORDS = f"""
{_COLUMNS}
{_FOUND}
  AND (%(before)s::uuid IS NULL OR (a.recorded_at, a.id) <
       (SELECT b.recorded_at, b.id FROM audit_log b WHERE b.tenant_id = a.tenant_id AND b.id = %(before)s))
ORDER BY a.recorded_at DESC, a.id DESC LIMIT %(limit)s OFFSET %(skip)s"""  # noqa: S608  (constants only)


class AuditLogFilter(NamedTuple):
    """Selects audit records by user, actor, kind, outcome and moment; None matches all."""

    user: str | None = None
    actor: str | None = None
    kind: str | None = None
    state: Literal["applied", "refused"] | None = None
    since: datetime | None = None  # inclusive
    until: datetime | None = None  # exclusive


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


# The next records in their order, of which the filter selects some.
_SCANNED = """
SELECT a.* FROM audit_log a
WHERE a.tenant_id = %(tenant)s
  AND a.recorded_at >= coalesce(%(since)s::timestamptz, '-infinity')
  AND a.recorded_at < coalesce(%(until)s::timestamptz, 'infinity')
  AND (%(before)s::uuid IS NULL OR (a.recorded_at, a.id) <
       (SELECT b.recorded_at, b.id FROM audit_log b WHERE b.tenant_id = %(tenant)s AND b.id = %(before)s))
ORDER BY a.recorded_at DESC, a.id DESC"""

_PAGE = f"""
{_COLUMNS}
{_FOUND.replace("FROM audit_log a", f"FROM ({_SCANNED} LIMIT %(scanned)s) AS a")}
ORDER BY a.recorded_at DESC, a.id DESC LIMIT %(limit)s"""

_REACHED = f"SELECT id FROM ({_SCANNED} OFFSET %(scanned)s - 1 LIMIT 1) AS last"  # noqa: S608  (constants only)


class AuditPage(NamedTuple):
    """Audit records, the latest first. The next page starts after the record `next_before`; None: no more."""

    records: list[dict[str, Any]]
    next_before: UUID | None


def page(
    connection: sa.Connection,
    tenant_id: str,
    which: AuditLogFilter,
    *,
    before: UUID | None,
    limit: int,
    scanned: int,
) -> AuditPage:
    """Return the selected ones of the next `scanned` records, at most `limit`.

    So a filter that selects few records does not read the whole log; a page can be empty and not the last.
    """
    values = which._asdict() | {"before": before}
    found = [
        shown(row)
        for row in rows(connection, _PAGE, tenant=tenant_id, limit=limit, scanned=scanned, **values)
    ]
    records = [each | {"before": expand(each["before"]), "after": expand(each["after"])} for each in found]
    if len(records) == limit:
        return AuditPage(records, parse_id(records[-1]["id"]))
    del values["user"], values["actor"], values["kind"], values["state"]
    reached = rows(connection, _REACHED, tenant=tenant_id, scanned=scanned, **values)
    return AuditPage(records, reached[0].id if reached else None)
