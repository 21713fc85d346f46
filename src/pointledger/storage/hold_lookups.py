"""What people ask of holds: those of a user, one of them, what it holds of which lots. Reads only."""

from typing import Any
from uuid import UUID

import sqlalchemy as sa

from pointledger.storage.database import rows
from pointledger.storage.queries import shown

_MOST_LOTS = 1_000  # of one hold that are told; more cannot be read

_HOLD = """
SELECT h.id, h.account_id, h.seq, a.user_id, h.state, h.amount, h.amount - h.captured - h.released AS held,
       h.captured, h.released, h.opened_at, h.expires_at, j.payload ->> 'reason' AS reason, e.command_id
FROM accounts a
JOIN holds h ON h.tenant_id = a.tenant_id AND h.account_id = a.id
LEFT JOIN entries e ON e.tenant_id = h.tenant_id AND e.id = h.id
LEFT JOIN journal j ON j.id = e.command_id
WHERE a.tenant_id = %(tenant)s """

# Open holds have an index of their own; the others are found by the entries that opened them.
_OPEN = (
    _HOLD
    + """AND a.user_id = %(user)s AND h.state = 'open' AND h.seq < %(before)s
ORDER BY h.seq DESC LIMIT %(limit)s"""
)

_ALL = """
SELECT h.id, h.account_id, h.seq, a.user_id, h.state, h.amount, h.amount - h.captured - h.released AS held,
       h.captured, h.released, h.opened_at, h.expires_at, j.payload ->> 'reason' AS reason, e.command_id
FROM accounts a
JOIN entries e ON e.tenant_id = a.tenant_id AND e.account_id = a.id AND e.type = 'freeze'
JOIN holds h ON h.tenant_id = e.tenant_id AND h.id = e.id
LEFT JOIN journal j ON j.id = e.command_id
WHERE a.tenant_id = %(tenant)s AND a.user_id = %(user)s AND e.seq < %(before)s
  AND (%(state)s::text IS NULL OR h.state = %(state)s)
ORDER BY e.seq DESC LIMIT %(limit)s"""


def holds_of(
    connection: sa.Connection, tenant_id: str, user_id: str, state: str | None, before: int, limit: int
) -> list[dict[str, Any]]:
    """A page of the user's holds, the latest first: those below a `seq`, of one state or all."""
    values = {"tenant": tenant_id, "user": user_id, "before": before, "limit": limit}
    if state == "open":
        found = rows(connection, _OPEN, **values)
    else:
        found = rows(connection, _ALL, state=state, **values)
    return [shown(row) for row in found]


def hold(connection: sa.Connection, tenant_id: str, hold_id: UUID) -> dict[str, Any] | None:
    """One hold; None if this tenant has none of this id."""
    found = rows(connection, _HOLD + "AND h.id = %(id)s", tenant=tenant_id, id=hold_id)
    return shown(found[0]) if found else None


_LOTS = """
SELECT l.id AS lot_id, hl.amount, hl.frozen AS held, l.state, l.earned_at, l.expires_at, l.entry_id,
       l.origin_id
FROM hold_lots hl JOIN lots l ON l.tenant_id = hl.tenant_id AND l.id = hl.lot_id
WHERE hl.tenant_id = %(tenant)s AND hl.hold_id = %(id)s
ORDER BY l.expires_at, l.earned_at, l.seq, l.place, l.id LIMIT %(most)s"""


def lots_of_hold(connection: sa.Connection, tenant_id: str, hold_id: UUID) -> list[dict[str, Any]]:
    """What the hold had of which lots, and still holds: soonest expiry first."""
    return [shown(row) for row in rows(connection, _LOTS, tenant=tenant_id, id=hold_id, most=_MOST_LOTS)]
