"""What the gateway asks beyond what every door asks: answers to commands, pages by number."""

from typing import Any, NamedTuple
from uuid import UUID

from pointledger.audit import audit_account
from pointledger.domain.risk import Factor, factors
from pointledger.errors import AccountMissing
from pointledger.ids import show_id
from pointledger.lookups import Lookups
from pointledger.storage import answers, listings, programmes, queries
from pointledger.storage.answers import Answered
from pointledger.storage.database import looking, rows


class Page(NamedTuple):
    """A page of a list. `total`: how many there are in all; `next_before`: goes into the next question, None
    at the end."""

    items: list[dict[str, Any]]
    total: int
    next_before: int | None


class GatewayLookups(Lookups):
    """Asks one database."""

    def answers(self, command_ids: list[UUID]) -> dict[UUID, Answered]:
        """What came of these commands, by the id asked for; without those that were never accepted."""
        with looking(self._database) as connection:
            return answers.answers(connection, command_ids)

    def is_there(self) -> bool:
        """Whether the database answers. Raises what it raises when not."""
        with self._database.connect() as connection:
            return bool(rows(connection, "SELECT true")[0][0])

    def page_of_accounts(self, tenant_id: str, *, page: int, page_size: int, status: str | None) -> Page:
        """A page of the tenant's accounts, by user id."""
        skip = (page - 1) * page_size
        with looking(self._database) as connection:
            programmes.tenant(connection, tenant_id)
            total, _ = listings.count_of_accounts(connection, tenant_id, status)
            found = queries.page_of_accounts(connection, tenant_id, status, page_size, skip)
        return Page(found, total, None)

    def page_of_all_entries(self, tenant_id: str, *, page: int, page_size: int, type: str | None) -> Page:
        """A page of everybody's entries, the latest first. Without a type their number is that of the
        accounts' versions."""
        skip = (page - 1) * page_size
        with looking(self._database) as connection:
            programmes.tenant(connection, tenant_id)
            if type is None:
                _, total = listings.count_of_accounts(connection, tenant_id, None)
            else:
                total = listings.entries_of_tenant(connection, tenant_id, type)
            found = queries.entries_of_tenant(connection, tenant_id, type, page_size, skip)
        return Page(found, total, None)

    def risk(self, tenant_id: str, user_id: str) -> tuple[Factor, ...]:
        """How suspicious the account's latest doings are, fact by fact."""
        with looking(self._database) as connection:
            programmes.tenant(connection, tenant_id)
            listings.version_of(connection, tenant_id, user_id)
            return factors(listings.activity(connection, tenant_id, user_id))

    def integrity(self, tenant_id: str, account_id: UUID) -> dict[str, Any]:
        """Every invariant of one account, with the rows that belie it. Raises AccountMissing."""
        with looking(self._database) as connection:
            if not listings.has_account(connection, tenant_id, account_id):
                raise AccountMissing(f"{show_id(account_id)} of {tenant_id}")
        findings = audit_account(self._database, tenant_id, account_id)
        return {
            "account_id": show_id(account_id),
            "valid": not any(finding.violations for finding in findings),
            "checks": [
                {"id": found.invariant.id, "name": found.invariant.name, "rows": found.rows}
                for found in findings
            ],
        }

    def page_of_entries(
        self, tenant_id: str, user_id: str, *, page: int, page_size: int, type: str | None, before: int | None
    ) -> Page:
        """A page of a user's entries, newest first. `before`: those
        below this `seq`, whatever the page. Without a type no row is stepped over: an account's entries are
        numbered without gaps."""
        with looking(self._database) as connection:
            programmes.tenant(connection, tenant_id)
            version = listings.version_of(connection, tenant_id, user_id)
            skipped = 0
            if type is None:
                total = version
                first_below = version + 1 - (page - 1) * page_size
            else:
                total = listings.entries_of_type(connection, tenant_id, user_id, type)
                first_below, skipped = version + 1, (page - 1) * page_size
            if before is not None:
                first_below, skipped = min(before, version + 1), 0
            found: list[dict[str, Any]] = []
            if skipped < total and first_below > 1:
                found = queries.entries(
                    connection, tenant_id, user_id, first_below, type=type, limit=page_size, skip=skipped
                )
        is_last = len(found) < page_size or found[-1]["seq"] == 1
        return Page(found, total, None if is_last else found[-1]["seq"])
