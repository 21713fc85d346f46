"""What commands reverse: the entries that they name, the lots that paid, and what was returned already.

Reads nothing where a batch reverses nothing. A reversed entry's account is locked, or it is another user's
and the reversal is refused: so nothing read here changes before the transaction ends.
"""

from uuid import UUID

import sqlalchemy as sa

from pointledger.domain.decide import Accepted
from pointledger.domain.lots import Lot, consumption_order
from pointledger.domain.reversible import Reversible, Share
from pointledger.storage.database import rows

_WANTED = "unnest(%(tenants)b::text[], %(ids)b::uuid[]) AS wanted (tenant_id, id)"

_ENTRIES = f"""
SELECT e.tenant_id, e.id, e.account_id, e.type, e.subtype, e.amount, e.occurred_at, undone
FROM {_WANTED}
JOIN entries e ON e.tenant_id = wanted.tenant_id COLLATE "C" AND e.id = wanted.id
CROSS JOIN LATERAL (
    SELECT coalesce(sum(r.amount), 0)::int8 AS undone FROM entries r
    WHERE r.tenant_id = e.tenant_id AND r.related_id = e.id AND r.subtype IN ('linked', 'clawback')
) AS reversals"""  # noqa: S608  (a constant of ours)

_SHARES = f"""
SELECT m.tenant_id, m.entry_id, m.amount, returned, l.id, l.account_id, l.entry_id AS brought_by,
       l.origin_id, l.amount AS granted, l.remaining, l.earned_at, l.expires_at, l.frozen, l.state
FROM {_WANTED}
JOIN lot_moves m ON m.tenant_id = wanted.tenant_id COLLATE "C" AND m.entry_id = wanted.id
JOIN lots l ON l.tenant_id = m.tenant_id AND l.id = m.lot_id
CROSS JOIN LATERAL (
    SELECT coalesce(sum(back.amount), 0)::int8 AS returned
    FROM entries r JOIN lot_moves back
        ON back.tenant_id = r.tenant_id AND back.entry_id = r.id AND back.lot_id = m.lot_id
    WHERE r.tenant_id = m.tenant_id AND r.related_id = m.entry_id AND r.subtype IN ('linked', 'clawback')
      AND back.kind IN ('restore', 'grace')
) AS reversals"""  # noqa: S608  (a constant of ours)

Reversibles = dict[tuple[str, UUID], Reversible]


def load_reversibles(connection: sa.Connection, batch: list[Accepted]) -> tuple[Reversibles, dict[UUID, Lot]]:
    """The entries that the batch reverses, and the lots that those took from, each once."""
    keys = sorted({(a.command.tenant_id, a.command.reverses) for a in batch if a.command.reverses})
    if not keys:
        return {}, {}
    wanted = {"tenants": [tenant for tenant, _ in keys], "ids": [entry for _, entry in keys]}
    found = {
        (row.tenant_id, row.id): Reversible(
            row.id, row.account_id, (row.type, row.subtype), row.amount, row.occurred_at, row.undone
        )
        for row in rows(connection, _ENTRIES, **wanted)
    }
    lots: dict[UUID, Lot] = {}
    for row in rows(connection, _SHARES, **wanted):
        lot = lots.setdefault(
            row.id,
            Lot(
                row.id, row.tenant_id, row.account_id, row.brought_by, row.origin_id, row.granted,
                row.remaining, row.earned_at, row.expires_at, row.frozen, row.state,
            ),
        )  # fmt: skip
        found[row.tenant_id, row.entry_id].shares.append(Share(lot, row.amount, row.returned))
    for reversible in found.values():
        reversible.shares.sort(key=lambda share: consumption_order(share.lot))
    return found, lots
