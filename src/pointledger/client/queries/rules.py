"""Queries about rules: dry runs of events and commands, and the state of limits that all users share."""

from pointledger.client.queries.dry_run import DryRun, dry_run
from pointledger.client.queries.trials import Trial, try_command
from pointledger.domain.commands import AnyCommand, ApplyRule
from pointledger.domain.commands.accepted import Accepted
from pointledger.domain.decisions.decide import effective_at
from pointledger.domain.values.pseudonyms import Pseudonyms
from pointledger.storage.database import Queries, read_only
from pointledger.storage.ledger import book as books
from pointledger.storage.ledger import program
from pointledger.storage.ledger.shared_usage import SharedLimit, shared_limits
from pointledger.storage.queue import job_runs

_OF_A_TRIAL = Pseudonyms(b"of a trial, whose pseudonym goes nowhere")


class RuleQueries(Queries):
    """Queries about rules in one database."""

    def dry_run(self, command: ApplyRule) -> DryRun:
        """Say what an event would bring if it were applied now. Locks nothing and changes nothing."""
        with read_only(self._database) as connection:
            accepted = Accepted(0, command, job_runs.now(connection))
            book = books.load_unlocked(connection, accepted, program.Programs())
        tenant = book.tenants.get(command.tenant_id)
        at = effective_at(tenant, accepted) if tenant else accepted.accepted_at
        return dry_run(book, command, at)

    def try_command(self, command: AnyCommand) -> Trial:
        """Say what a command would do if it were applied now. Locks nothing and changes nothing. A user who
        is erased already looks like a new one, because only workers have the key of pseudonyms."""
        with read_only(self._database) as connection:
            accepted = Accepted(0, command, job_runs.now(connection))
            book = books.load_unlocked(connection, accepted, program.Programs())
        book.pseudonyms = _OF_A_TRIAL
        return try_command(book, accepted)

    def shared_limits(self, tenant_id: str) -> list[SharedLimit]:
        """Say what is used and left of each limit that all users of the tenant share, in its current window.
        Limits of disabled rules are included. Raises TenantMissing."""
        with read_only(self._database) as connection:
            tenant, now = program.tenant(connection, tenant_id), job_runs.now(connection)
            return shared_limits(connection, tenant, program.current_rules(connection, tenant_id), now)
