"""Loads the accounts of a batch for its decisions, and saves the changes.

All statements work on sets: one round trip per table, never one per row.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import orjson
import psycopg
import sqlalchemy as sa

from pointledger.domain.commands.accepted import Accepted, users_of
from pointledger.domain.commands.outcomes import Applied, Decision
from pointledger.domain.decisions.read_set import read_set_of
from pointledger.domain.ledger.book import Book
from pointledger.domain.ledger.entry import Entry
from pointledger.domain.ledger.wallets import Wallets
from pointledger.domain.program.limits import SharedUsage, Window
from pointledger.storage.copy import copy
from pointledger.storage.events.outbox import save_events
from pointledger.storage.ledger.accounts import LOCK_ACCOUNTS, READ_ACCOUNTS, accounts_from, save_accounts
from pointledger.storage.ledger.holds import load_holds, save_holds
from pointledger.storage.ledger.lots import load_lots, load_pending, save_lots
from pointledger.storage.ledger.program import Programs, VersionsSent, draw_number, send_versions
from pointledger.storage.ledger.reversals import load_reversibles
from pointledger.storage.ledger.shared_usage import confirm_shared, count_shared, load_shared
from pointledger.storage.ledger.usage import load_usage, save_usage
from pointledger.storage.ledger.wallets import lock_wallets, read_wallets, save_wallets
from pointledger.storage.pipelines import send


class Locked(NamedTuple):
    """The answers that a batch waits for: its accounts and wallets, which it locks, and its versions."""

    accounts: psycopg.Cursor[Any]
    wallets: Callable[[], Wallets]
    versions: VersionsSent


def lock(connection: sa.Connection, batch: list[Accepted]) -> Locked:
    """Lock the accounts and wallets that the batch changes until the transaction ends, in sorted order.

    Then draw the batch's number. In a pipeline it waits for nothing.
    """
    return _send(connection, batch, LOCK_ACCOUNTS, draws=True)


def load(
    connection: sa.Connection,
    batch: list[Accepted],
    locked: Locked,
    programs: Programs,
    *,
    lock_counters: bool = False,
) -> Book:
    """Load everything that the decisions on this batch may need, a part of the batch that was locked.

    With `lock_counters`, the counters of shared limits stay locked, too.
    """
    book, shared = _load(connection, batch, locked, programs)
    book.usage |= load_shared(connection, shared, lock=lock_counters)
    if lock_counters:
        book.batch = draw_number(connection)
    return book


def load_unlocked(connection: sa.Connection, accepted: Accepted, programs: Programs) -> Book:
    """Load what a decision on this command needs, without locks on its accounts."""
    batch = [accepted]
    book, shared = _load(connection, batch, _send(connection, batch, READ_ACCOUNTS, read_wallets), programs)
    book.usage |= load_shared(connection, shared)
    return book


def _send(
    connection: sa.Connection,
    batch: list[Accepted],
    sql: str,
    wallets: Callable[[sa.Connection, list[Accepted]], Callable[[], Wallets]] = lock_wallets,
    *,
    draws: bool = False,
) -> Locked:
    keys = sorted(users_of(batch))
    tenant_ids = [tenant_id for tenant_id, _ in keys]
    return Locked(
        send(connection, sql, tenants=tenant_ids, users=[user_id for _, user_id in keys]),
        wallets(connection, batch),
        send_versions(connection, sorted(set(tenant_ids)), draws=draws),
    )


def _load(
    connection: sa.Connection, batch: list[Accepted], locked: Locked, programs: Programs
) -> tuple[Book, list[Window]]:
    """Load the book, and return it with the shared windows that are still to load."""
    accounts = accounts_from(locked.accounts)
    wallets = locked.wallets()
    reversibles, reversed_lots = load_reversibles(connection, batch)
    granted_by = [(tenant_id, entry.rule) for (tenant_id, _), entry in reversibles.items() if entry.rule]
    found = programs.current(connection, locked.versions, batch, granted_by)
    book = Book(
        found.moment,
        found.batch,
        tenants=found.tenants,
        rules=found.rules,
        versions=found.versions,
        moments=found.moments,
        accounts=accounts,
        wallets=wallets,
        reversibles=reversibles,
    )
    read_set = read_set_of(batch, book)
    load_pending(connection, book, read_set.accounts, reversed_lots)
    load_lots(connection, book, read_set.accounts, reversed_lots)
    load_holds(connection, book, read_set.accounts, reversed_lots)
    own = sorted(window for window in read_set.windows if not window.is_shared)
    shared = sorted(window for window in read_set.windows if window.is_shared)
    book.usage = load_usage(connection, own)
    return book, shared


ENTRY = (
    "tenant_id", "account_id", "seq", "id", "command_id", "type", "subtype", "amount", "delta",
    "delta_frozen", "delta_pending", "delta_debt", "balance_after", "frozen_after", "pending_after",
    "debt_after", "related_id", "rule_id", "rule_version", "expires_at", "occurred_at", "created_at",
)  # fmt: skip


def save(connection: sa.Connection, book: Book) -> None:
    """Write all changes of the decisions, except the usage of shared limits (`count`)."""
    save_accounts(connection, list(book.accounts.values()))
    copy(connection, "entries", ENTRY, [entry_line(entry) for entry in book.entries])
    save_lots(connection, book)
    save_holds(connection, book)
    copy(
        connection,
        "lot_moves",
        ("tenant_id", "entry_id", "lot_id", "kind", "amount"),
        [(move.tenant_id, move.entry_id, move.lot_id, move.kind, move.amount) for move in book.moves],
    )
    save_wallets(connection, book.wallets)
    save_usage(connection, book.usage)
    save_events(connection, book)


def save_outcomes(connection: sa.Connection, book: Book, decisions: list[tuple[Accepted, Decision]]) -> None:
    """Write the outcomes, with the batch's place in the order of application."""
    copy(
        connection,
        "outcomes",
        (
            "id",
            "tenant_id",
            "state",
            "reason",
            "message",
            "applied_at",
            "data",
            "batch",
            "place",
            "tenant_version",
            "rule_versions",
        ),
        [
            _outcome_line(book, place, accepted, decision)
            for place, (accepted, decision) in enumerate(decisions)
        ],
    )


