"""The usage of limits that all users of a tenant share: one counter row per window.

A batch reads the counters without a lock and decides by them. It adds its grants at the very end, in one
statement that checks the limits against what other batches have added meanwhile. So it locks a counter's row
only for the length of a COMMIT. If other batches used up a limit first, the batch starts again with the rows
locked from the beginning. A batch reserves nothing, so a crash leaves nothing behind. A batch
that a limit has capped locks the counter until its COMMIT (`confirm_shared`).
"""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import sqlalchemy as sa

from pointledger.domain.program.limits import ALL_USERS, SharedUsage, Usage, Window, left, rule_windows
from pointledger.domain.program.rule import Rule
from pointledger.domain.program.tenant import Tenant
from pointledger.ids import show_id
from pointledger.storage.database import rows, run

_KEY = """%(tenants)b::text[], %(meters)b::text[], %(periods)b::text[], %(starts)b::date[]"""

_READ = f"""
SELECT c.tenant_id, c.meter, c.period, c.starts_on, c.points, c.times
FROM unnest({_KEY}) AS wanted (tenant_id, meter, period, starts_on)
JOIN shared_usage c ON c.tenant_id = wanted.tenant_id COLLATE "C" AND c.meter = wanted.meter COLLATE "C"
                   AND c.period = wanted.period COLLATE "C" AND c.starts_on = wanted.starts_on
ORDER BY c.tenant_id, c.meter, c.period, c.starts_on"""  # noqa: S608  (constants only)

_OPEN = f"""
INSERT INTO shared_usage (tenant_id, meter, period, starts_on)
SELECT * FROM unnest({_KEY}) AS new (tenant_id, meter, period, starts_on)
ORDER BY tenant_id COLLATE "C", meter COLLATE "C", period COLLATE "C", starts_on
ON CONFLICT DO NOTHING"""  # noqa: S608  (constants only)

_COUNT = f"""
WITH locked AS MATERIALIZED (
    SELECT c.tenant_id, c.meter, c.period, c.starts_on,
           new.points, new.times, new.most_points, new.most_times
    FROM unnest({_KEY}, %(points)b::int8[], %(times)b::int8[], %(most_points)b::int8[],
                %(most_times)b::int8[])
         AS new (tenant_id, meter, period, starts_on, points, times, most_points, most_times)
    JOIN shared_usage c ON c.tenant_id = new.tenant_id COLLATE "C" AND c.meter = new.meter COLLATE "C"
                       AND c.period = new.period COLLATE "C" AND c.starts_on = new.starts_on
    ORDER BY c.tenant_id, c.meter, c.period, c.starts_on
    FOR UPDATE OF c)
UPDATE shared_usage AS c
SET points = greatest(c.points + locked.points, 0), times = c.times + locked.times
FROM locked
WHERE c.tenant_id = locked.tenant_id AND c.meter = locked.meter AND c.period = locked.period
  AND c.starts_on = locked.starts_on
  AND c.points <= locked.most_points AND c.times <= locked.most_times"""  # noqa: S608  (constants only)


def load_shared(
    connection: sa.Connection, windows: list[Window], *, lock: bool = False
) -> dict[Window, Usage]:
    """Return the usage of these windows.

    `lock` creates missing rows and locks all in sorted order until the transaction ends.
    """
    if not windows:
        return {}
    if lock:
        run(connection, _OPEN, **_arrays(windows))
    found = rows(connection, _READ + (" FOR UPDATE OF c" if lock else ""), **_arrays(windows))
    return {
        Window(row.tenant_id, ALL_USERS, row.meter, row.period, row.starts_on): SharedUsage(
            row.points, row.times, points_before=row.points, times_before=row.times
        )
        for row in found
    }


def confirm_shared(
    connection: sa.Connection, usage: dict[Window, SharedUsage], clamped: set[Window], passed: set[Window]
) -> bool:
    """Lock counters until the transaction ends, and check that the batch's decisions still hold.

    Return False if a counter that capped a grant has changed since the batch read it, or if one that let a
    grant through would no longer do so. Because of the locks, the batch follows all batches that had counted
    by then in the order of application.

    If the batch counts in any window, it locks all rows now, in one order. Otherwise it takes share locks, so
    batches that only read do not wait for each other. Rows of unused windows are created and locked too,
    because another batch may count in them.
    """
    counts = {window for window, used in usage.items() if used.changed}
    locked = sorted(clamped | passed | counts)
    if new := [
        window for window in locked if not (usage[window].points_before or usage[window].times_before)
    ]:
        run(connection, _OPEN, **_arrays(new))
    found = rows(connection, _READ + (" FOR UPDATE OF c" if counts else " FOR SHARE OF c"), **_arrays(locked))
    now = {Window(row[0], ALL_USERS, *row[1:4]): (row.points, row.times) for row in found}
    seen = {window: (usage[window].points_before, usage[window].times_before) for window in clamped}
    most = {window: (usage[window].most_points, usage[window].most_times) for window in passed - clamped}
    return all(now[window] == figures for window, figures in seen.items()) and all(
        now[window][0] <= points and now[window][1] <= times for window, (points, times) in most.items()
    )


def count_shared(connection: sa.Connection, usage: dict[Window, SharedUsage]) -> bool:
    """Add the points that the batch has granted and given back, locking the rows in sorted order.

    Return False if other batches have used up a limit meanwhile; then the transaction must not commit. Call
    it late, because other batches wait from here until the COMMIT.
    """
    changed = {window: used for window, used in usage.items() if used.changed}
    if not changed:
        return True
    if new := [w for w, used in changed.items() if not (used.points_before or used.times_before)]:
        run(connection, _OPEN, **_arrays(new))
    counted = run(
        connection,
        _COUNT,
        **_arrays(list(changed)),
        points=[used.points - used.points_before for used in changed.values()],
        times=[used.times - used.times_before for used in changed.values()],
        most_points=[used.most_points for used in changed.values()],
        most_times=[used.most_times for used in changed.values()],
    )
    return counted == len(changed)


def _arrays(windows: list[Window]) -> dict[str, list[Any]]:
    return {
        "tenants": [window.tenant_id for window in windows],
        "meters": [window.meter for window in windows],
        "periods": [window.period for window in windows],
        "starts": [window.starts_on for window in windows],
    }


@dataclass(frozen=True, slots=True)
class SharedLimit:
    """A shared limit of a rule in its current window, in the limit's `unit`.

    The usage of a limit of scope `tenant` includes the grants of all rules with such a limit.
    """

    rule: str
    rule_id: str
    enabled: bool
    scope: str
    period: str
    unit: str
    starts_on: date
    max: int
    used: int
    left: int


def shared_limits(
    connection: sa.Connection, tenant: Tenant, rules: list[Rule], at: datetime
) -> list[SharedLimit]:
    """Return each shared limit of these rules, in the window of a moment."""
    limits = [
        (rule, limit, window)
        for rule in rules
        for limit, window in rule_windows(tenant, ALL_USERS, rule, at)
        if limit.scope != "user"
    ]
    usage = load_shared(connection, sorted({window for _, _, window in limits}))
    found = []
    for rule, limit, window in limits:
        used = usage.get(window) or Usage()
        found.append(
            SharedLimit(
                rule=rule.body.name,
                rule_id=show_id(rule.id),
                enabled=rule.body.enabled,
                scope=limit.scope,
                period=limit.period,
                unit=limit.unit,
                starts_on=window.starts_on,
                max=limit.max,
                used=used.points if limit.unit == "points" else used.times,
                left=left(limit, used),
            )
        )
    return found
