"""Runs a worker whose process dies when it decides a command with a certain amount."""

import os

from pointledger.domain.commands.accepted import Accepted
from pointledger.domain.commands.outcomes import Decision
from pointledger.domain.decisions import audit
from pointledger.domain.decisions.decide import decide
from pointledger.domain.ledger.book import Book
from pointledger.settings import Settings
from tests.ledger import Ledger

DEADLY_AMOUNT = 13
STATUS = 9  # the exit status of a worker that died


def _decide_or_die(book: Book, accepted: Accepted) -> Decision:
    if getattr(accepted.command, "amount", 0) == DEADLY_AMOUNT:
        os._exit(STATUS)
    return decide(book, accepted)


def drain(settings: Settings, lane: int) -> None:
    """Apply the commands of a lane until none is pending."""
    audit.decide = _decide_or_die  # type: ignore[attr-defined]
    with Ledger(settings.model_copy(update={"backoff_seconds": (0.0, 0.0)})) as ledger:
        while ledger.waiting_lanes():
            ledger.engine.drain(lane)
