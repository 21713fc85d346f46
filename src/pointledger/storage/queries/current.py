"""Accounts as they are now: what is recorded, and what time has changed since.

Points expire, become available and come back from holds at their moments. The next command, or a sweep,
records that. Until then a look-up loads what is due of an account and lets the domain decide what time does,
as it does before a command. It writes nothing.

`now` is the database's clock when the look-up's transaction began: one moment for the whole answer. An
account with nothing due costs one statement, which also shows that nothing is due.
"""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from operator import attrgetter
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from pointledger.domain.decisions.guards import is_due, let_time_pass
from pointledger.domain.decisions.read_set import AccountNeeds
from pointledger.domain.ledger.account import Account
from pointledger.domain.ledger.book import Book
from pointledger.domain.ledger.lots import Lot
from pointledger.domain.program.tenant import Tenant
from pointledger.ids import show_id
from pointledger.storage.database import rows, streamed
from pointledger.storage.ledger.book import ACCOUNT, account_of
from pointledger.storage.ledger.holds import load_holds
from pointledger.storage.ledger.lots import load_lots, load_pending
from pointledger.storage.queries.rows import PAGE, shown, shown_value

FIGURES = ("balance", "frozen_balance", "pending_balance", "debt", "expired_points")  # that time changes
_RECORDED = tuple((name, f"recorded_{name}") for name in FIGURES)
_CHUNK = 200  # accounts with something due that are loaded at once, with their lots
_INTERNAL = ("next_expiry_at", "next_activation_at", "next_timeout_at", "now")

# When the first of an account's holds times out. An account without frozen points has no open hold. OFFSET 0
# keeps Postgres from looking for the minimum in the index by `expires_at`, among the holds of all accounts.
_NEXT_TIMEOUT = """CASE WHEN a.frozen_balance > 0 THEN (
    SELECT min(held.expires_at)
    FROM (SELECT h.expires_at FROM holds h
          WHERE h.tenant_id = a.tenant_id AND h.account_id = a.id AND h.state = 'open'
          OFFSET 0) AS held) END"""

# Whether anything of the account may be due: the domain decides.
MAY_BE_DUE = f"least(a.next_expiry_at, a.next_activation_at, {_NEXT_TIMEOUT}) <= greatest(a.as_of, now())"

_ACCOUNT = f"""
SELECT a.*, (SELECT config ->> 'exchange_rate' FROM tenant_versions t WHERE t.tenant_id = a.tenant_id
             ORDER BY version DESC LIMIT 1)::bigint AS exchange_rate,
       {_NEXT_TIMEOUT} AS next_timeout_at, now() AS now
FROM accounts a"""  # noqa: S608  (ours)


@dataclass(frozen=True, slots=True)
class Current:
    """An account as it is now. `shown` has the API's fields, and what is recorded beside them. `lots`: those
    that differ from what is recorded, by id; `new_lots`: those that are not recorded; `timed_out`: the ids of
    holds that are recorded as open."""

    shown: dict[str, Any]
    now: datetime
    lots: dict[UUID, Lot] = field(default_factory=dict)
    new_lots: list[Lot] = field(default_factory=list)
    timed_out: set[UUID] = field(default_factory=set)


def moment_of(connection: sa.Connection) -> datetime:
    """The moment of which a look-up tells."""
    moment: datetime = rows(connection, "SELECT now()")[0][0]
    return moment


def account(connection: sa.Connection, tenant: Tenant, user_id: str) -> Current | None:
    """One account; None if there is none."""
    sql = f"{_ACCOUNT} WHERE a.tenant_id = %(tenant)s AND a.user_id = %(user)s"
    found = _current(tenant, connection, rows(connection, sql, tenant=tenant.tenant_id, user=user_id))
    return found[0] if found else None


_BY_USER = f"""{_ACCOUNT}
WHERE a.tenant_id = %(tenant)s AND a.user_id > %(after)s ORDER BY a.user_id LIMIT %(page)s"""

_BY_NUMBER = f"""{_ACCOUNT}
WHERE a.tenant_id = %(tenant)s AND (%(status)s::text IS NULL OR a.status = %(status)s)
ORDER BY a.user_id LIMIT %(page)s OFFSET %(skip)s"""


def accounts(connection: sa.Connection, tenant: Tenant, after: str = "") -> list[dict[str, Any]]:
    """A page of the tenant's accounts by user id, those after `after`."""
    found = rows(connection, _BY_USER, tenant=tenant.tenant_id, after=after, page=PAGE)
    return [current.shown for current in _current(tenant, connection, found)]


def page_of_accounts(
    connection: sa.Connection, tenant: Tenant, status: str | None, limit: int, skip: int
) -> list[dict[str, Any]]:
    """A page of the tenant's accounts, of a status or any, by user id."""
    found = rows(connection, _BY_NUMBER, tenant=tenant.tenant_id, status=status, page=limit, skip=skip)
    return [current.shown for current in _current(tenant, connection, found)]


