"""The phases of a batch's transaction: lock, decide and save. `batch.py` calls them in this order."""

from contextlib import nullcontext

import sqlalchemy as sa

from pointledger import failpoints
from pointledger.domain.commands.accepted import Accepted
from pointledger.domain.commands.outcomes import Decision
from pointledger.domain.decisions.audit import AuditRecord, decide_audited
from pointledger.domain.ledger.book import Book
from pointledger.engine.decide_time import DecideTime
from pointledger.engine.peeked import Lanes, places_of
from pointledger.storage.ledger import book as books
from pointledger.storage.ledger import erasures
from pointledger.storage.ledger.audit_log import save_audit_records
from pointledger.storage.pipelines import pipelined
from pointledger.storage.queue import failures, pending
from pointledger.storage.queue.lanes import send_lock

_FEW = 64  # commands: about where COPY gets faster than one round trip for all tables
# An ordinary command writes an entry, a new lot, a changed one and a move. One round trip takes rows as JSON:
# a command with 200,000 lots did not end within minutes.
_FEW_ROWS = 4 * _FEW


class CommandFailed(Exception):
    """Deciding this command raised an exception."""

    def __init__(self, accepted: Accepted) -> None:
        super().__init__(accepted.command.id)
        self.accepted = accepted


class LimitMoved(Exception):
    """Other lanes have used up the part of a shared limit that this batch relied on."""


def lock(
    connection: sa.Connection, of: Lanes, batch: list[Accepted], locked_lanes: set[int]
) -> tuple[pending.Claimed, books.Locked]:
    """Lock the lanes, claim the commands and lock their accounts, in one round trip."""
    failpoints.before("lock-lanes")
    with pipelined(connection):
        send_lock(connection, list(locked_lanes))
        claimed = pending.claim(connection, *places_of(of, batch))
        locked = books.lock(connection, batch)
    failpoints.after("lock-lanes")
    return claimed(), locked


def save(
    connection: sa.Connection,
    of: Lanes,
    book: Book,
    decisions: list[tuple[Accepted, Decision]],
    audit_records: list[AuditRecord],
    *,
    lanes: set[int],
    some_failed: bool,
) -> pending.Finished:
    """Save, count, end: a few rows in one round trip, many with COPY. Raise LimitMoved.

    `lanes`: those of the batch, also of commands that are not among the decisions.
    """
    batch = [accepted for accepted, _ in decisions]
    written = len(book.entries) + len(book.new_lots) + len(book.changed_lots) + len(book.moves)
    is_few = len(batch) <= _FEW and written <= _FEW_ROWS
    with pipelined(connection) if is_few else nullcontext():
        books.save(connection, book)
        if not books.count(connection, book):
            raise LimitMoved
        books.save_outcomes(connection, book, decisions)
        erasures.save_erased(connection, book, batch)
        save_audit_records(connection, audit_records)
        ended = pending.done(connection, *places_of(of, batch), list(lanes))
        if some_failed:
            failures.clear(connection, [accepted.command.id for accepted in batch])
    return ended()


def decide(
    book: Book, batch: list[Accepted], decide_time: DecideTime
) -> tuple[list[tuple[Accepted, Decision]], list[AuditRecord]]:
    """Decide commands one after the other until the time ends; return also their audit records.

    Raise CommandFailed.
    """
    decisions: list[tuple[Accepted, Decision]] = []
    audit_records: list[AuditRecord] = []
    for accepted in batch:
        if decisions and decide_time.has_ended():
            break
        try:
            failpoints.before("decide")
            decisions.append((accepted, decide_audited(book, accepted, audit_records)))
            failpoints.after("decide")
        except Exception as error:
            raise CommandFailed(accepted) from error
    return decisions, audit_records
