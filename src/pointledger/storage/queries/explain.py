"""Reads what explains an entry: its command, rule and lots. Also reads all data of one user."""

from typing import Any
from uuid import UUID

import sqlalchemy as sa

from pointledger.domain.ledger.outcome_data import expand
from pointledger.domain.program.tenant import Tenant
from pointledger.ids import ids_of_same_millisecond, parse_id
from pointledger.storage.database import rows
from pointledger.storage.queries.current import MAY_BE_DUE, account, lots_now
from pointledger.storage.queries.rows import shown

_COMMAND = """
SELECT j.id, j.kind, j.user_id, j.actor, j.idempotency_key, j.occurred_at, j.accepted_at, j.payload,
       j.extensions, o.state, o.applied_at, o.data
FROM journal j LEFT JOIN outcomes o ON o.id = j.id WHERE j.id = %(id)s"""


def command(connection: sa.Connection, command_id: UUID) -> dict[str, Any] | None:
    """Return a command with its outcome, or None if the journal does not have it."""
    found = rows(connection, _COMMAND, id=command_id)
    if not found:
        return None
    fields = shown(found[0])
    return fields | {"data": expand(fields["data"])}


def rule_version(
    connection: sa.Connection, tenant_id: str, rule_id: UUID, version: int
) -> dict[str, Any] | None:
    """Return a version of a rule: its name, its body, and since when it is in force."""
    found = rows(
        connection,
        """SELECT rule_id, name, version, in_force_from, body FROM rule_versions
           WHERE tenant_id = %(tenant)s AND rule_id = %(id)s AND version = %(version)s""",
        tenant=tenant_id,
        id=rule_id,
        version=version,
    )
    return shown(found[0]) if found else None


_MOVED = """
SELECT c.lot_id, c.nth, c.cause, c.was, c.becomes, c.command_id, c.recorded_at
FROM expiry_changes c WHERE c.tenant_id = %(tenant)s AND c.lot_id = ANY(%(lots)s::uuid[])
ORDER BY c.lot_id, c.nth"""


