"""Pauses and resumes tenants. Commands of a paused tenant are accepted but stay pending.

Each statement that finds work reads the paused tenants once (`PAUSED`), not once per row.
"""

from datetime import datetime

import sqlalchemy as sa

from pointledger.storage.database import rows, run

# Not correlated, so Postgres evaluates it once, before the statement's first row.
PAUSED = "ARRAY(SELECT tenant_id FROM paused_tenants)"


def pause(connection: sa.Connection, tenant_id: str) -> datetime:
    """Pause the tenant, and return since when it is paused."""
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
    """Resume the tenant, and return whether it was paused."""
    return bool(run(connection, "DELETE FROM paused_tenants WHERE tenant_id = %(tenant)s", tenant=tenant_id))


def paused(connection: sa.Connection) -> dict[str, datetime]:
    """Return the paused tenants, and since when each is paused."""
    found = rows(connection, "SELECT tenant_id, paused_at FROM paused_tenants ORDER BY tenant_id")
    return {row[0]: row[1] for row in found}


def lanes_of(connection: sa.Connection, tenant_id: str) -> list[int]:
    """Return the lanes with pending commands of the tenant."""
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
    """Return every lane, sorted."""
    return [row[0] for row in rows(connection, "SELECT lane FROM lanes ORDER BY lane")]
