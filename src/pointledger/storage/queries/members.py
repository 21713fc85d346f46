"""Reads a statement of an account: its figures at a moment, and the movements of a period."""

from datetime import datetime
from typing import NamedTuple

import sqlalchemy as sa

from pointledger.storage.database import rows
from pointledger.storage.ledger.day_totals import IS_TAKEN

# The planner believes that an account that it knows from old statistics has half of all rows. So it must not
# know which account it is.
_ACCOUNT = "(SELECT id FROM accounts WHERE tenant_id = %(tenant)s AND user_id = %(user)s)"


class Figures(NamedTuple):
    """An account's figures after its entry `seq`, in points; all 0 before the first one."""

    seq: int = 0
    available: int = 0
    frozen: int = 0
    pending: int = 0
    debt: int = 0


# Entries of an account have the numbers from 1 to its version, and are recorded in that order. So halving
# finds the last one before a moment: 20 probes of the primary key among a million entries.
_FIGURES = f"""
WITH RECURSIVE halves (low, high) AS (
    SELECT 0::bigint, (SELECT version FROM accounts WHERE tenant_id = %(tenant)s AND user_id = %(user)s)
    UNION ALL
    SELECT CASE WHEN is_before THEN middle ELSE low END, CASE WHEN is_before THEN high ELSE middle - 1 END
    FROM (SELECT low, high, (low + high + 1) / 2 AS middle FROM halves WHERE low < high) AS half
    CROSS JOIN LATERAL (
        SELECT created_at < %(moment)s AS is_before FROM entries
        WHERE tenant_id = %(tenant)s AND account_id = {_ACCOUNT} AND seq = half.middle LIMIT 1) AS probe)
SELECT seq, balance_after, frozen_after, pending_after, debt_after FROM entries
WHERE tenant_id = %(tenant)s AND account_id = {_ACCOUNT}
  AND seq = (SELECT low FROM halves WHERE low = high)"""  # noqa: S608  (constants only)


def figures_before(connection: sa.Connection, tenant_id: str, user_id: str, moment: datetime) -> Figures:
    """Return the account's figures as they were recorded before a moment."""
    found = rows(connection, _FIGURES, tenant=tenant_id, user=user_id, moment=moment)
    return Figures(*found[0]) if found else Figures()


class Movement(NamedTuple):
    """The entries of one kind in a period, and how they changed the account in all, in points."""

    type: str
    subtype: str
    is_taken: bool
    entries: int
    points: int
    available: int
    frozen: int
    pending: int
    debt: int


_MOVEMENTS = f"""
SELECT type, subtype, {IS_TAKEN} AS is_taken, count(*), sum(amount), sum(delta), sum(delta_frozen),
       sum(delta_pending), sum(delta_debt)
FROM entries WHERE tenant_id = %(tenant)s AND account_id = {_ACCOUNT}
  AND seq > %(after)s AND seq <= %(last)s
GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"""  # noqa: S608  (constants only)


def movements(
    connection: sa.Connection, tenant_id: str, user_id: str, after: int, last: int
) -> list[Movement]:
    """Sum up the account's entries above `after`, up to `last`, by kind. It reads them all."""
    found = rows(connection, _MOVEMENTS, tenant=tenant_id, user=user_id, after=after, last=last)
    return [Movement(*row[:4], *(int(each) for each in row[4:])) for row in found]
