"""Loads as many lots as a batch needs, in the order of consumption, and saves the changes."""

from collections.abc import Sequence
from operator import attrgetter
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from pointledger.domain.decisions.read_set import AccountReadSet
from pointledger.domain.ledger.account import Account
from pointledger.domain.ledger.book import Book
from pointledger.domain.ledger.lots import Lot, consumption_order
from pointledger.storage.copy import copy
from pointledger.storage.database import rows
from pointledger.storage.ledger.expiry_changes import save_expiry_changes
from pointledger.storage.pipelines import send_change

_FIRST_LOTS = 32  # the first few lots pay most debits
_GROWTH = 3  # a query reads at most so many times what was read, so few lots are read in vain

LOT = (
    "id", "tenant_id", "account_id", "entry_id", "origin_id", "amount", "remaining", "earned_at",
    "expires_at", "seq", "place", "expired", "frozen", "state", "activates_at", "expiry_changes",
)  # fmt: skip
_UPDATED_AT_ONCE = 10_000  # lots: a tenth of a second of CPU, far below the limit of a statement

SELECTED = ", ".join(f"l.{name} AS lot_{name}" for name in LOT)

_LOTS = f"""
SELECT {SELECTED}
FROM unnest(%(tenants)b::text[], %(accounts)b::uuid[], %(known)b::int8[], %(more)b::int8[])
     AS wanted (tenant_id, account_id, known, more)
CROSS JOIN LATERAL (
    SELECT * FROM lots
    WHERE tenant_id = wanted.tenant_id COLLATE "C" AND account_id = wanted.account_id AND state = 'active'
      AND remaining > 0  -- a lot that is wholly held is loaded with its holds
    ORDER BY expires_at, earned_at, seq, place, id OFFSET wanted.known LIMIT wanted.more
) AS l"""  # noqa: S608  (constants only)

_PENDING = f"""
SELECT {SELECTED}
FROM unnest(%(tenants)b::text[], %(accounts)b::uuid[]) AS wanted (tenant_id, account_id)
JOIN lots l ON l.tenant_id = wanted.tenant_id COLLATE "C" AND l.account_id = wanted.account_id
           AND l.state = 'pending'
ORDER BY l.tenant_id, l.account_id, l.seq, l.place, l.id"""  # noqa: S608  (constants only)


def one_lot(known: dict[UUID, Lot], columns: Sequence[Any]) -> Lot:
    """Return the lot of these columns (`SELECTED`), or the known object for it."""
    return known.get(columns[0]) or Lot(*columns)


def load_pending(
    connection: sa.Connection,
    book: Book,
    read_set: dict[tuple[str, str], AccountReadSet],
    known: dict[UUID, Lot],
) -> None:
    """Load all pending lots of the accounts that close or on which a lot becomes available."""
    due = {
        (account.tenant_id, account.id): account
        for key, need in read_set.items()
        if (account := book.accounts.get(key))
        and account.next_activation_at is not None
        and (need.pending or account.next_activation_at <= need.until)
    }
    if not due:
        return
    for account in due.values():
        account.others_activate_from = None
    wanted = {"tenants": [tenant for tenant, _ in due], "accounts": [account for _, account in due]}
    for row in rows(connection, _PENDING, **wanted):
        lot = one_lot(known, row)
        due[lot.tenant_id, lot.account_id].pending.append(lot)


def load_lots(
    connection: sa.Connection,
    book: Book,
    read_set: dict[tuple[str, str], AccountReadSet],
    known: dict[UUID, Lot],
) -> None:
    """Loads each account's lots in consumption order until its debits are covered by lots that are not
    due, in growing strides, so that an account with a million lots costs no more than another.

    Each stride begins where the last one ended, because nothing else moves the lots of a locked account, or
    of a snapshot. `known` are lots that were loaded for another reason: a lot is one object.
    """
    wanted = {
        (account.tenant_id, account.id): (account, need)
        for key, need in read_set.items()
        if (account := book.accounts.get(key)) and _reads_lots(account, need)
    }
    for account, _ in wanted.values():
        account.lots = []
    more = dict.fromkeys(wanted, _FIRST_LOTS)
    while wanted:
        full = {key: len(account.lots) + more[key] for key, (account, _) in wanted.items()}
        _read_strides(connection, {key: account for key, (account, _) in wanted.items()}, more, known)
        for key, (account, _) in wanted.items():
            complete = len(account.lots) < full[key]
            account.others_expire_from = None if complete else account.lots[-1].expires_at
        more = {
            key: stride
            for key, (account, need) in wanted.items()
            if len(account.lots) == full[key] and (stride := _stride(account.lots, need))
        }
        wanted = {key: wanted[key] for key in more}


def _read_strides(
    connection: sa.Connection,
    accounts: dict[tuple[str, UUID], Account],
    more: dict[tuple[str, UUID], int],
    known: dict[UUID, Lot],
) -> None:
    """Load the next lots of these accounts, as many as `more` says, and keep consumption order."""
    for row in rows(
        connection,
        _LOTS,
        tenants=[tenant for tenant, _ in accounts],
        accounts=[account for _, account in accounts],
        known=[len(account.lots) for account in accounts.values()],
        more=[more[key] for key in accounts],
    ):
        lot = one_lot(known, row)
        accounts[lot.tenant_id, lot.account_id].lots.append(lot)
    for account in accounts.values():
        account.lots.sort(key=consumption_order)


def _reads_lots(account: Account, need: AccountReadSet) -> bool:
    due = account.next_expiry_at is not None and account.next_expiry_at <= need.until
    return due or need.debit > 0


def _stride(lots: list[Lot], need: AccountReadSet) -> int:
    """Return how many more lots to read: 0 if these include all that are due, and enough for the debit.

    The lots that are not due say how many points the next ones may have.
    """
    most = len(lots) * _GROWTH
    if lots[-1].is_due(need.until):
        return most
    points = [lot.remaining for lot in lots if not lot.is_due(need.until)]
    missing = need.debit - sum(points)
    if missing <= 0:
        return 0
    return min(missing * len(points) // sum(points) + _FIRST_LOTS, most)


_columns_of = attrgetter(*LOT)

_UPDATE_LOTS = """
UPDATE lots SET remaining = new.remaining, expired = new.expired, frozen = new.frozen, state = new.state
FROM unnest(%(tenants)b::text[], %(ids)b::uuid[], %(remaining)b::int8[], %(expired)b::int8[],
            %(frozen)b::int8[], %(states)b::text[])
     AS new (tenant_id, id, remaining, expired, frozen, state)
WHERE lots.tenant_id = new.tenant_id COLLATE "C" AND lots.id = new.id"""


def save_lots(connection: sa.Connection, book: Book) -> None:
    copy(connection, "lots", LOT, [_columns_of(lot) for lot in book.new_lots])
    save_expiry_changes(connection, book)
    changed = list(book.changed_lots.values())
    for start in range(0, len(changed), _UPDATED_AT_ONCE):
        _update_lots(connection, changed[start : start + _UPDATED_AT_ONCE])


def _update_lots(connection: sa.Connection, changed: list[Lot]) -> None:
    send_change(
        connection,
        _UPDATE_LOTS,
        len(changed),
        tenants=[lot.tenant_id for lot in changed],
        ids=[lot.id for lot in changed],
        remaining=[lot.remaining for lot in changed],
        expired=[lot.expired for lot in changed],
        frozen=[lot.frozen for lot in changed],
        states=[lot.state for lot in changed],
    )
