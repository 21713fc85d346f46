"""The accounts of a batch: load what its decisions may know, save what they changed.

Set-based throughout: one round trip per table, never one per row.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
import sqlalchemy as sa

from pointledger.domain.book import Account, Book, Entry
from pointledger.domain.decide import Accepted
from pointledger.domain.limits import Usage, Window
from pointledger.domain.lots import Lot, consumption_order
from pointledger.domain.needs import AccountNeeds, needs_of
from pointledger.domain.outcomes import Applied, Decision
from pointledger.storage.database import copy, rows, run
from pointledger.storage.programmes import Programmes

_FIRST_LOTS = 32  # most debits are paid by the first few lots
_LOTS_GROWTH = 16  # an account that needs more gets so many times more at the next look

_ACCOUNT = (
    "id", "tenant_id", "user_id", "points_type", "created_at", "updated_at", "as_of", "status", "balance",
    "frozen_balance", "pending_balance", "debt", "total_earned", "total_spent", "expired_points",
    "total_refunded", "total_transferred_in", "total_transferred_out", "total_adjusted_in",
    "total_adjusted_out", "total_clawed_back", "version", "next_expiry_at",
)  # fmt: skip


def load(
    connection: sa.Connection, batch: list[Accepted], recorded_at: datetime, programmes: Programmes
) -> Book:
    """Everything that deciding this batch may need; its accounts stay locked until the transaction ends."""
    keys = {(a.command.tenant_id, user_id) for a in batch for user_id in a.command.users}
    book = Book(recorded_at, accounts=_lock_accounts(connection, sorted(keys)))
    tenants = sorted({tenant_id for tenant_id, _ in keys})
    book.tenants = programmes.tenants(connection, tenants)
    book.rules = programmes.rules(connection, tenants)
    needs = needs_of(batch, book)
    _load_lots(connection, book, needs.accounts)
    book.usage = _load_usage(connection, sorted(needs.windows))
    return book


_LOCK_ACCOUNTS = f"""
SELECT {", ".join(f"a.{name}" for name in _ACCOUNT)}
FROM unnest(%(tenants)b::text[], %(users)b::text[]) AS wanted (tenant_id, user_id)
JOIN accounts a ON a.tenant_id = wanted.tenant_id COLLATE "C" AND a.user_id = wanted.user_id COLLATE "C"
ORDER BY a.tenant_id, a.user_id
FOR UPDATE OF a"""  # noqa: S608  (column names of ours)


def _lock_accounts(connection: sa.Connection, keys: list[tuple[str, str]]) -> dict[tuple[str, str], Account]:
    """The accounts' rows, locked in sorted order, in a statement of their own: what is read next is what
    the transactions that we waited for have committed."""
    found = rows(
        connection, _LOCK_ACCOUNTS, tenants=[tenant for tenant, _ in keys], users=[user for _, user in keys]
    )
    accounts = {}
    for row in found:
        account = Account(**dict(zip(_ACCOUNT, row, strict=True)))
        account.others_expire_from = account.next_expiry_at
        accounts[account.tenant_id, account.user_id] = account
    return accounts


# ------------------------------------------------------------------------------------------------ lots

_LOTS = """
SELECT l.tenant_id, l.account_id, l.id, l.entry_id, l.origin_id, l.amount, l.remaining, l.earned_at,
       l.expires_at
