"""Queries that only the API needs: results of commands, and numbered pages."""

from typing import Any, Literal, NamedTuple
from uuid import UUID

from pointledger.client.queries.days import DayQueries
from pointledger.client.queries.ledger import LedgerQueries
from pointledger.domain.commands.outcomes import Outcome
from pointledger.domain.ledger.risk import Factor, factors
from pointledger.ids import parse_id
from pointledger.observability import verify
from pointledger.storage.database import read_only, rows
from pointledger.storage.ledger import program
from pointledger.storage.queries import accounts, audit_log, current, outcomes, pages, wallets
from pointledger.storage.queries.outcomes import Result


class Page(NamedTuple):
    """A page of a list. `total` counts all items; `next_before` is the next cursor, None at the end."""

    items: list[dict[str, Any]]
    total: int
    next_before: int | None


class ApiQueries(DayQueries, LedgerQueries):
    """Queries against one database."""

    def results(self, command_ids: list[UUID]) -> dict[UUID, Result]:
        """Return the results of these commands by requested id, without ids that were never accepted."""
        with read_only(self._database) as connection:
            return outcomes.results(connection, command_ids)

    def sent_by_name(self, task_id: UUID) -> Outcome | None:
        """Return the outcome of a Celery message that is not, or not yet, a command. None if unknown."""
        with read_only(self._database) as connection:
            outcome = outcomes.outcomes(connection, [task_id])[task_id]
        return outcome if outcome.accepted_at is None and outcome.state != "unknown" else None

    def ping(self) -> bool:
        """Return True if the database answers. Raises the driver's error if it does not."""
        with self._database.connect() as connection:
            return bool(rows(connection, "SELECT true")[0][0])

    def page_of_accounts(self, tenant_id: str, *, page: int, page_size: int, status: str | None) -> Page:
        """Return a page of the tenant's accounts, ordered by user id."""
        skip = (page - 1) * page_size
        with read_only(self._database) as connection:
            tenant = program.tenant(connection, tenant_id)
            total, _ = pages.count_of_accounts(connection, tenant_id, status)
            found = current.page_of_accounts(connection, tenant, status, page_size, skip)
        return Page(found, total, None)

    def page_of_all_entries(self, tenant_id: str, *, page: int, page_size: int, type: str | None) -> Page:
        """Return a page of the entries of all users, newest first.

        Without `type` the total is the sum of the accounts' versions: entries are numbered without gaps.
        """
        skip = (page - 1) * page_size
        with read_only(self._database) as connection:
            program.tenant(connection, tenant_id)
            if type is None:
                _, total = pages.count_of_accounts(connection, tenant_id, None)
            else:
                total = pages.entries_of_tenant(connection, tenant_id, type)
            found = accounts.entries_of_tenant(connection, tenant_id, type, page_size, skip)
        return Page(found, total, None)

    def risk(self, tenant_id: str, user_id: str) -> tuple[Factor, ...]:
        """Return the risk factors of the account's recent activity."""
        with read_only(self._database) as connection:
            program.tenant(connection, tenant_id)
            pages.version_of(connection, tenant_id, user_id)
            return factors(pages.activity(connection, tenant_id, user_id))

    def page_of_entries(
        self, tenant_id: str, user_id: str, *, page: int, page_size: int, type: str | None, before: int | None
    ) -> Page:
        """Return a page of a user's entries, newest first. `before`, a `seq`, replaces `page`."""
        with read_only(self._database) as connection:
            program.tenant(connection, tenant_id)
            version = pages.version_of(connection, tenant_id, user_id)
            start = _page_start(version, page, page_size, type, before)
            total = version
            if type is not None:
                total = pages.entries_of_type(connection, tenant_id, user_id, type)
            found: list[dict[str, Any]] = []
            if start.can_have_entries(total):
                found = accounts.entries(
                    connection, tenant_id, user_id, start.below, type=type, limit=page_size, skip=start.skip
                )
        return _page(found, total, page_size)

    def page_of_wallet_entries(
        self, tenant_id: str, user_id: str, *, page: int, page_size: int, type: str | None, before: int | None
    ) -> Page:
        """Return a page of a wallet's entries, newest first. `before`, a `seq`, replaces `page`."""
        version = int(self.wallet(tenant_id, user_id)["version"])
        start = _page_start(version, page, page_size, type, before)
        with read_only(self._database) as connection:
            total = version
            if type is not None:
                total = wallets.entries_of_type(connection, tenant_id, user_id, type)
            found: list[dict[str, Any]] = []
            if start.can_have_entries(total):
                found = wallets.wallet_entries(
                    connection, tenant_id, user_id, start.below, type=type, limit=page_size, skip=start.skip
                )
        return _page(found, total, page_size)

    def page_of_audit_records(
        self,
        tenant_id: str,
        *,
        page: int,
        page_size: int,
        user_id: str | None,
        actor: str | None,
        kind: str | None,
        state: Literal["applied", "refused"] | None,
    ) -> tuple[int, list[dict[str, Any]]]:
        """Return the number of matching audit records and a page of them, newest first."""
        matching, skip = audit_log.AuditLogFilter(user_id, actor, kind, state), (page - 1) * page_size
        with read_only(self._database) as connection:
            program.tenant(connection, tenant_id)
            total = audit_log.count(connection, tenant_id, matching)
            found = (
                audit_log.records(connection, tenant_id, matching, limit=page_size, skip=skip)
                if skip < total
                else []
            )
        return total, found

    def integrity(self, tenant_id: str, account_id: str) -> verify.AccountReport:
        """Verify the account with this id. Raises AccountMissing."""
        with read_only(self._database) as connection:
            user_id = pages.user_of(connection, tenant_id, parse_id(account_id))
        return verify.verify_account(self._database, tenant_id, user_id)


class _PageStart(NamedTuple):
    """Where a page begins: below this `seq`, after skipping `skip` rows."""

    below: int
    skip: int

    def can_have_entries(self, total: int) -> bool:
        """Return whether the page can have entries, given the total."""
        return self.skip < total and self.below > 1


def _page_start(version: int, page: int, page_size: int, type: str | None, before: int | None) -> _PageStart:
    """Compute where a page starts.

    Entries are numbered without gaps up to `version`, so without `type` no row needs to be skipped.
    """
    if before is not None:
        return _PageStart(min(before, version + 1), 0)
    skip = (page - 1) * page_size
    return _PageStart(version + 1 - skip, 0) if type is None else _PageStart(version + 1, skip)


def _page(found: list[dict[str, Any]], total: int, page_size: int) -> Page:
    is_last = len(found) < page_size or found[-1]["seq"] == 1
    return Page(found, total, None if is_last else found[-1]["seq"])