# By the indexes from which sweeps find what is due. `expires`: whether the tenant lets anything expire now.
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
FROM due JOIN accounts a ON a.tenant_id = %(tenant)s AND a.user_id = due.user_id"""  # noqa: S608  (ours)


def changes_in_all(connection: sa.Connection, tenant: Tenant, now: datetime) -> Counter[str]:
    """By how much the figures of all the tenant's accounts together differ from what is recorded. Loads the
    accounts with something due, some at a time: memory does not grow with their number."""
    changes: Counter[str] = Counter()
    expires = tenant.lets_expire(now)
    for found in streamed(connection, _DUE, _CHUNK, tenant=tenant.tenant_id, expires=expires):
        recorded = {row.id: row for row in found}
        due = _due(tenant, found)
        _let_pass(tenant, connection, due, now)
        for account in due:
            for name in FIGURES:
                changes[name] += getattr(account, name) - getattr(recorded[account.id], name)
    return changes


def as_recorded(account: dict[str, Any], as_of: str) -> dict[str, Any]:
    """Adds to an account's fields the same figures as recorded, in the form of `Current.shown`."""
    account["as_of"] = as_of
    for name, recorded in _RECORDED:
        account[recorded] = account[name]
    return account


_OF_A_LOT = ("remaining", "frozen", "state")  # what time changes
_SHOWN_OF_A_LOT = (
    "origin_id", "amount", "remaining", "frozen", "state", "earned_at", "expires_at", "activates_at",
)  # fmt: skip


def lots_now(lots: list[dict[str, Any]], current: Current | None, name: str = "id") -> list[dict[str, Any]]:
    """These lots of an account, which `name` identifies, as they are now, with what is recorded beside.
    `current`: their account, where anything of it may be due."""
    changed = {show_id(lot_id): lot for lot_id, lot in current.lots.items()} if current else {}
    told = []
    for lot in lots:
        now = changed.get(lot[name])
        told.append(
            lot
            | ({figure: getattr(now, figure) for figure in _OF_A_LOT} if now else {})
            | {f"recorded_{figure}": lot[figure] for figure in _OF_A_LOT}
        )
    return told


def lots_unrecorded(current: Current) -> list[dict[str, Any]]:
    """The lots that nothing records yet, in the fields of an export: they have no `id` and no `entry_id`."""
    unrecorded = {"id": None, "entry_id": None}
    beside = {"recorded_remaining": 0, "recorded_frozen": 0, "recorded_state": None}
    return [
        unrecorded | {name: shown_value(getattr(lot, name)) for name in _SHOWN_OF_A_LOT} | beside
        for lot in current.new_lots
    ]


_columns_of = attrgetter(*ACCOUNT)


def _current(tenant: Tenant, connection: sa.Connection, found: list[Any]) -> list[Current]:
    """The accounts of these rows; what is due of them is loaded in one go."""
    told = {row.id: Current(_shown(row), row.now) for row in found}
    due = _due(tenant, found)
    if not due:
        return list(told.values())
    book = _let_pass(tenant, connection, due, found[0].now)
    for account in due:
        timed_out = {hold.id for hold in account.holds.values() if hold.state == "timed_out"}
        told[account.id].shown.update({name: getattr(account, name) for name in FIGURES})
        told[account.id].timed_out.update(timed_out)
    for lot in book.changed_lots.values():
        told[lot.account_id].lots[lot.id] = lot
    for lot in book.new_lots:
        told[lot.account_id].new_lots.append(lot)
    return list(told.values())


def _due(tenant: Tenant, found: list[Any]) -> list[Account]:
    """Those of these accounts on which time has something to do."""
    accounts = [_account(row) for row in found if _may_be_due(row)]
    return [account for account in accounts if is_due(tenant, account, found[0].now)]


def _may_be_due(row: Any) -> bool:
    """Whether a moment of the account has passed. Only then is the domain asked."""
    reached = max(row.now, row.as_of)
    moments = row.next_expiry_at, row.next_activation_at, row.next_timeout_at
    return any(moment is not None and moment <= reached for moment in moments)


def _account(row: Any) -> Account:
    account = account_of(_columns_of(row))
    account.next_timeout_at = row.next_timeout_at
    return account


def _shown(row: Any) -> dict[str, Any]:
    """The account's fields as they are recorded."""
    told = shown(row)
    as_of = told["as_of"] if row.as_of > row.now else told["now"]
    for internal in _INTERNAL:
        del told[internal]
    return as_recorded(told, as_of)


def _let_pass(tenant: Tenant, connection: sa.Connection, due: list[Account], now: datetime) -> Book:
    """Loads what is due of these accounts and lets time pass on them; the book has what came of it."""
    book = Book(now, accounts={(account.tenant_id, account.user_id): account for account in due})
    needs = {key: AccountNeeds(max(now, account.as_of)) for key, account in book.accounts.items()}
    load_pending(connection, book, needs, {})
    load_lots(connection, book, needs, {})
    load_holds(connection, book, needs, {})
    for account in due:
        book.begin(account.tenant_id, account.id)
        let_time_pass(book, tenant, account, now)
    return book
