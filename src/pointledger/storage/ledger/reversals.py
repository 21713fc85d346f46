"""Loads the entries that commands reverse, the lots that paid for them, and the points already returned.

A batch without reversals reads nothing. A reversed entry's account is locked, or it is another user's and the
reversal is refused. So nothing that is read here changes before the transaction ends.
"""

from collections import defaultdict
from dataclasses import replace
from operator import itemgetter
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from pointledger.domain.commands.accepted import Accepted
from pointledger.domain.decisions.reversals import EARNED
from pointledger.domain.ledger.lots import Lot, consumption_order
from pointledger.domain.ledger.reversible import Reversible, Share
from pointledger.ids import id_after
from pointledger.storage.database import rows
from pointledger.storage.ledger.expiry_changes import expired_then
from pointledger.storage.ledger.lots import SELECTED, one_lot

_WANTED = "unnest(%(tenants)b::text[], %(ids)b::uuid[]) AS wanted (tenant_id, id)"

_ENTRIES = f"""
SELECT e.tenant_id, e.id, e.account_id, e.command_id, e.type, e.subtype, e.amount, e.occurred_at, e.rule_id,
       e.rule_version, undone
FROM {_WANTED}
JOIN entries e ON e.tenant_id = wanted.tenant_id COLLATE "C" AND e.id = wanted.id
CROSS JOIN LATERAL (
    SELECT coalesce(sum(r.amount), 0)::int8 AS undone FROM entries r
    WHERE r.tenant_id = e.tenant_id AND r.related_id = e.id AND r.subtype IN ('linked', 'clawback')
) AS reversals"""  # noqa: S608  (constants only)

_SHARES = f"""
SELECT m.tenant_id, m.entry_id, m.amount, returned, {expired_then("l", "e.seq")} AS expired_then, {SELECTED}
FROM {_WANTED}
JOIN lot_moves m ON m.tenant_id = wanted.tenant_id COLLATE "C" AND m.entry_id = wanted.id
JOIN entries e ON e.tenant_id = m.tenant_id AND e.id = m.entry_id
JOIN lots l ON l.tenant_id = m.tenant_id AND l.id = m.lot_id
CROSS JOIN LATERAL (
    SELECT coalesce(sum(back.amount), 0)::int8 AS returned
    FROM entries r JOIN lot_moves back
        ON back.tenant_id = r.tenant_id AND back.entry_id = r.id AND back.lot_id = m.lot_id
    WHERE r.tenant_id = m.tenant_id AND r.related_id = m.entry_id AND r.subtype IN ('linked', 'clawback')
      AND back.kind IN ('restore', 'renew')
) AS reversals"""  # noqa: S608  (constants only)

# Points of a lot that moved to another lot, by grace or by a transfer and back, may have expired there.
_LOTS = f"""
SELECT elsewhere, {SELECTED} FROM {_WANTED}
JOIN lots l ON l.tenant_id = wanted.tenant_id COLLATE "C" AND l.id = wanted.id
CROSS JOIN LATERAL (
    SELECT coalesce(sum(o.expired), 0)::int8 AS elsewhere FROM lots o
    WHERE o.tenant_id = l.tenant_id AND o.origin_id = l.origin_id AND o.account_id = l.account_id
      AND o.expired > 0 AND o.entry_id <> o.origin_id
) AS others"""  # noqa: S608  (constants only)

Reversibles = dict[tuple[str, UUID], Reversible]


def load_reversibles(connection: sa.Connection, batch: list[Accepted]) -> tuple[Reversibles, dict[UUID, Lot]]:
    """Return the entries that the batch reverses, and the lots that they took from or brought."""
    keys = sorted({(a.command.tenant_id, a.command.reverses) for a in batch if a.command.reverses})
    if not keys:
        return {}, {}
    found, brought = {}, {}
    for row in rows(connection, _ENTRIES, **_arrays(keys)):
        kind = row.type, row.subtype
        rule = (row.rule_id, row.rule_version) if row.rule_id else None
        entry = Reversible(row.id, row.account_id, kind, row.amount, row.occurred_at, rule, row.undone)
        found[row.tenant_id, row.id] = entry
        if kind in EARNED and (lot_id := id_after(row.command_id, row.id)):
            brought[row.tenant_id, lot_id] = entry
    lots: dict[UUID, Lot] = {}
    paid: dict[tuple[str, UUID], list[tuple[Any, Share]]] = defaultdict(list)
    for tenant_id, entry_id, taken, returned, ended, *columns in rows(connection, _SHARES, **_arrays(keys)):
        lot = lots[columns[0]] = one_lot(lots, columns)
        paid[tenant_id, entry_id].append(
            (consumption_order(replace(lot, expires_at=ended)), Share(lot, taken, returned))
        )
    for elsewhere, *columns in rows(connection, _LOTS, **_arrays(list(brought))) if brought else []:
        lot = lots[columns[0]] = one_lot(lots, columns)
        entry = brought[lot.tenant_id, lot.id]
        entry.lot, entry.expired = lot, lot.expired + elsewhere
    for key, shares in paid.items():  # in the order of that time: expiries may have changed since
        found[key].shares = [share for _, share in sorted(shares, key=itemgetter(0))]
    return found, lots


def _arrays(keys: list[tuple[str, UUID]]) -> dict[str, list[Any]]:
    return {"tenants": [tenant for tenant, _ in keys], "ids": [entry for _, entry in keys]}
