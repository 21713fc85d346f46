"""What the gateway asks beyond what every door asks: answers to commands, pages by number."""

from typing import Any, Literal, NamedTuple
from uuid import UUID

from pointledger.client.queries.ledger import Lookups
from pointledger.domain.commands.outcomes import Outcome
from pointledger.domain.ledger.risk import Factor, factors
from pointledger.ids import parse_id
from pointledger.observability import verify
from pointledger.storage.database import looking, rows
from pointledger.storage.ledger import program
from pointledger.storage.queries import accounts, audit_log, current, outcomes, pages, wallets
from pointledger.storage.queries.outcomes import Answered


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
            return outcomes.answers(connection, command_ids)

    def sent_by_name(self, task_id: UUID) -> Outcome | None:
        """What came of a message of Celery's that is no command, or not yet; None where there is none."""
        with looking(self._database) as connection:
            outcome = outcomes.outcomes(connection, [task_id])[task_id]
        return outcome if outcome.accepted_at is None and outcome.state != "unknown" else None

    def is_there(self) -> bool:
        """Whether the database answers. Raises what it raises when not."""
        with self._database.connect() as connection:
            return bool(rows(connection, "SELECT true")[0][0])

    def page_of_accounts(self, tenant_id: str, *, page: int, page_size: int, status: str | None) -> Page:
        """A page of the tenant's accounts, by user id."""
        skip = (page - 1) * page_size
        with looking(self._database) as connection:
            tenant = program.tenant(connection, tenant_id)
            total, _ = pages.count_of_accounts(connection, tenant_id, status)
            found = current.page_of_accounts(connection, tenant, status, page_size, skip)
        return Page(found, total, None)

    def page_of_all_entries(self, tenant_id: str, *, page: int, page_size: int, type: str | None) -> Page:
        """A page of everybody's entries, the latest first. Without a type their number is that of the
        accounts' versions."""
        skip = (page - 1) * page_size
        with looking(self._database) as connection:
            program.tenant(connection, tenant_id)
            if type is None:
                _, total = pages.count_of_accounts(connection, tenant_id, None)
            else:
                total = pages.entries_of_tenant(connection, tenant_id, type)
            found = accounts.entries_of_tenant(connection, tenant_id, type, page_size, skip)
        return Page(found, total, None)

    def risk(self, tenant_id: str, user_id: str) -> tuple[Factor, ...]:
        """How suspicious the account's latest doings are, fact by fact."""
        with looking(self._database) as connection:
            program.tenant(connection, tenant_id)
            pages.version_of(connection, tenant_id, user_id)
            return factors(pages.activity(connection, tenant_id, user_id))

    def page_of_entries(
        self, tenant_id: str, user_id: str, *, page: int, page_size: int, type: str | None, before: int | None
    ) -> Page:
        """A page of a user's entries, newest first. `before`: those below this `seq`, whatever the page."""
        with looking(self._database) as connection:
            program.tenant(connection, tenant_id)
            version = pages.version_of(connection, tenant_id, user_id)
            place = _place(version, page, page_size, type, before)
            total = version
            if type is not None:
                total = pages.entries_of_type(connection, tenant_id, user_id, type)
            found: list[dict[str, Any]] = []
            if place.has_any(total):
                found = accounts.entries(
                    connection, tenant_id, user_id, place.below, type=type, limit=page_size, skip=place.skip
                )
        return _page(found, total, page_size)

    def page_of_wallet_entries(
        self, tenant_id: str, user_id: str, *, page: int, page_size: int, type: str | None, before: int | None
    ) -> Page:
        """A page of a wallet's entries, newest first. `before`: those below this `seq`, whatever the page."""
        version = int(self.wallet(tenant_id, user_id)["version"])
        place = _place(version, page, page_size, type, before)
        with looking(self._database) as connection:
            total = version
            if type is not None:
                total = wallets.entries_of_type(connection, tenant_id, user_id, type)
            found: list[dict[str, Any]] = []
            if place.has_any(total):
                found = wallets.wallet_entries(
                    connection, tenant_id, user_id, place.below, type=type, limit=page_size, skip=place.skip
                )
        return _page(found, total, page_size)

    def page_of_acts(
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
        """How many acts there are of these, and a page of them, the latest first."""
        which, skip = audit_log.Filter(user_id, actor, kind, state), (page - 1) * page_size
        with looking(self._database) as connection:
            program.tenant(connection, tenant_id)
            total = audit_log.count(connection, tenant_id, which)
            found = (
                audit_log.acts(connection, tenant_id, which, limit=page_size, skip=skip)
                if skip < total
                else []
            )
        return total, found

    def integrity(self, tenant_id: str, account_id: str) -> verify.Integrity:
        """Whether the account of this id is sound. Raises AccountMissing."""
        with looking(self._database) as connection:
            user_id = pages.user_of(connection, tenant_id, parse_id(account_id))
        return verify.integrity(self._database, tenant_id, user_id)


class _Place(NamedTuple):
    """Where a page begins: below this `seq`, after stepping over so many."""

    below: int
    skip: int

    def has_any(self, total: int) -> bool:
        """Whether anything may stand there, of so many in all."""
        return self.skip < total and self.below > 1


def _place(version: int, page: int, page_size: int, type: str | None, before: int | None) -> _Place:
    """Entries are numbered without gaps up to `version`: of all types, no row is stepped over."""
    if before is not None:
        return _Place(min(before, version + 1), 0)
    skip = (page - 1) * page_size
    return _Place(version + 1 - skip, 0) if type is None else _Place(version + 1, skip)


def _page(found: list[dict[str, Any]], total: int, page_size: int) -> Page:
    is_last = len(found) < page_size or found[-1]["seq"] == 1
    return Page(found, total, None if is_last else found[-1]["seq"])
