"""Loads and saves the usage of a user's limits. `shared_usage.py` has the limits that all users share.

A user's windows need no locks of their own: the row lock of the user's account protects them.
"""

from typing import Any

import sqlalchemy as sa

from pointledger.domain.program.limits import Usage, Window
from pointledger.storage.database import rows
from pointledger.storage.pipelines import send

_USAGE = """
SELECT u.tenant_id, u.user_id, u.meter, u.period, u.starts_on, u.points, u.times
FROM unnest(%(tenants)b::text[], %(users)b::text[], %(meters)b::text[], %(periods)b::text[],
            %(starts)b::date[])
     AS wanted (tenant_id, user_id, meter, period, starts_on)
JOIN usage u ON u.tenant_id = wanted.tenant_id COLLATE "C" AND u.user_id = wanted.user_id COLLATE "C"
            AND u.meter = wanted.meter COLLATE "C" AND u.period = wanted.period COLLATE "C"
            AND u.starts_on = wanted.starts_on"""

_SAVE_USAGE = """
INSERT INTO usage AS known (tenant_id, user_id, meter, period, starts_on, points, times)
SELECT * FROM unnest(%(tenants)b::text[], %(users)b::text[], %(meters)b::text[], %(periods)b::text[],
                     %(starts)b::date[], %(points)b::int8[], %(times)b::int8[])
ON CONFLICT (tenant_id, user_id, meter, period, starts_on)
DO UPDATE SET points = excluded.points, times = excluded.times"""


def _window_arrays(windows: list[Window]) -> dict[str, list[Any]]:
    return {
        "tenants": [window.tenant_id for window in windows],
        "users": [window.user_id for window in windows],
        "meters": [window.meter for window in windows],
        "periods": [window.period for window in windows],
        "starts": [window.starts_on for window in windows],
    }


def load_usage(connection: sa.Connection, windows: list[Window]) -> dict[Window, Usage]:
    """Return the usage of these windows of users."""
    if not windows:
        return {}
    found = rows(connection, _USAGE, **_window_arrays(windows))
    return {Window(*row[:5]): Usage(row.points, row.times) for row in found}


def save_usage(connection: sa.Connection, usage: dict[Window, Usage]) -> None:
    changed = {window: used for window, used in usage.items() if used.changed and not window.is_shared}
    if not changed:
        return
    send(
        connection,
        _SAVE_USAGE,
        **_window_arrays(list(changed)),
        points=[used.points for used in changed.values()],
        times=[used.times for used in changed.values()],
    )
