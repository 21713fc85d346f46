"""Lookups about rules: what they would grant, and what the limits leave that all users share."""

from pointledger.client.queries.dry_run import DryRun, dry_run
from pointledger.domain.commands import ApplyRule
from pointledger.domain.commands.accepted import Accepted
from pointledger.domain.decisions.decide import effective_at
from pointledger.storage.database import Asking, looking
from pointledger.storage.ledger import book as books
from pointledger.storage.ledger import program
from pointledger.storage.ledger.shared_usage import SharedLimit, shared_limits
from pointledger.storage.queue import job_runs


class RuleLookups(Asking):
    """Asks one database."""

    def dry_run(self, command: ApplyRule) -> DryRun:
        """What the event would bring if it were applied now: points, what each rule would grant or why it
        would not, what its limits have left. Nothing is locked, nothing changes."""
        with looking(self._database) as connection:
            accepted = Accepted(0, command, job_runs.now(connection))
            book = books.look(connection, accepted, program.Programmes())
        tenant = book.tenants.get(command.tenant_id)
        at = effective_at(tenant, accepted) if tenant else accepted.accepted_at
        return dry_run(book, command, at)

    def shared_limits(self, tenant_id: str) -> list[SharedLimit]:
        """How much is used, and left, of each limit that all users of the tenant share, in its window of now;
        also those of rules that are switched off. Raises TenantMissing."""
        with looking(self._database) as connection:
            tenant, now = program.tenant(connection, tenant_id), job_runs.now(connection)
            return shared_limits(connection, tenant, program.current_rules(connection, tenant_id), now)
