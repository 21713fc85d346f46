"""Reports a batch in metrics and logs, after its commit."""

from collections import Counter
from datetime import datetime

from pointledger.domain.commands.accepted import Accepted
from pointledger.domain.commands.outcomes import Applied, Decision
from pointledger.domain.ledger.book import Book
from pointledger.ids import show_id
from pointledger.logs import Log
from pointledger.observability import counters

_log = Log(__name__)


def count(decisions: list[tuple[Accepted, Decision]], recorded_at: datetime, seconds: float) -> None:
    """Count the batch and its outcomes in the metrics.

    `recorded_at` is Postgres' clock at the start of the batch, and `seconds` how long the batch took. So no
    clock of this machine is compared with that of Postgres.
    """
    if not decisions:
        return
    for accepted_at, commands in Counter(accepted.accepted_at for accepted, _ in decisions).items():
        waited = (recorded_at - accepted_at).total_seconds() + seconds
        counters.OUTCOME_SECONDS.observe_many(waited, commands)
    counters.BATCH_SIZE.observe(len(decisions))
    counters.BATCH_SECONDS.observe(seconds)
    counters.count_tenants(Counter(accepted.command.tenant_id for accepted, _ in decisions), seconds)
    reasons = Counter(None if isinstance(made, Applied) else made.reason for _, made in decisions)
    for reason, commands in reasons.items():
        counters.OUTCOMES.labels("refused" if reason else "applied", reason or "").inc(commands)


def rule_errors(book: Book) -> None:
    """Log a line per rule whose expression failed in the batch, because its author must know.

    The line has the number of the events, and none of their data.
    """
    for error, commands in sorted(book.rule_errors.items()):
        _log.warning(
            "rule_failed",
            action="drain",
            tenant_id=error.tenant_id,
            rule_id=show_id(error.rule_id),
            rule_version=error.rule_version,
            detail=error.detail,
            commands=commands,
        )
