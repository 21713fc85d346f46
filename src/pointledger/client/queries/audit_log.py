"""Lookups about what administrators did and tried."""

from typing import Any, Literal

from pointledger.errors import InvalidCommand
from pointledger.ids import parse_id
from pointledger.storage.database import Asking, looking
from pointledger.storage.ledger import program
from pointledger.storage.queries import audit_log

ACTS = 100  # of a page, unless asked otherwise
MOST_ACTS = 1000


class ActLookups(Asking):
    """Asks one database."""

    def acts(
        self,
        tenant_id: str,
        *,
        user_id: str | None = None,
        actor: str | None = None,
        kind: str | None = None,
        state: Literal["applied", "refused"] | None = None,
        before: str | None = None,
        limit: int = ACTS,
    ) -> list[dict[str, Any]]:
        """A page of a tenant's acts, the latest first: each with actor, reason, before and after; also those
        that were refused. `before`: the id of the last act of the page before. Raises TenantMissing, and
        InvalidCommand for what is no id."""
        try:
            cursor = parse_id(before) if before else None
        except ValueError as error:
            raise InvalidCommand(f"before: {error}") from None
        with looking(self._database) as connection:
            program.tenant(connection, tenant_id)
            return audit_log.acts(
                connection,
                tenant_id,
                audit_log.Filter(user_id, actor, kind, state),
                before=cursor,
                limit=max(1, min(limit, MOST_ACTS)),
            )