def expiry_changes(
    connection: sa.Connection, tenant_id: str, lots: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Return the lots, each with the changes of its expiry in order, in `expiry_changes`."""
    ids = [parse_id(lot["lot_id"]) for lot in lots]
    found = [shown(row) for row in rows(connection, _MOVED, tenant=tenant_id, lots=ids)] if ids else []
    return [
        lot | {"expiry_changes": [change for change in found if change["lot_id"] == lot["lot_id"]]}
        for lot in lots
    ]


_MOVES = """
SELECT m.kind, m.amount, l.id AS lot_id, l.amount AS lot_amount, l.earned_at, l.expires_at,
       l.activates_at, l.entry_id, l.origin_id
FROM lot_moves m LEFT JOIN lots l ON l.tenant_id = m.tenant_id AND l.id = m.lot_id
WHERE m.tenant_id = %(tenant)s AND m.entry_id = %(entry)s
ORDER BY l.expires_at, l.earned_at, l.seq, l.place, l.id LIMIT %(most)s"""

# A lot's id begins with the millisecond of its entry's id, so its lots are one short index range.
_ARRIVED = f"""
SELECT l.id AS lot_id, l.amount, l.remaining, l.frozen, l.state, l.earned_at, l.expires_at,
       l.activates_at, l.origin_id,
       (SELECT {MAY_BE_DUE}
        FROM entries e JOIN accounts a ON a.tenant_id = e.tenant_id AND a.id = e.account_id
        WHERE e.tenant_id = %(tenant)s AND e.id = %(entry)s) AS may_be_due
FROM lots l
WHERE l.tenant_id = %(tenant)s AND l.id BETWEEN %(first)s AND %(last)s AND l.entry_id = %(entry)s
ORDER BY l.expires_at, l.earned_at, l.seq, l.place, l.id LIMIT %(most)s"""  # noqa: S608  (constants only)

_MOST_LOTS = 1_000  # per entry; people cannot read more


def lots_moved(connection: sa.Connection, tenant_id: str, entry_id: UUID) -> list[dict[str, Any]]:
    """Return the points that the entry took from lots or returned to them, the earliest expiry first."""
    found = rows(connection, _MOVES, tenant=tenant_id, entry=entry_id, most=_MOST_LOTS)
    return expiry_changes(connection, tenant_id, [shown(row) for row in found])


def lots_arrived(
    connection: sa.Connection, tenant: Tenant, user_id: str, entry_id: UUID
) -> list[dict[str, Any]]:
    """Return the lots of an entry of the user as they are now, the earliest expiry first."""
    first, last = ids_of_same_millisecond(entry_id)
    found = rows(
        connection, _ARRIVED, tenant=tenant.tenant_id, entry=entry_id, first=first, last=last, most=_MOST_LOTS
    )
    lots = [shown(row) for row in found]
    may_be_due = [lot.pop("may_be_due") for lot in lots]
    current = account(connection, tenant, user_id) if any(may_be_due) else None
    return expiry_changes(connection, tenant.tenant_id, lots_now(lots, current, "lot_id"))


# ------------------------------------------------------------------------------------------- one user

_LOTS = """
SELECT l.id, l.entry_id, l.origin_id, l.amount, l.remaining, l.frozen, l.state, l.earned_at, l.expires_at,
       l.activates_at
FROM unnest(%(entries)s::uuid[], %(firsts)s::uuid[], %(lasts)s::uuid[]) AS came (entry_id, first, last)
JOIN lots l ON l.tenant_id = %(tenant)s AND l.id BETWEEN came.first AND came.last
     AND l.entry_id = came.entry_id
ORDER BY l.seq, l.place, l.id"""


def lots_of(connection: sa.Connection, tenant_id: str, entry_ids: list[UUID]) -> list[dict[str, Any]]:
    """Return all lots of these entries, also used ones."""
    ranges = [ids_of_same_millisecond(entry_id) for entry_id in entry_ids]
    found = rows(
        connection,
        _LOTS,
        tenant=tenant_id,
        entries=entry_ids,
        firsts=[first for first, _ in ranges],
        lasts=[last for _, last in ranges],
    )
    return [shown(row) for row in found]


_JOURNAL_CHUNK = 20_000  # commands that one statement reads

_JOURNAL = """
WITH chunk AS MATERIALIZED (
    SELECT id, tenant_id, user_id FROM journal
    WHERE %(after)s::uuid IS NULL OR id > %(after)s ORDER BY id LIMIT %(chunk)s)
SELECT (SELECT id FROM chunk ORDER BY id DESC LIMIT 1) AS reached,
       ARRAY(SELECT id FROM chunk WHERE tenant_id = %(tenant)s AND user_id = %(user)s ORDER BY id) AS ids"""


def commands_of(
    connection: sa.Connection, tenant_id: str, user_id: str, after: UUID | None
) -> tuple[list[UUID], UUID | None]:
    """Return the user's commands in the next piece of the journal, and where it ends (None: at the end).

    It reads the whole journal in pieces, because an index by user would cost every acceptance, and exports
    are rare.
    """
    found = rows(connection, _JOURNAL, tenant=tenant_id, user=user_id, after=after, chunk=_JOURNAL_CHUNK)[0]
    return found.ids, found.reached


_WITH_OUTCOMES = """
SELECT j.id AS task_id, j.seq, j.kind, j.actor, j.idempotency_key, j.occurred_at, j.accepted_at, j.payload,
       j.extensions,
       coalesce(o.state, CASE WHEN f.dead_at IS NULL THEN 'pending' ELSE 'dead' END) AS state, o.reason,
       CASE WHEN f.dead_at IS NULL THEN o.message ELSE f.error END AS message, o.applied_at, o.data
FROM journal j LEFT JOIN outcomes o ON o.id = j.id LEFT JOIN failures f ON f.id = j.id
WHERE j.id = ANY(%(ids)s::uuid[]) ORDER BY j.seq"""


def commands_with_outcomes(connection: sa.Connection, ids: list[UUID]) -> list[dict[str, Any]]:
    """Return each command with its outcome, in the order of acceptance."""
    found = [shown(row) for row in rows(connection, _WITH_OUTCOMES, ids=ids)]
    return [command | {"data": expand(command["data"])} for command in found]
