"""Queries about acts: who did what, by person, kind, member and time; and their export."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pointledger.client.given_ids import given_id
from pointledger.client.queries.base import Queries
from pointledger.domain.commands import KINDS
from pointledger.domain.decisions.audit import may_be_audited
from pointledger.ids import show_id
from pointledger.storage.database import read_only
from pointledger.storage.ledger import program
from pointledger.storage.queries import audit_log
from pointledger.storage.queries.audit_log import AuditLogFilter

PAGE = 50
MOST_ACTS = 500  # of a page
MOST_EXPORTED = 100_000  # of an export: some 50 MB
_SCANNED = 20_000  # records that one page reads; a tenth of a second
_ALL_ACTS = AuditLogFilter()

# Acts that are no commands: changes of a program, of waiting and dead commands, checks, and exports.
OTHER_KINDS = (
    "cancel",
    "dead-letter-replay",
    "dead-retry",
    "export",
    "pause",
    "resume",
    "rule-put",
    "tenant-put",
    "verify",
)
ACT_KINDS = tuple(sorted({*filter(may_be_audited, KINDS), *OTHER_KINDS}))


@dataclass(frozen=True, slots=True)
class ActPage:
    """A page of acts, the latest first."""

    acts: tuple[dict[str, Any], ...]
    """The acts. A page can be empty and not be the last."""
    next_before: str | None
    """What to give as `before` for the next page. None at the end."""


class ActQueries(Queries):
    """Queries about acts in one database."""

    def acts(
        self,
        tenant_id: str,
        which: AuditLogFilter = _ALL_ACTS,
        *,
        before: str | None = None,
        limit: int = PAGE,
    ) -> ActPage:
        """Read a page of the selected acts: the person or program, what it did or tried, why, and what was
        before and after. `before`: `next_before` of the page before. Raises TenantMissing, and InvalidCommand
        for a malformed cursor."""
        cursor = given_id("before", before) if before else None
        with read_only(self._database) as connection:
            program.tenant(connection, tenant_id)
            found = audit_log.page(
                connection,
                tenant_id,
                which,
                before=cursor,
                limit=max(1, min(limit, MOST_ACTS)),
                scanned=_SCANNED,
            )
        return ActPage(tuple(found.records), show_id(found.next_before) if found.next_before else None)

    def exported_acts(self, tenant_id: str, which: AuditLogFilter = _ALL_ACTS) -> Iterator[dict[str, Any]]:
        """Yield the selected acts, the latest first, at most 100,000. It reads page after page, so acts that
        come meanwhile are left out. Raises TenantMissing."""
        before: str | None = None
        left = MOST_EXPORTED
        while left > 0:
            page = self.acts(tenant_id, which, before=before, limit=min(left, MOST_ACTS))
            yield from page.acts
            left -= len(page.acts)
            if page.next_before is None:
                return
            before = page.next_before
