"""Reads holds as they are now: those of a user, one hold, and its lots."""

from typing import Any, NamedTuple
from uuid import UUID

import sqlalchemy as sa

from pointledger.ids import show_id
from pointledger.storage.database import rows
from pointledger.storage.queries.current import MAY_BE_DUE, Current
from pointledger.storage.queries.rows import shown

_MOST_LOTS = 1_000  # per hold; people cannot read more

# A hold times out at its `expires_at`, even if that is recorded later (`domain/ledger/hold_lifecycle.py`).
# SQL repeats the rule because pages are filtered by the current state.
_HAS_TIMED_OUT = "h.state = 'open' AND coalesce(h.expires_at <= greatest(a.as_of, now()), false)"
_STATE = f"CASE WHEN {_HAS_TIMED_OUT} THEN 'timed_out' ELSE h.state END"
_HELD = "h.amount - h.captured - h.released"

_COLUMNS = f"""
SELECT h.id, h.account_id, h.seq, a.user_id, {_STATE} AS state, h.amount,
       CASE WHEN {_HAS_TIMED_OUT} THEN 0 ELSE {_HELD} END AS held, h.captured,
       CASE WHEN {_HAS_TIMED_OUT} THEN h.amount - h.captured ELSE h.released END AS released,
       h.opened_at, h.expires_at, j.payload ->> 'reason' AS reason, e.command_id,
       greatest(a.as_of, now()) AS as_of, h.state AS recorded_state, {_HELD} AS recorded_held,
       h.released AS recorded_released"""

_HOLD = f"""{_COLUMNS}, {MAY_BE_DUE} AS may_be_due
FROM accounts a
JOIN holds h ON h.tenant_id = a.tenant_id AND h.account_id = a.id
LEFT JOIN entries e ON e.tenant_id = h.tenant_id AND e.id = h.id
LEFT JOIN journal j ON j.id = e.command_id
WHERE a.tenant_id = %(tenant)s AND h.id = %(id)s"""

# Open holds have their own index; the entries that opened them lead to the others.
_OPEN = f"""{_COLUMNS}
FROM accounts a
JOIN holds h ON h.tenant_id = a.tenant_id AND h.account_id = a.id
LEFT JOIN entries e ON e.tenant_id = h.tenant_id AND e.id = h.id
LEFT JOIN journal j ON j.id = e.command_id
WHERE a.tenant_id = %(tenant)s AND a.user_id = %(user)s AND h.state = 'open' AND NOT ({_HAS_TIMED_OUT})
  AND h.seq < %(before)s
ORDER BY h.seq DESC LIMIT %(limit)s"""

_ALL = f"""{_COLUMNS}
FROM accounts a
JOIN entries e ON e.tenant_id = a.tenant_id AND e.account_id = a.id AND e.type = 'freeze'
JOIN holds h ON h.tenant_id = e.tenant_id AND h.id = e.id
LEFT JOIN journal j ON j.id = e.command_id
WHERE a.tenant_id = %(tenant)s AND a.user_id = %(user)s AND e.seq < %(before)s
  AND (%(state)s::text IS NULL OR {_STATE} = %(state)s)
ORDER BY e.seq DESC LIMIT %(limit)s"""


def holds_of(
    connection: sa.Connection, tenant_id: str, user_id: str, state: str | None, before: int, limit: int
) -> list[dict[str, Any]]:
    """Return a page of the user's holds below the seq `before`, of one state or all, the latest first."""
    values = {"tenant": tenant_id, "user": user_id, "before": before, "limit": limit}
    if state == "open":
        found = rows(connection, _OPEN, **values)
    else:
        found = rows(connection, _ALL, state=state, **values)
    return [shown(row) for row in found]


class FoundHold(NamedTuple):
    """A hold as it is now. `may_be_due`: its account may have something due that is not recorded."""

    shown: dict[str, Any]
    may_be_due: bool


def hold(connection: sa.Connection, tenant_id: str, hold_id: UUID) -> FoundHold | None:
    """Return a hold, or None if this tenant has none with this id."""
    found = rows(connection, _HOLD, tenant=tenant_id, id=hold_id)
    if not found:
        return None
    fields = shown(found[0])
    return FoundHold(fields, bool(fields.pop("may_be_due")))


_LOTS = """
SELECT l.id AS lot_id, hl.amount, hl.frozen AS held, l.state, l.earned_at, l.expires_at, l.entry_id,
       l.origin_id, hl.frozen AS recorded_held, l.state AS recorded_state
FROM hold_lots hl JOIN lots l ON l.tenant_id = hl.tenant_id AND l.id = hl.lot_id
WHERE hl.tenant_id = %(tenant)s AND hl.hold_id = %(id)s
ORDER BY l.expires_at, l.earned_at, l.seq, l.place, l.id LIMIT %(most)s"""


def lots_of_hold(
    connection: sa.Connection, tenant_id: str, hold_id: UUID, current: Current | None
) -> list[dict[str, Any]]:
    """Return the points that the hold took from lots and still holds, the earliest expiry first.

    `current` is its account, if that has something due.
    """
    found = rows(connection, _LOTS, tenant=tenant_id, id=hold_id, most=_MOST_LOTS)
    lots = [shown(row) for row in found]
    if current is None:
        return lots
    held = {"held": 0} if hold_id in current.timed_out else {}
    states = {show_id(lot_id): {"state": lot.state} for lot_id, lot in current.lots.items()}
    return [lot | held | states.get(lot["lot_id"], {}) for lot in lots]
