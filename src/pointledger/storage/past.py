"""An account as it was: worked out from its entries, which stay."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa

from pointledger.domain.totals import TAKEN, TOTALS
from pointledger.storage.current import as_recorded
from pointledger.storage.database import rows
from pointledger.storage.queries import shown

_NO_TOTALS = dict.fromkeys(
    (
        "total_earned", "total_spent", "expired_points", "total_refunded", "total_transferred_in",
        "total_transferred_out", "total_adjusted_in", "total_adjusted_out", "total_clawed_back",
    ),
    0,
)  # fmt: skip

_LAST = """
SELECT a.id, a.tenant_id, a.user_id, a.points_type, NULL AS status,
       NULL AS expiry_exempt, NULL AS expires_not_before,
       coalesce(e.balance_after, 0) AS balance, coalesce(e.frozen_after, 0) AS frozen_balance,
       coalesce(e.pending_after, 0) AS pending_balance, coalesce(e.debt_after, 0) AS debt,
       coalesce(e.seq, 0) AS version, a.created_at, coalesce(e.created_at, a.created_at) AS updated_at,
       least(%(moment)s, now()) AS as_of,
       (SELECT config ->> 'exchange_rate' FROM tenant_versions t
        WHERE t.tenant_id = a.tenant_id AND t.saved_at <= %(moment)s
        ORDER BY version DESC LIMIT 1)::bigint AS exchange_rate
FROM accounts a
LEFT JOIN LATERAL (SELECT * FROM entries e
                   WHERE e.tenant_id = a.tenant_id AND e.account_id = a.id AND e.created_at <= %(moment)s
                   ORDER BY e.seq DESC LIMIT 1) AS e ON true
WHERE a.tenant_id = %(tenant)s AND a.user_id = %(user)s AND a.created_at <= %(moment)s"""

_SUMS = """
SELECT e.type, e.subtype, e.delta + e.delta_frozen + e.delta_pending - e.delta_debt < 0 AS taken,
       sum(e.amount)::bigint AS points
FROM accounts a JOIN entries e ON e.tenant_id = a.tenant_id AND e.account_id = a.id
WHERE a.tenant_id = %(tenant)s AND a.user_id = %(user)s AND e.seq <= %(version)s
GROUP BY 1, 2, 3"""


def account_as_of(
    connection: sa.Connection, tenant_id: str, user_id: str, moment: datetime
) -> dict[str, Any] | None:
    """The account as it had been recorded by a moment; None if it was not there yet.

    `created_at` decides, not `occurred_at`: what happened before but was recorded later is not in it, nor is
    what was due by then. The status is null, for no entry tells it.
    """
    found = rows(connection, _LAST, tenant=tenant_id, user=user_id, moment=moment)
    if not found:
        return None
    account = shown(found[0]) | _NO_TOTALS
    as_of = account.pop("as_of")
    sums = rows(connection, _SUMS, tenant=tenant_id, user=user_id, version=account["version"])
    for entry_type, subtype, taken, points in sums:
        kind = entry_type, subtype
        total = TAKEN.get(kind, TOTALS[kind]) if taken else TOTALS[kind]
        if total:
            account[total] += points
    return as_recorded(account, as_of)