FROM unnest(%(tenants)b::text[], %(accounts)b::uuid[]) AS wanted (tenant_id, account_id)
CROSS JOIN LATERAL (
    SELECT * FROM lots
    WHERE tenant_id = wanted.tenant_id COLLATE "C" AND account_id = wanted.account_id AND state = 'active'
    ORDER BY expires_at, earned_at, id LIMIT %(limit)s
) AS l"""


def _load_lots(connection: sa.Connection, book: Book, needs: dict[tuple[str, str], AccountNeeds]) -> None:
    """Loads each account's lots in consumption order until its debits are covered by lots that are not
    due, in growing strides, so that an account with a million lots costs no more than another."""
    wanted = {
        (account.tenant_id, account.id): (account, need)
        for key, need in needs.items()
        if (account := book.accounts.get(key)) and _needs_lots(account, need)
    }
    limit = _FIRST_LOTS
    while wanted:
        for account, _ in wanted.values():
            account.lots = []
        for tenant_id, account_id, *lot in rows(
            connection,
            _LOTS,
            tenants=[tenant for tenant, _ in wanted],
            accounts=[account for _, account in wanted],
            limit=limit,
        ):
            wanted[tenant_id, account_id][0].lots.append(_lot(tenant_id, account_id, lot))
        for account, _ in wanted.values():
            account.lots.sort(key=consumption_order)
            complete = len(account.lots) < limit
            account.others_expire_from = None if complete else account.lots[-1].expires_at
        wanted = {
            key: (account, need)
            for key, (account, need) in wanted.items()
            if len(account.lots) == limit and not _covers(account.lots, need)
        }
        limit *= _LOTS_GROWTH


def _needs_lots(account: Account, need: AccountNeeds) -> bool:
    due = account.next_expiry_at is not None and account.next_expiry_at <= need.until
    return due or need.debit > 0


def _covers(lots: list[Lot], need: AccountNeeds) -> bool:
    """Whether everything due is among the lots, and enough that is not."""
    if lots[-1].is_due(need.until):
        return False
    return sum(lot.remaining for lot in lots if not lot.is_due(need.until)) >= need.debit


def _lot(tenant_id: str, account_id: UUID, columns: list[Any]) -> Lot:
    lot_id, entry_id, origin_id, amount, remaining, earned_at, expires_at = columns
    return Lot(lot_id, tenant_id, account_id, entry_id, origin_id, amount, remaining, earned_at, expires_at)


# --------------------------------------------------------------------------------------------- limits

_USAGE = """
SELECT u.tenant_id, u.user_id, u.meter, u.period, u.starts_on, u.points, u.times
FROM unnest(%(tenants)b::text[], %(users)b::text[], %(meters)b::text[], %(periods)b::text[],
            %(starts)b::date[])
     AS wanted (tenant_id, user_id, meter, period, starts_on)
JOIN usage u ON u.tenant_id = wanted.tenant_id COLLATE "C" AND u.user_id = wanted.user_id COLLATE "C"
            AND u.meter = wanted.meter COLLATE "C" AND u.period = wanted.period COLLATE "C"
            AND u.starts_on = wanted.starts_on"""

_SAVE_USAGE = """
INSERT INTO usage AS known (tenant_id, user_id, meter, period, starts_on, points, times)
SELECT * FROM unnest(%(tenants)b::text[], %(users)b::text[], %(meters)b::text[], %(periods)b::text[],
                     %(starts)b::date[], %(points)b::int8[], %(times)b::int8[])
ON CONFLICT (tenant_id, user_id, meter, period, starts_on)
DO UPDATE SET points = excluded.points, times = excluded.times"""


def _window_arrays(windows: list[Window]) -> dict[str, list[Any]]:
    return {
        "tenants": [window.tenant_id for window in windows],
        "users": [window.user_id for window in windows],
        "meters": [window.meter for window in windows],
        "periods": [window.period for window in windows],
        "starts": [window.starts_on for window in windows],
    }


def _load_usage(connection: sa.Connection, windows: list[Window]) -> dict[Window, Usage]:
    """What is used of these windows. A user's windows change only under its own lane's row: no locks."""
    if not windows:
        return {}
    found = rows(connection, _USAGE, **_window_arrays(windows))
    return {Window(*row[:5]): Usage(row.points, row.times) for row in found}


def _save_usage(connection: sa.Connection, usage: dict[Window, Usage]) -> None:
    changed = {window: used for window, used in usage.items() if used.changed}
    if not changed:
        return
    run(
        connection,
        _SAVE_USAGE,
        **_window_arrays(list(changed)),
        points=[used.points for used in changed.values()],
        times=[used.times for used in changed.values()],
    )


# ------------------------------------------------------------------------------------------------ save

_CHANGING = _ACCOUNT[5:]  # what an entry may change: everything from updated_at on

_TYPES = {
    "updated_at": "timestamptz",
    "as_of": "timestamptz",
    "next_expiry_at": "timestamptz",
    "status": "text",
}

_UPDATE_ACCOUNTS = f"""
UPDATE accounts SET {", ".join(f"{name} = new.{name}" for name in _CHANGING)}
FROM unnest(%(tenants)b::text[], %(users)b::text[],
            {", ".join(f"%({name})b::{_TYPES.get(name, 'int8')}[]" for name in _CHANGING)})
     AS new (tenant_id, user_id, {", ".join(_CHANGING)})
