"""Lookups about rules: what they would grant, and what the limits leave that all users share."""

from pointledger.domain.commands import ApplyRule
from pointledger.domain.decide import Accepted, effective_at
from pointledger.domain.dry_run import DryRun, dry_run
from pointledger.storage import books, jobs, programmes
from pointledger.storage.database import Asking, looking
from pointledger.storage.shared_usage import SharedLimit, shared_limits


class RuleLookups(Asking):
    """Asks one database."""

    def dry_run(self, command: ApplyRule) -> DryRun:
        """What the event would bring if it were applied now: points, what each rule would grant or why it
        would not, what its limits have left. Nothing is locked, nothing changes."""
        with looking(self._database) as connection:
            accepted = Accepted(0, command, jobs.now(connection))
            book = books.look(connection, accepted, programmes.Programmes())
        tenant = book.tenants.get(command.tenant_id)
        at = effective_at(tenant, accepted) if tenant else accepted.accepted_at
        return dry_run(book, command, at)

    def shared_limits(self, tenant_id: str) -> list[SharedLimit]:
        """How much is used, and left, of each limit that all users of the tenant share, in its window of now;
        also those of rules that are switched off. Raises TenantMissing."""
        with looking(self._database) as connection:
            tenant, now = programmes.tenant(connection, tenant_id), jobs.now(connection)
            return shared_limits(connection, tenant, programmes.current_rules(connection, tenant_id), now)
