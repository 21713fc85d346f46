"""Loads the accounts of a batch for its decisions, and saves the changes.

All statements work on sets: one round trip per table, never one per row.
"""

from collections.abc import Iterable
from functools import lru_cache
from operator import attrgetter
from typing import Any

import orjson
import sqlalchemy as sa

from pointledger.domain.commands.accepted import Accepted, users_of
from pointledger.domain.commands.outcomes import Applied, Decision
from pointledger.domain.decisions.read_set import read_set_of
from pointledger.domain.ledger.account import Account
from pointledger.domain.ledger.book import Book
from pointledger.domain.ledger.entry import Entry
from pointledger.domain.program.limits import SharedUsage, Window
from pointledger.storage.copy import copy
from pointledger.storage.database import rows, run
from pointledger.storage.events.outbox import save_events
from pointledger.storage.ledger.holds import load_holds, save_holds
from pointledger.storage.ledger.lots import load_lots, load_pending, save_lots
from pointledger.storage.ledger.program import Programs, draw_number
from pointledger.storage.ledger.reversals import load_reversibles
from pointledger.storage.ledger.shared_usage import confirm_shared, count_shared, load_shared
from pointledger.storage.ledger.usage import load_usage, save_usage
from pointledger.storage.ledger.wallets import load_wallets, save_wallets

ACCOUNT = (  # the columns of an account in the book, in the order of its fields
    "id", "tenant_id", "user_id", "points_type", "created_at", "updated_at", "as_of", "status", "balance",
    "frozen_balance", "pending_balance", "debt", "total_earned", "total_spent", "expired_points",
    "total_refunded", "total_transferred_in", "total_transferred_out", "total_adjusted_in",
    "total_adjusted_out", "total_clawed_back", "version", "next_expiry_at", "next_activation_at",
    "expiry_exempt", "expires_not_before",
)  # fmt: skip


def load(
    connection: sa.Connection,
    batch: list[Accepted],
    programs: Programs,
    *,
    lock_counters: bool = False,
) -> Book:
    """Load everything that the decisions on this batch may need.

    The accounts stay locked until the transaction ends. With `lock_counters`, so do the counters of shared
    limits.
    """
    book, shared = _load(connection, batch, programs, _LOCK_ACCOUNTS, draws=True)
    book.usage |= load_shared(connection, shared, lock=lock_counters)
    if lock_counters:
        book.batch = draw_number(connection)
    return book


def load_unlocked(connection: sa.Connection, accepted: Accepted, programs: Programs) -> Book:
    """Load what a decision on this command needs, without locks."""
    book, shared = _load(connection, [accepted], programs, _ACCOUNTS)
    book.usage |= load_shared(connection, shared)
    return book


def _load(
    connection: sa.Connection,
    batch: list[Accepted],
    programs: Programs,
    sql: str,
    *,
    draws: bool = False,
) -> tuple[Book, list[Window]]:
    """Load the book, and return it with the shared windows that are still to load."""
    keys = users_of(batch)
    accounts = _accounts(connection, sql, sorted(keys))
    wallets = load_wallets(connection, batch)
    reversibles, reversed_lots = load_reversibles(connection, batch)
    granted_by = [(tenant_id, entry.rule) for (tenant_id, _), entry in reversibles.items() if entry.rule]
    tenant_ids = sorted({tenant_id for tenant_id, _ in keys})
    found = programs.current(connection, tenant_ids, batch, granted_by, draws=draws)
    book = Book(
        found.moment,
        found.batch,
        tenants=found.tenants,
        rules=found.rules,
        versions=found.versions,
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


_ACCOUNTS = f"""
SELECT {", ".join(f"a.{name}" for name in ACCOUNT)}
FROM unnest(%(tenants)b::text[], %(users)b::text[]) AS wanted (tenant_id, user_id)
JOIN accounts a ON a.tenant_id = wanted.tenant_id COLLATE "C" AND a.user_id = wanted.user_id COLLATE "C"
ORDER BY a.tenant_id, a.user_id"""  # noqa: S608  (constants only)

# A separate statement that locks in sorted order. So the next statements read what the transactions that it
# waited for have committed.
_LOCK_ACCOUNTS = _ACCOUNTS + " FOR UPDATE OF a"


def _accounts(
    connection: sa.Connection, sql: str, keys: list[tuple[str, str]]
) -> dict[tuple[str, str], Account]:
    found = rows(connection, sql, tenants=[tenant for tenant, _ in keys], users=[user for _, user in keys])
    accounts = {}
    for row in found:
        account = account_of(row)
        account.as_loaded = row
        accounts[account.tenant_id, account.user_id] = account
    return accounts


def account_of(columns: Iterable[Any]) -> Account:
    """Make the account of these columns (`ACCOUNT`), without its lots and holds."""
    account = Account(*columns)
    account.others_expire_from = account.next_expiry_at
    account.others_activate_from = account.next_activation_at
    return account


_columns_of = attrgetter(*ACCOUNT)

_TYPES = {
    "updated_at": "timestamptz",
    "as_of": "timestamptz",
    "next_expiry_at": "timestamptz",
    "next_activation_at": "timestamptz",
    "status": "text",
    "expiry_exempt": "bool",
    "expires_not_before": "timestamptz",
}


@lru_cache(maxsize=100)  # the number of statements that the driver keeps prepared
def _update_accounts(changing: tuple[str, ...]) -> str:
    """Return the statement that writes these columns."""
    return f"""
UPDATE accounts SET {", ".join(f"{name} = new.{name}" for name in changing)}
FROM unnest(%(tenants)b::text[], %(users)b::text[],
            {", ".join(f"%({name})b::{_TYPES.get(name, 'int8')}[]" for name in changing)})
     AS new (tenant_id, user_id, {", ".join(changing)})
WHERE accounts.tenant_id = new.tenant_id COLLATE "C" AND accounts.user_id = new.user_id COLLATE "C"
"""  # noqa: S608  (constants only)


ENTRY = (
    "tenant_id", "account_id", "seq", "id", "command_id", "type", "subtype", "amount", "delta",
    "delta_frozen", "delta_pending", "delta_debt", "balance_after", "frozen_after", "pending_after",
    "debt_after", "related_id", "rule_id", "rule_version", "expires_at", "occurred_at", "created_at",
)  # fmt: skip


def save(connection: sa.Connection, book: Book) -> None:
    """Write all changes of the decisions, except the usage of shared limits (`count`)."""
    _save_accounts(connection, list(book.accounts.values()))
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


def _save_accounts(connection: sa.Connection, accounts: list[Account]) -> None:
    copy(
        connection,
        "accounts",
        ACCOUNT,
        [_columns_of(account) for account in accounts if account.is_new],
    )
    changed = [account for account in accounts if account.changed and not account.is_new]
    if not changed:
        return
    # Most batches change few of the columns, and each column that is not sent saves work on both sides.
    before = zip(*(account.as_loaded for account in changed), strict=True)
    now = zip(*(_columns_of(account) for account in changed), strict=True)
    differing = {name: list(new) for name, old, new in zip(ACCOUNT, before, now, strict=True) if old != new}
    if not differing:
        return
    updated = run(
        connection,
        _update_accounts(tuple(differing)),
        tenants=[account.tenant_id for account in changed],
        users=[account.user_id for account in changed],
        **differing,
    )
    assert updated == len(changed), "a locked account exists until the transaction ends"


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
