"""Loads the accounts of a batch, and saves them with one statement for all."""

from collections.abc import Iterable
from operator import attrgetter
from typing import Any

import orjson
import psycopg
import sqlalchemy as sa

from pointledger.domain.ledger.account import Account
from pointledger.storage.copy import copy
from pointledger.storage.pipelines import is_pipelined, send_change

ACCOUNT = (  # the columns of an account in the book, in the order of its fields
    "id", "tenant_id", "user_id", "points_type", "created_at", "updated_at", "as_of", "status", "balance",
    "frozen_balance", "pending_balance", "debt", "total_earned", "total_spent", "expired_points",
    "total_refunded", "total_transferred_in", "total_transferred_out", "total_adjusted_in",
    "total_adjusted_out", "total_clawed_back", "version", "next_expiry_at", "next_activation_at",
    "expiry_exempt", "expires_not_before",
)  # fmt: skip

READ_ACCOUNTS = f"""
SELECT {", ".join(f"a.{name}" for name in ACCOUNT)}
FROM unnest(%(tenants)b::text[], %(users)b::text[]) AS wanted (tenant_id, user_id)
JOIN accounts a ON a.tenant_id = wanted.tenant_id COLLATE "C" AND a.user_id = wanted.user_id COLLATE "C"
ORDER BY a.tenant_id, a.user_id"""  # noqa: S608  (constants only)

# A separate statement that locks in sorted order. So the next statements read what the transactions that it
# waited for have committed.
LOCK_ACCOUNTS = READ_ACCOUNTS + " FOR UPDATE OF a"


def accounts_from(sent: psycopg.Cursor[Any]) -> dict[tuple[str, str], Account]:
    """Return the accounts that the statement has read, by tenant and user."""
    accounts = {}
    for row in sent.fetchall():
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


_KEY_COLUMNS = 5  # of `ACCOUNT`: those that identify an account never change
_columns_of = attrgetter(*ACCOUNT)
_changing_columns_of = attrgetter(*ACCOUNT[_KEY_COLUMNS:])

_TYPES = {
    "tenant_id": "text",
    "user_id": "text",
    "updated_at": "timestamptz",
    "as_of": "timestamptz",
    "next_expiry_at": "timestamptz",
    "next_activation_at": "timestamptz",
    "status": "text",
    "expiry_exempt": "bool",
    "expires_not_before": "timestamptz",
}


def _update(changing: tuple[str, ...], source: str) -> str:
    """Return the statement that writes these columns."""
    return f"""
UPDATE accounts SET {", ".join(f"{name} = new.{name}" for name in changing)}
FROM {source}
WHERE accounts.tenant_id = new.tenant_id COLLATE "C" AND accounts.user_id = new.user_id COLLATE "C"
"""  # noqa: S608  (constants only)


def _from_arrays(changing: tuple[str, ...]) -> str:
    names = ("tenant_id", "user_id", *changing)
    arrays = ", ".join(f"%({name})b::{_TYPES.get(name, 'int8')}[]" for name in names)
    return f"unnest({arrays}) AS new ({', '.join(names)})"


_FROM_JSON = "json_populate_recordset(NULL::accounts, %(lines)s::json) AS new"  # for a few rows, as in `copy`


def save_accounts(connection: sa.Connection, accounts: list[Account]) -> None:
    """Write new and changed accounts."""
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
    before = zip(*[account.as_loaded[_KEY_COLUMNS:] for account in changed], strict=True)
    now = zip(*map(_changing_columns_of, changed), strict=True)
    names = ACCOUNT[_KEY_COLUMNS:]
    differing = {name: list(new) for name, old, new in zip(names, before, now, strict=True) if old != new}
    if not differing:
        return
    if is_pipelined(connection):
        lines = [
            {"tenant_id": account.tenant_id, "user_id": account.user_id}
            | {name: values[place] for name, values in differing.items()}
            for place, account in enumerate(changed)
        ]
        sql = _update(tuple(differing), _FROM_JSON)
        send_change(connection, sql, len(changed), lines=orjson.dumps(lines).decode())
        return
    send_change(
        connection,
        _update(tuple(differing), _from_arrays(tuple(differing))),
        len(changed),
        tenant_id=[account.tenant_id for account in changed],
        user_id=[account.user_id for account in changed],
        **differing,
    )
