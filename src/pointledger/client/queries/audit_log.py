"""Queries the audit log."""

from typing import Any, Literal

from pointledger.client.given_ids import given_id
from pointledger.client.queries import late
from pointledger.client.queries.base import Queries

PAGE = 100  # records, by default
MOST_RECORDS = 1000


class AuditLogQueries(Queries):
    """Queries of the audit log in one database."""

    def audit_log(
        self,
        tenant_id: str,
        *,
        user_id: str | None = None,
        actor: str | None = None,
        kind: str | None = None,
        state: Literal["applied", "refused"] | None = None,
        before: str | None = None,
        limit: int = PAGE,
    ) -> list[dict[str, Any]]:
        """Read a page of the tenant's audit log, the latest first: who did or tried what, why, and what was
        before and after. `before`: the id of the last record of the page before. Raises TenantMissing, and
        InvalidCommand for a malformed id."""
        cursor = given_id("before", before) if before else None
        with late.database.read_only(self._database) as connection:
            late.program.tenant(connection, tenant_id)
            return late.audit_log.records(
                connection,
                tenant_id,
                late.audit_log.AuditLogFilter(user_id, actor, kind, state),
                before=cursor,
                limit=max(1, min(limit, MOST_RECORDS)),
            )
