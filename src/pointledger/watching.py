"""What a batch tells those who watch, after its commit."""

from collections import Counter

from pointledger import telemetry
from pointledger.domain.book import Book
from pointledger.domain.decide import Accepted
from pointledger.domain.outcomes import Applied, Decision
from pointledger.ids import show_id
from pointledger.logs import Log

_log = Log(__name__)


def count(decisions: list[tuple[Accepted, Decision]], seconds: float) -> None:
    """For those who watch; after the commit."""
    if not decisions:
        return
    telemetry.BATCH_SIZE.observe(len(decisions))
    telemetry.BATCH_SECONDS.observe(seconds)
    reasons = Counter(None if isinstance(made, Applied) else made.reason for _, made in decisions)
    for reason, commands in reasons.items():
        telemetry.OUTCOMES.labels("refused" if reason else "applied", reason or "").inc(commands)


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
