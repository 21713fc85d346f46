"""How much of the limits is used that all of a tenant's users share: a counter's row for each window.

A batch reads the counters without a lock and decides on what they leave. What it has granted it adds at its
very end, in one piece, and only where no limit is exceeded by that, whatever others have added meanwhile:
so a counter's row is locked for the length of a COMMIT. Where others were faster near a limit, the batch
begins again with the rows locked from the start. Nothing is set aside, so nothing is left behind by whoever
dies; and a limit that is used up is read, not locked.
"""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import sqlalchemy as sa

from pointledger.domain.program.limits import EVERYBODY, SharedUsage, Usage, Window, left, rule_windows
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
ORDER BY c.tenant_id, c.meter, c.period, c.starts_on"""  # noqa: S608  (a constant of ours)

_OPEN = f"""
INSERT INTO shared_usage (tenant_id, meter, period, starts_on)
SELECT * FROM unnest({_KEY}) AS new (tenant_id, meter, period, starts_on)
ORDER BY tenant_id COLLATE "C", meter COLLATE "C", period COLLATE "C", starts_on
ON CONFLICT DO NOTHING"""  # noqa: S608  (a constant of ours)

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
  AND c.points <= locked.most_points AND c.times <= locked.most_times"""  # noqa: S608  (a constant of ours)


def load_shared(
    connection: sa.Connection, windows: list[Window], *, lock: bool = False
) -> dict[Window, Usage]:
    """What is used of these windows; with `lock`, their rows are locked in sorted order until the transaction
    ends, also those that nobody has counted in before."""
    if not windows:
        return {}
    if lock:
        run(connection, _OPEN, **_arrays(windows))
    found = rows(connection, _READ + (" FOR UPDATE OF c" if lock else ""), **_arrays(windows))
    return {
        Window(row.tenant_id, EVERYBODY, row.meter, row.period, row.starts_on): SharedUsage(
            row.points, row.times, points_before=row.points, times_before=row.times
        )
        for row in found
    }


def hold_shared(
    connection: sa.Connection, usage: dict[Window, SharedUsage], clamped: set[Window], passed: set[Window]
) -> bool:
    """Keeps counters as they are until the transaction ends; False where one that held grants back has moved
    since the batch read it, or one that let them through would not any more. So what rests on a counter
    stands in the order of application behind all that had counted by then.

    Where the batch counts in any, all are locked now, in one order. Those that it only looks at are shared,
    so that two who look do not wait for each other. Also those in which nobody has counted yet: somebody
    might.
    """
    counts = {window for window, used in usage.items() if used.changed}
    held = sorted(clamped | passed | counts)
    if new := [window for window in held if not (usage[window].points_before or usage[window].times_before)]:
        run(connection, _OPEN, **_arrays(new))
    found = rows(connection, _READ + (" FOR UPDATE OF c" if counts else " FOR SHARE OF c"), **_arrays(held))
    now = {Window(row[0], EVERYBODY, *row[1:4]): (row.points, row.times) for row in found}
    seen = {window: (usage[window].points_before, usage[window].times_before) for window in clamped}
    most = {window: (usage[window].most_points, usage[window].most_times) for window in passed - clamped}
    return all(now[window] == figures for window, figures in seen.items()) and all(
        now[window][0] <= points and now[window][1] <= times for window, (points, times) in most.items()
    )


def count_shared(connection: sa.Connection, usage: dict[Window, SharedUsage]) -> bool:
    """Adds what the batch has granted and given back; False where others have used up what it counted on:
    then this transaction must not commit.

    Locks the rows in sorted order. To be called late, for others wait from here until the COMMIT.
    """
    changed = {window: used for window, used in usage.items() if used.changed}
    if not changed:
        return True
    if unheard_of := [w for w, used in changed.items() if not (used.points_before or used.times_before)]:
        run(connection, _OPEN, **_arrays(unheard_of))
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
    """A shared limit of a rule in its current window: points or times, whichever it counts. What is used of
    one of scope `tenant` is what all rules with such a limit have granted."""

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
    """Each shared limit of these rules, in the window that a moment lies in."""
    limits = [
        (rule, limit, window)
        for rule in rules
        for limit, window in rule_windows(tenant, EVERYBODY, rule, at)
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
