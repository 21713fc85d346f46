"""Loads the holds that a batch may change, with their lots, and saves the changes."""

from typing import Any
from uuid import UUID

import sqlalchemy as sa

from pointledger.domain.decisions.read_set import AccountReadSet
from pointledger.domain.ledger.account import Account
from pointledger.domain.ledger.book import Book
from pointledger.domain.ledger.holds import HeldLot, Hold
from pointledger.domain.ledger.lots import Lot, put, sooner
from pointledger.storage.copy import copy
from pointledger.storage.database import rows
from pointledger.storage.ledger.lots import SELECTED, one_lot
from pointledger.storage.pipelines import send, send_change

# For each account: the open holds that may time out, the oldest ones with as many points as may be released,
# and those that commands name by id, in any state.
_HOLDS = f"""
SELECT h.tenant_id, h.account_id, h.id, h.seq, h.amount, h.opened_at, h.expires_at, h.captured, h.released,
       h.state, hl.amount AS held_amount, hl.frozen AS held_frozen,
       {SELECTED}
FROM unnest(%(tenants)b::text[], %(accounts)b::uuid[], %(until)b::timestamptz[], %(release)b::int8[])
     AS wanted (tenant_id, account_id, until, release)
CROSS JOIN LATERAL (
    SELECT id FROM (
        SELECT id, coalesce(expires_at <= wanted.until, false) AS is_due,
               coalesce(sum(amount - captured - released)
                            FILTER (WHERE id <> ALL(%(named)b::uuid[])
                                      AND coalesce(expires_at > wanted.until, true))
                            OVER (ORDER BY seq ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS older
        FROM holds
        WHERE tenant_id = wanted.tenant_id COLLATE "C" AND account_id = wanted.account_id AND state = 'open'
    ) AS open WHERE is_due OR older < wanted.release
    UNION
    SELECT id FROM holds
    WHERE tenant_id = wanted.tenant_id COLLATE "C" AND account_id = wanted.account_id
      AND id = ANY(%(named)b::uuid[])) AS needed
JOIN holds h ON h.tenant_id = wanted.tenant_id COLLATE "C" AND h.id = needed.id
LEFT JOIN hold_lots hl ON hl.tenant_id = h.tenant_id AND hl.hold_id = h.id AND hl.frozen > 0
LEFT JOIN lots l ON l.tenant_id = hl.tenant_id AND l.id = hl.lot_id
ORDER BY h.tenant_id, h.account_id, h.seq"""  # noqa: S608  (constants only)
_COLUMNS_OF_HOLD = 12  # the columns of its lot follow


def load_holds(
    connection: sa.Connection,
    book: Book,
    read_set: dict[tuple[str, str], AccountReadSet],
    known: dict[UUID, Lot],
) -> None:
    """Load the holds that a batch may change and their lots; call it after `load_lots`.

    An account without frozen points costs nothing, unless a command names a hold by id. `known` has the lots
    that are loaded already, because each lot is one object.
    """
    wanted = {
        (account.tenant_id, account.id): (account, need)
        for key, need in read_set.items()
        if (account := book.accounts.get(key)) and (account.frozen_balance or need.holds)
    }
    if not wanted:
        return
    found = rows(
        connection,
        _HOLDS,
        tenants=[tenant for tenant, _ in wanted],
        accounts=[account for _, account in wanted],
        until=[need.until for _, need in wanted.values()],
        release=[need.release for _, need in wanted.values()],
        named=sorted({hold for _, need in wanted.values() for hold in need.holds}),
    )
    lots = known | {lot.id: lot for account, _ in wanted.values() for lot in account.lots}
    for row in found:
        _put_hold(wanted[row.tenant_id, row.account_id][0], row, lots)


def _put_hold(account: Account, row: Any, lots: dict[UUID, Lot]) -> None:
    """Add a row, the share of one hold in one lot, to the account."""
    hold = account.holds.get(row.id)
    if hold is None:
        hold = Hold(
            row.id, row.tenant_id, row.account_id, row.seq, row.amount, row.opened_at, row.expires_at,
            row.captured, row.released, row.state,
        )  # fmt: skip
        account.holds[hold.id] = hold
        if hold.is_open:
            account.next_timeout_at = sooner(account.next_timeout_at, hold.expires_at)
    if row.lot_id is None:
        return
    lot = lots[row.lot_id] = one_lot(lots, row[_COLUMNS_OF_HOLD:])
    put(account.lots, lot)
    hold.lots.append(HeldLot(lot, row.held_amount, row.held_frozen))


HOLD = (
    "tenant_id", "id", "account_id", "seq", "amount", "opened_at", "expires_at", "captured", "released",
    "state",
)  # fmt: skip

_UPDATE_HOLDS = """
UPDATE holds SET captured = new.captured, released = new.released, state = new.state
FROM unnest(%(tenants)b::text[], %(ids)b::uuid[], %(captured)b::int8[], %(released)b::int8[],
            %(states)b::text[])
     AS new (tenant_id, id, captured, released, state)
WHERE holds.tenant_id = new.tenant_id COLLATE "C" AND holds.id = new.id"""

_UPDATE_HELD = """
UPDATE hold_lots SET frozen = new.frozen
FROM unnest(%(tenants)b::text[], %(holds)b::uuid[], %(lots)b::uuid[], %(frozen)b::int8[])
     AS new (tenant_id, hold_id, lot_id, frozen)
WHERE hold_lots.tenant_id = new.tenant_id COLLATE "C" AND hold_lots.hold_id = new.hold_id
  AND hold_lots.lot_id = new.lot_id"""


def save_holds(connection: sa.Connection, book: Book) -> None:
    holds = [hold for account in book.accounts.values() for hold in account.holds.values()]
    new = [hold for hold in holds if hold.is_new]
    copy(connection, "holds", HOLD, [tuple(getattr(hold, name) for name in HOLD) for hold in new])
    copy(
        connection,
        "hold_lots",
        ("tenant_id", "hold_id", "lot_id", "amount", "frozen"),
        [
            (hold.tenant_id, hold.id, held.lot.id, held.amount, held.frozen)
            for hold in new
            for held in hold.lots
        ],
    )
    changed = [hold for hold in holds if hold.changed and not hold.is_new]
    if not changed:
        return
    send_change(
        connection,
        _UPDATE_HOLDS,
        len(changed),
        tenants=[hold.tenant_id for hold in changed],
        ids=[hold.id for hold in changed],
        captured=[hold.captured for hold in changed],
        released=[hold.released for hold in changed],
        states=[hold.state for hold in changed],
    )
    held_lots = [(hold, held) for hold in changed for held in hold.lots]
    send(
        connection,
        _UPDATE_HELD,
        tenants=[hold.tenant_id for hold, _ in held_lots],
        holds=[hold.id for hold, _ in held_lots],
        lots=[held.lot.id for _, held in held_lots],
        frozen=[held.frozen for _, held in held_lots],
    )
