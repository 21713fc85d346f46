"""Reads accounts as they are now: as recorded, plus what is due since.

Points expire, become available and return from holds at set times. The next command or a periodic job records
that. Until then a query loads what is due and lets the domain decide, as it does before a command. It writes
nothing.

`now` is the database's clock at the start of the query's transaction, one moment for the whole result. An
account with nothing due costs one statement.
"""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from operator import attrgetter
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from pointledger.domain.decisions.guards import advance, is_due
from pointledger.domain.decisions.read_set import AccountReadSet
from pointledger.domain.ledger.account import Account
from pointledger.domain.ledger.book import Book
from pointledger.domain.ledger.lots import Lot
from pointledger.domain.program.tenant import Tenant
from pointledger.ids import show_id
from pointledger.storage.database import rows, streamed
from pointledger.storage.ledger.accounts import ACCOUNT, account_of
from pointledger.storage.ledger.holds import load_holds
from pointledger.storage.ledger.lots import load_lots, load_pending
from pointledger.storage.queries.rows import PAGE, shown, shown_value

FIGURES = ("balance", "frozen_balance", "pending_balance", "debt", "expired_points")  # they change with time
_RECORDED = tuple((name, f"recorded_{name}") for name in FIGURES)
_CHUNK = 200  # due accounts that are loaded at once, with their lots
_INTERNAL = ("next_expiry_at", "next_activation_at", "next_timeout_at", "now")

# When the first of an account's holds times out. An account without frozen points has no open hold. `OFFSET
# 0` keeps Postgres from searching the index by `expires_at`, which has the holds of all accounts.
_NEXT_TIMEOUT = """CASE WHEN a.frozen_balance > 0 THEN (
    SELECT min(held.expires_at)
    FROM (SELECT h.expires_at FROM holds h
          WHERE h.tenant_id = a.tenant_id AND h.account_id = a.id AND h.state = 'open'
          OFFSET 0) AS held) END"""

# Whether anything of the account may be due; the domain decides whether it is.
MAY_BE_DUE = f"least(a.next_expiry_at, a.next_activation_at, {_NEXT_TIMEOUT}) <= greatest(a.as_of, now())"

_ACCOUNT = f"""
SELECT a.*, (SELECT config ->> 'exchange_rate' FROM tenant_versions t WHERE t.tenant_id = a.tenant_id
             ORDER BY version DESC LIMIT 1)::bigint AS exchange_rate,
       {_NEXT_TIMEOUT} AS next_timeout_at, now() AS now
FROM accounts a"""  # noqa: S608  (constants only)


@dataclass(frozen=True, slots=True)
class Current:
    """An account as it is now."""

    shown: dict[str, Any]  # the API's fields, and the recorded figures beside them
    now: datetime
    lots: dict[UUID, Lot] = field(default_factory=dict)  # those that differ from the recorded ones
    new_lots: list[Lot] = field(default_factory=list)  # those that are not recorded yet
    timed_out: set[UUID] = field(default_factory=set)  # ids of holds that are recorded as open


def moment_of(connection: sa.Connection) -> datetime:
    """Return the `now` of the connection's transaction."""
    moment: datetime = rows(connection, "SELECT now()")[0][0]
    return moment


def account(connection: sa.Connection, tenant: Tenant, user_id: str) -> Current | None:
    """Return one account, or None."""
    sql = f"{_ACCOUNT} WHERE a.tenant_id = %(tenant)s AND a.user_id = %(user)s"
    found = _current(tenant, connection, rows(connection, sql, tenant=tenant.tenant_id, user=user_id))
    return found[0] if found else None


_BY_USER = f"""{_ACCOUNT}
WHERE a.tenant_id = %(tenant)s AND a.user_id > %(after)s ORDER BY a.user_id LIMIT %(page)s"""

