"""Paused tenants: their commands are accepted, but wait. Who is paused is asked in each statement that finds
work (`PAUSED`), once per statement and not per row: while nobody is, it costs nothing."""

from datetime import datetime

import sqlalchemy as sa

from pointledger.storage.database import rows, run

# Not correlated: Postgres asks it once, before the statement's first row.
PAUSED = "ARRAY(SELECT tenant_id FROM paused_tenants)"


def pause(connection: sa.Connection, tenant_id: str) -> datetime:
    """Lets the tenant's commands wait; since when they do."""
    found = rows(
        connection,
        """INSERT INTO paused_tenants AS known (tenant_id) VALUES (%(tenant)s)
           ON CONFLICT (tenant_id) DO UPDATE SET paused_at = known.paused_at
           RETURNING paused_at""",
        tenant=tenant_id,
    )
    moment: datetime = found[0][0]
    return moment


def resume(connection: sa.Connection, tenant_id: str) -> bool:
    """Lets the tenant's commands go on; whether it was paused."""
    return bool(run(connection, "DELETE FROM paused_tenants WHERE tenant_id = %(tenant)s", tenant=tenant_id))


def paused(connection: sa.Connection) -> dict[str, datetime]:
    """The paused tenants, and since when they are."""
    found = rows(connection, "SELECT tenant_id, paused_at FROM paused_tenants ORDER BY tenant_id")
    return {row[0]: row[1] for row in found}


def lanes_of(connection: sa.Connection, tenant_id: str) -> list[int]:
    """The lanes in which something of the tenant waits."""
    found = rows(
        connection,
        """SELECT lane FROM lanes
           WHERE EXISTS (SELECT FROM pending p JOIN journal j ON j.id = p.id
                         WHERE p.lane = lanes.lane AND j.tenant_id = %(tenant)s)
           ORDER BY lane""",
        tenant=tenant_id,
    )
    return [row[0] for row in found]


def all_lanes(connection: sa.Connection) -> list[int]:
    """Every lane, sorted."""
    return [row[0] for row in rows(connection, "SELECT lane FROM lanes ORDER BY lane")]
