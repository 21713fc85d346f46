"""Reads the versions of a tenant's rules and configuration, and who saved each of them.

A version and its audit record are written in one transaction, under a lock of the tenant's program. So the
record of a version is the one between it and its neighbor.
"""

from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import sqlalchemy as sa

from pointledger.storage.database import rows


class Version(NamedTuple):
    """A saved version. `actor` is None if it is older than the audit log."""

    version: int
    saved_at: datetime
    in_force_from: datetime | None
    content: dict[str, Any]
    actor: str | None
    reason: str | None


# A rule's record follows its version.
_OF_RULE = """
SELECT v.version, v.saved_at, v.in_force_from, v.body AS content, a.actor, a.reason
FROM rule_versions v
LEFT JOIN rule_versions n ON n.tenant_id = v.tenant_id AND n.name = v.name AND n.version = v.version + 1
LEFT JOIN LATERAL (
    SELECT actor, reason FROM audit_log a
    WHERE a.tenant_id = v.tenant_id AND a.kind = 'rule-put' AND a.after ->> 'name' = v.name
      AND a.recorded_at >= v.saved_at AND (n.saved_at IS NULL OR a.recorded_at < n.saved_at)
    ORDER BY a.recorded_at, a.id LIMIT 1) AS a ON true
WHERE v.tenant_id = %(tenant)s
  AND v.name = (SELECT name FROM rule_versions r
                WHERE r.tenant_id = %(tenant)s AND r.rule_id = %(rule)s LIMIT 1)
  AND v.version < %(before)s
ORDER BY v.version DESC LIMIT %(limit)s"""

# A configuration's record precedes its version.
_OF_TENANT = """
SELECT v.version, v.saved_at, NULL::timestamptz AS in_force_from, v.config AS content, a.actor, a.reason
FROM tenant_versions v
LEFT JOIN tenant_versions b ON b.tenant_id = v.tenant_id AND b.version = v.version - 1
LEFT JOIN LATERAL (
    SELECT actor, reason FROM audit_log a
    WHERE a.tenant_id = v.tenant_id AND a.kind = 'tenant-put' AND a.recorded_at <= v.saved_at
      AND (b.saved_at IS NULL OR a.recorded_at > b.saved_at)
    ORDER BY a.recorded_at DESC, a.id DESC LIMIT 1) AS a ON true
WHERE v.tenant_id = %(tenant)s AND v.version < %(before)s
ORDER BY v.version DESC LIMIT %(limit)s"""


def of_rule(
    connection: sa.Connection, tenant_id: str, rule_id: UUID, before: int, limit: int
) -> list[Version]:
    """Return versions of a rule below `before`, the latest first."""
    found = rows(connection, _OF_RULE, tenant=tenant_id, rule=rule_id, before=before, limit=limit)
    return [Version(*row) for row in found]


def of_tenant(connection: sa.Connection, tenant_id: str, before: int, limit: int) -> list[Version]:
    """Return versions of the tenant's configuration below `before`, the latest first."""
    found = rows(connection, _OF_TENANT, tenant=tenant_id, before=before, limit=limit)
    return [Version(*row) for row in found]