WHERE accounts.tenant_id = new.tenant_id COLLATE "C" AND accounts.user_id = new.user_id COLLATE "C"
"""  # noqa: S608  (column names of ours)

_ENTRY = (
    "tenant_id", "account_id", "seq", "id", "command_id", "type", "subtype", "amount", "delta",
    "balance_after", "frozen_after", "pending_after", "debt_after", "related_id", "rule_id", "rule_version",
    "expires_at", "occurred_at", "created_at",
)  # fmt: skip

_LOT = (
    "tenant_id", "id", "account_id", "entry_id", "origin_id", "amount", "remaining", "state", "earned_at",
    "expires_at",
)  # fmt: skip

_UPDATE_LOTS = """
UPDATE lots SET remaining = new.remaining, state = new.state
FROM unnest(%(tenants)b::text[], %(ids)b::uuid[], %(remaining)b::int8[], %(states)b::text[])
     AS new (tenant_id, id, remaining, state)
WHERE lots.tenant_id = new.tenant_id COLLATE "C" AND lots.id = new.id"""


def save(connection: sa.Connection, book: Book, decisions: list[tuple[Accepted, Decision]]) -> None:
    """Writes everything that the decisions changed, and their outcomes."""
    _save_accounts(connection, list(book.accounts.values()))
    copy(connection, "entries", _ENTRY, [_entry_line(entry) for entry in book.entries])
    _save_lots(connection, book)
    copy(
        connection,
        "lot_moves",
        ("tenant_id", "entry_id", "lot_id", "kind", "amount"),
        [(move.tenant_id, move.entry_id, move.lot_id, move.kind, move.amount) for move in book.moves],
    )
    _save_usage(connection, book.usage)
    copy(
        connection,
        "outcomes",
        ("id", "tenant_id", "state", "reason", "message", "applied_at", "data"),
        [_outcome_line(accepted, decision, book.recorded_at) for accepted, decision in decisions],
    )


def _save_accounts(connection: sa.Connection, accounts: list[Account]) -> None:
    copy(
        connection,
        "accounts",
        _ACCOUNT,
        [tuple(getattr(account, name) for name in _ACCOUNT) for account in accounts if account.is_new],
    )
    changed = [account for account in accounts if account.changed and not account.is_new]
    if not changed:
        return
    touched = run(
        connection,
        _UPDATE_ACCOUNTS,
        tenants=[account.tenant_id for account in changed],
        users=[account.user_id for account in changed],
        **{name: [getattr(account, name) for account in changed] for name in _CHANGING},
    )
    assert touched == len(changed), "a locked account is there until the transaction ends"


def _save_lots(connection: sa.Connection, book: Book) -> None:
    copy(
        connection,
        "lots",
        _LOT,
        [tuple(getattr(lot, name) for name in _LOT) for lot in book.new_lots],
    )
    changed = list(book.changed_lots.values())
    if not changed:
        return
    touched = run(
        connection,
        _UPDATE_LOTS,
        tenants=[lot.tenant_id for lot in changed],
        ids=[lot.id for lot in changed],
        remaining=[lot.remaining for lot in changed],
        states=[lot.state for lot in changed],
    )
    assert touched == len(changed), "a lot is there for ever"


def _entry_line(entry: Entry) -> tuple[Any, ...]:
    rule = entry.rule
    return (
        entry.tenant_id, entry.account_id, entry.seq, entry.id, entry.command_id, entry.type, entry.subtype,
        entry.amount, entry.delta, entry.balance_after, entry.frozen_after, entry.pending_after,
        entry.debt_after, entry.related_id, rule.id if rule else None, rule.version if rule else None,
        entry.expires_at, entry.occurred_at, entry.created_at,
    )  # fmt: skip


def _outcome_line(accepted: Accepted, decision: Decision, recorded_at: datetime) -> tuple[Any, ...]:
    command = accepted.command
    if isinstance(decision, Applied):
        data = orjson.dumps(decision.data, option=orjson.OPT_UTC_Z).decode()
        return command.id, command.tenant_id, "applied", None, None, recorded_at, data
    reason, message = decision.reason.value, decision.message
    return command.id, command.tenant_id, "refused", reason, message, recorded_at, None