_BY_PREFIX = f"""{_ACCOUNT}
WHERE a.tenant_id = %(tenant)s AND a.user_id >= %(prefix)s AND a.user_id < %(end)s AND a.user_id > %(after)s
ORDER BY a.user_id LIMIT %(page)s"""
_AFTER_ANY_CHARACTER = "\U0010ffff"

_BY_NUMBER = f"""{_ACCOUNT}
WHERE a.tenant_id = %(tenant)s AND (%(status)s::text IS NULL OR a.status = %(status)s)
ORDER BY a.user_id LIMIT %(page)s OFFSET %(skip)s"""


def accounts(connection: sa.Connection, tenant: Tenant, after: str = "") -> list[dict[str, Any]]:
    """Return a page of the tenant's accounts by user id, starting after `after`."""
    found = rows(connection, _BY_USER, tenant=tenant.tenant_id, after=after, page=PAGE)
    return [current.shown for current in _current(tenant, connection, found)]


def accounts_with_prefix(
    connection: sa.Connection, tenant: Tenant, prefix: str, after: str, limit: int
) -> list[dict[str, Any]]:
    """Return a page of the tenant's accounts whose user id begins with `prefix`, starting after `after`."""
    about = {"prefix": prefix, "end": prefix + _AFTER_ANY_CHARACTER, "after": after}
    found = rows(connection, _BY_PREFIX, tenant=tenant.tenant_id, page=limit, **about)
    return [current.shown for current in _current(tenant, connection, found)]


def page_of_accounts(
    connection: sa.Connection, tenant: Tenant, status: str | None, limit: int, skip: int
) -> list[dict[str, Any]]:
    """Return a page of the tenant's accounts with a status, or any, by user id."""
    found = rows(connection, _BY_NUMBER, tenant=tenant.tenant_id, status=status, page=limit, skip=skip)
    return [current.shown for current in _current(tenant, connection, found)]


# It uses the indexes of the periodic jobs. `expires`: whether the tenant lets points expire now.
DUE_USERS = """
SELECT user_id FROM accounts
WHERE tenant_id = %(tenant)s AND next_expiry_at <= now() AND %(expires)s
  AND status NOT IN ('closed', 'erased') AND NOT expiry_exempt
  AND coalesce(expires_not_before <= now(), true)
UNION
SELECT user_id FROM accounts
WHERE tenant_id = %(tenant)s AND next_activation_at <= now() AND status NOT IN ('closed', 'erased')
UNION
SELECT a.user_id FROM holds h JOIN accounts a ON a.tenant_id = h.tenant_id AND a.id = h.account_id
WHERE h.state = 'open' AND h.expires_at <= now() AND h.tenant_id = %(tenant)s"""

_DUE = f"""
WITH due AS ({DUE_USERS})
SELECT a.*, {_NEXT_TIMEOUT} AS next_timeout_at, now() AS now
FROM due JOIN accounts a ON a.tenant_id = %(tenant)s AND a.user_id = due.user_id"""  # noqa: S608  (constants only)


def changes_in_all(connection: sa.Connection, tenant: Tenant, now: datetime) -> Counter[str]:
    """Return how the sums of all the tenant's accounts differ from the recorded ones.

    It loads the due accounts in chunks, so memory does not grow with their number.
    """
    changes: Counter[str] = Counter()
    expires = tenant.lets_expire(now)
    for found in streamed(connection, _DUE, _CHUNK, tenant=tenant.tenant_id, expires=expires):
        recorded = {row.id: row for row in found}
        due = _due(tenant, found)
        _advance(tenant, connection, due, now)
        for account in due:
            for name in FIGURES:
                changes[name] += getattr(account, name) - getattr(recorded[account.id], name)
    return changes


def as_recorded(account: dict[str, Any], as_of: str) -> dict[str, Any]:
    """Add the recorded figures to an account's fields, in the form of `Current.shown`."""
    account["as_of"] = as_of
    for name, recorded in _RECORDED:
        account[recorded] = account[name]
    return account


