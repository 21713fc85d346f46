"""Lots: as many as a batch needs, in the order of consumption; and what it did to them."""

from collections.abc import Sequence
from operator import attrgetter
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from pointledger.domain.decisions.read_set import AccountNeeds
from pointledger.domain.ledger.account import Account
from pointledger.domain.ledger.book import Book
from pointledger.domain.ledger.lots import Lot, consumption_order
from pointledger.storage.copy import copy
from pointledger.storage.database import rows, run
from pointledger.storage.ledger.expiry_changes import save_expiry_changes

_FIRST_LOTS = 32  # most debits are paid by the first few lots
_LOTS_GROWTH = 16  # an account that needs more gets so many times more at the next look

LOT = (
    "id", "tenant_id", "account_id", "entry_id", "origin_id", "amount", "remaining", "earned_at",
    "expires_at", "seq", "place", "expired", "frozen", "state", "activates_at", "expiry_changes",
)  # fmt: skip
SELECTED = ", ".join(f"l.{name} AS lot_{name}" for name in LOT)

_LOTS = f"""
SELECT {SELECTED}
FROM unnest(%(tenants)b::text[], %(accounts)b::uuid[]) AS wanted (tenant_id, account_id)
CROSS JOIN LATERAL (
    SELECT * FROM lots
    WHERE tenant_id = wanted.tenant_id COLLATE "C" AND account_id = wanted.account_id AND state = 'active'
      AND remaining > 0  -- what is wholly held is loaded with its holds
    ORDER BY expires_at, earned_at, seq, place, id LIMIT %(limit)s
) AS l"""  # noqa: S608  (column names of ours)

_PENDING = f"""
SELECT {SELECTED}
FROM unnest(%(tenants)b::text[], %(accounts)b::uuid[]) AS wanted (tenant_id, account_id)
JOIN lots l ON l.tenant_id = wanted.tenant_id COLLATE "C" AND l.account_id = wanted.account_id
           AND l.state = 'pending'
ORDER BY l.tenant_id, l.account_id, l.seq, l.place, l.id"""  # noqa: S608  (column names of ours)


def one_lot(known: dict[UUID, Lot], columns: Sequence[Any]) -> Lot:
    """The lot of these columns (`SELECTED`); one that is known is the same object."""
    return known.get(columns[0]) or Lot(*columns)


def load_pending(
    connection: sa.Connection,
    book: Book,
    needs: dict[tuple[str, str], AccountNeeds],
    known: dict[UUID, Lot],
) -> None:
    """Loads all pending lots of the accounts on which one becomes available, or that close."""
    due = {
        (account.tenant_id, account.id): account
        for key, need in needs.items()
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
    needs: dict[tuple[str, str], AccountNeeds],
    known: dict[UUID, Lot],
) -> None:
    """Loads each account's lots in consumption order until its debits are covered by lots that are not
    due, in growing strides, so that an account with a million lots costs no more than another.

    `known` are lots that were loaded for another reason: a lot is one object.
    """
    wanted = {
        (account.tenant_id, account.id): (account, need)
        for key, need in needs.items()
        if (account := book.accounts.get(key)) and _needs_lots(account, need)
    }
    limit = _FIRST_LOTS
    while wanted:
        for account, _ in wanted.values():
            account.lots = []
        for row in rows(
            connection,
            _LOTS,
            tenants=[tenant for tenant, _ in wanted],
            accounts=[account for _, account in wanted],
            limit=limit,
        ):
            lot = one_lot(known, row)
            wanted[lot.tenant_id, lot.account_id][0].lots.append(lot)
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
    if not changed:
        return
    touched = run(
        connection,
        _UPDATE_LOTS,
        tenants=[lot.tenant_id for lot in changed],
        ids=[lot.id for lot in changed],
        remaining=[lot.remaining for lot in changed],
        expired=[lot.expired for lot in changed],
        frozen=[lot.frozen for lot in changed],
        states=[lot.state for lot in changed],
    )
    assert touched == len(changed), "a lot is there for ever"
