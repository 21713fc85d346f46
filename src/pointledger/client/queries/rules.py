"""Queries about rules: dry runs of events and commands, and the state of limits that all users share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pointledger.client.queries import late
from pointledger.client.queries.base import Queries
from pointledger.domain.commands import AnyCommand, ApplyRule
from pointledger.domain.commands.accepted import Accepted
from pointledger.domain.values.pseudonyms import Pseudonyms

if TYPE_CHECKING:
    from pointledger.client.queries.dry_run import DryRun
    from pointledger.client.queries.trials import Trial
    from pointledger.storage.ledger.shared_usage import SharedLimit

_OF_A_TRIAL = Pseudonyms(b"of a trial, whose pseudonym goes nowhere")


class RuleQueries(Queries):
    """Queries about rules in one database."""

    def dry_run(self, command: ApplyRule) -> DryRun:
        """Say what an event would bring if it were applied now. Locks nothing and changes nothing."""
        with late.database.read_only(self._database) as connection:
            accepted = Accepted(0, command, late.job_runs.now(connection))
            book = late.book.load_unlocked(connection, accepted, late.program.Programs())
        tenant = book.tenants.get(command.tenant_id)
        at = late.decide.effective_at(tenant, accepted) if tenant else accepted.accepted_at
        return late.dry_run.dry_run(book, command, at)

    def try_command(self, command: AnyCommand) -> Trial:
        """Say what a command would do if it were applied now. Locks nothing and changes nothing. A user who
        is erased already looks like a new one, because only workers have the key of pseudonyms."""
        with late.database.read_only(self._database) as connection:
            accepted = Accepted(0, command, late.job_runs.now(connection))
            book = late.book.load_unlocked(connection, accepted, late.program.Programs())
        book.pseudonyms = _OF_A_TRIAL
        return late.trials.try_command(book, accepted)

    def shared_limits(self, tenant_id: str) -> list[SharedLimit]:
        """Say what is used and left of each limit that all users of the tenant share, in its current window.
        Limits of disabled rules are included. Raises TenantMissing."""
        with late.database.read_only(self._database) as connection:
            tenant, now = late.program.tenant(connection, tenant_id), late.job_runs.now(connection)
            rules = late.program.current_rules(connection, tenant_id)
            return late.shared_usage.shared_limits(connection, tenant, rules, now)