_OF_A_LOT = ("remaining", "frozen", "state")  # they change with time
_SHOWN_OF_A_LOT = (
    "origin_id", "amount", "remaining", "frozen", "state", "earned_at", "expires_at", "activates_at",
)  # fmt: skip


def lots_now(lots: list[dict[str, Any]], current: Current | None, name: str = "id") -> list[dict[str, Any]]:
    """Return an account's lots as they are now, with the recorded figures beside them.

    `name` is the field with the lot's id. `current` is the account, if anything of it may be due.
    """
    changed = {show_id(lot_id): lot for lot_id, lot in current.lots.items()} if current else {}
    found = []
    for lot in lots:
        now = changed.get(lot[name])
        found.append(
            lot
            | ({figure: getattr(now, figure) for figure in _OF_A_LOT} if now else {})
            | {f"recorded_{figure}": lot[figure] for figure in _OF_A_LOT}
        )
    return found


def lots_unrecorded(current: Current) -> list[dict[str, Any]]:
    """Return the lots that are not recorded yet, in an export's fields; they have no `id` and `entry_id`."""
    unrecorded = {"id": None, "entry_id": None}
    beside = {"recorded_remaining": 0, "recorded_frozen": 0, "recorded_state": None}
    return [
        unrecorded | {name: shown_value(getattr(lot, name)) for name in _SHOWN_OF_A_LOT} | beside
        for lot in current.new_lots
    ]


_columns_of = attrgetter(*ACCOUNT)


def _current(tenant: Tenant, connection: sa.Connection, found: list[Any]) -> list[Current]:
    """Return the accounts of these rows; it loads what is due on all of them at once."""
    accounts = {row.id: Current(_shown(row), row.now) for row in found}
    due = _due(tenant, found)
    if not due:
        return list(accounts.values())
    book = _advance(tenant, connection, due, found[0].now)
    for account in due:
        timed_out = {hold.id for hold in account.holds.values() if hold.state == "timed_out"}
        accounts[account.id].shown.update({name: getattr(account, name) for name in FIGURES})
        accounts[account.id].timed_out.update(timed_out)
    for lot in book.changed_lots.values():
        accounts[lot.account_id].lots[lot.id] = lot
    for lot in book.new_lots:
        accounts[lot.account_id].new_lots.append(lot)
    return list(accounts.values())


def _due(tenant: Tenant, found: list[Any]) -> list[Account]:
    """Return those of the accounts that have something due."""
    accounts = [_account(row) for row in found if _may_be_due(row)]
    return [account for account in accounts if is_due(tenant, account, found[0].now)]


def _may_be_due(row: Any) -> bool:
    """Whether a moment of the account has passed. Only then does the domain decide."""
    reached = max(row.now, row.as_of)
    moments = row.next_expiry_at, row.next_activation_at, row.next_timeout_at
    return any(moment is not None and moment <= reached for moment in moments)


def _account(row: Any) -> Account:
    account = account_of(_columns_of(row))
    account.next_timeout_at = row.next_timeout_at
    return account


def _shown(row: Any) -> dict[str, Any]:
    """Return the account's fields as recorded."""
    fields = shown(row)
    as_of = fields["as_of"] if row.as_of > row.now else fields["now"]
    for internal in _INTERNAL:
        del fields[internal]
    return as_recorded(fields, as_of)


def _advance(tenant: Tenant, connection: sa.Connection, due: list[Account], now: datetime) -> Book:
    """Load what is due on these accounts, advance their clocks, and return the book with the result."""
    book = Book(now, accounts={(account.tenant_id, account.user_id): account for account in due})
    read_set = {key: AccountReadSet(max(now, account.as_of)) for key, account in book.accounts.items()}
    load_pending(connection, book, read_set, {})
    load_lots(connection, book, read_set, {})
    load_holds(connection, book, read_set, {})
    for account in due:
        book.begin(account.tenant_id, account.id)
        advance(book, tenant, account, now)
    return book