def confirm_counters(connection: sa.Connection, book: Book) -> bool:
    """Lock the counters of shared limits that capped a grant, and check that they are unchanged.

    Return False if they changed, or if points that were taken back make room in a shared limit. The batch
    must then be decided with the counters locked.

    A batch that counts usage or was capped takes a later place in the order. So the limits that let a grant
    through are checked there, too: other batches may have used them up meanwhile.
    """
    shared = _shared(book)
    if any(used.points < used.points_before for used in shared.values()):
        return False
    clamped = book.clamped & shared.keys()
    counts = {window for window, used in shared.items() if used.changed}
    passed = (book.let_through & shared.keys()) - counts
    if not clamped and not (passed and counts):
        return True
    return confirm_shared(connection, shared, clamped, passed)


def count(connection: sa.Connection, book: Book) -> bool:
    """Count the points that were granted under shared limits.

    Call it as late as possible, because other batches wait from here until the COMMIT. Return False if other
    batches have used up the limit meanwhile; then the transaction must not commit.

    A batch that counts or was capped draws a new place in the order of application: after the batches that
    have read the counters, and before those that wait for them.
    """
    shared = _shared(book)
    if not count_shared(connection, shared):
        return False
    if book.clamped & shared.keys() or any(used.changed for used in shared.values()):
        book.batch = draw_number(connection)
    return True


def _shared(book: Book) -> dict[Window, SharedUsage]:
    """Return the usage of shared limits."""
    return {window: used for window, used in book.usage.items() if isinstance(used, SharedUsage)}


def entry_line(entry: Entry) -> tuple[Any, ...]:
    """Return the row of an entry (`ENTRY`)."""
    rule = entry.rule
    return (
        entry.tenant_id, entry.account_id, entry.seq, entry.id, entry.command_id, entry.type, entry.subtype,
        entry.amount, entry.delta, entry.delta_frozen, entry.delta_pending, entry.delta_debt,
        entry.balance_after, entry.frozen_after, entry.pending_after, entry.debt_after, entry.related_id,
        rule.id if rule else None, rule.version if rule else None, entry.expires_at, entry.occurred_at,
        entry.created_at,
    )  # fmt: skip


def _outcome_line(book: Book, place: int, accepted: Accepted, decision: Decision) -> tuple[Any, ...]:
    """Return the outcome's row, with the order and the versions that a replay needs."""
    command = accepted.command
    order = book.batch, place, *book.versions.get(command.tenant_id, (None, None))
    state, reason, message, data = outcome_text(decision)
    return command.id, command.tenant_id, state, reason, message, book.recorded_at, data, *order


def outcome_text(decision: Decision) -> tuple[str, str | None, str | None, str | None]:
    """Return a decision's state, reason, message and data as the outcome stores them."""
    if isinstance(decision, Applied):
        return "applied", None, None, orjson.dumps(decision.data, option=orjson.OPT_UTC_Z).decode()
    return "refused", decision.reason.value, decision.message, None
