"""What a batch tells those who watch, after its commit."""

from collections import Counter

from pointledger.domain.commands.accepted import Accepted
from pointledger.domain.commands.outcomes import Applied, Decision
from pointledger.domain.ledger.book import Book
from pointledger.ids import show_id
from pointledger.logs import Log
from pointledger.observability import counters

_log = Log(__name__)


def count(decisions: list[tuple[Accepted, Decision]], seconds: float) -> None:
    """For those who watch; after the commit."""
    if not decisions:
        return
    counters.BATCH_SIZE.observe(len(decisions))
    counters.BATCH_SECONDS.observe(seconds)
    reasons = Counter(None if isinstance(made, Applied) else made.reason for _, made in decisions)
    for reason, commands in reasons.items():
        counters.OUTCOMES.labels("refused" if reason else "applied", reason or "").inc(commands)


def rule_errors(lane: int, book: Book) -> None:
    """A line per rule whose expression failed in the batch: whoever put the rule must know. Of the events it
    says nothing but their number."""
    for error, commands in sorted(book.rule_errors.items()):
        _log.warning(
            "rule_failed",
            action="drain",
            lane=lane,
            tenant_id=error.tenant_id,
            rule_id=show_id(error.rule_id),
            rule_version=error.rule_version,
            because=error.because,
            commands=commands,
        )
