# ruff: noqa: S608  (what is put into these queries is names of ours)
"""What must be true of the limits that all users share: none is exceeded, what counts is what was granted.

The second reads the entries of each tenant that has such limits, from when the first of them was saved: once
for all counters of a chunk, by the time with which ids begin.
"""

from datetime import date

from pointledger.storage.invariants import AFTER_ANY_TENANT, BEFORE_ANY_TENANT, Invariant, Walk, within
from pointledger.storage.invariants_of_limits import CALENDARS, RULE_LIMITS

_KEY = ("tenant_id", "meter", "period", "starts_on")

# Each version's shared limits, by the counter that it looks at.
_LIMITS = f"""
    SELECT tenant_id, rule_id, version, period,
           CASE scope WHEN 'tenant' THEN 'budget' ELSE rule_id::text END AS meter,
           min(most) FILTER (WHERE unit = 'points') AS points,
           min(most) FILTER (WHERE unit = 'times') AS times,
           min(saved_at) AS saved_at
    FROM ({RULE_LIMITS}) AS all_limits WHERE scope <> 'user'
    GROUP BY tenant_id, rule_id, version, scope, period"""

_NOT_EXCEEDED = Invariant(
    "I11c",
    "no limit that all users share is exceeded",
    f"""
    SELECT s.*, most_points, most_times
    FROM (SELECT tenant_id, meter, period,
                 CASE WHEN bool_and(points IS NOT NULL) THEN max(points) END AS most_points,
                 CASE WHEN bool_and(times IS NOT NULL) THEN max(times) END AS most_times
          FROM ({_LIMITS}) AS limits GROUP BY tenant_id, meter, period) AS highest
    JOIN shared_usage s USING (tenant_id, meter, period)
    WHERE {within("s.tenant_id", "s.meter", "s.period", "s.starts_on")}
      AND (s.points > most_points OR s.times > most_times)""",
)

# An id begins with 48 bits of milliseconds. A day earlier than the limit was saved: for clocks that were set.
_FIRST_ID = """
    (lpad(to_hex((extract(epoch FROM since - interval '1 day') * 1000)::bigint), 12, '0')
     || repeat('0', 20))::uuid"""

_GRANTED = f"""
    SELECT l.tenant_id, l.meter, l.period, w.starts_on,
           CASE e.subtype WHEN 'clawback' THEN -e.amount ELSE e.amount END AS points,
           CASE e.subtype WHEN 'clawback' THEN 0 ELSE 1 END AS times
    FROM (SELECT tenant_id, min(saved_at) AS since FROM limits GROUP BY tenant_id) AS limited
    JOIN calendars c USING (tenant_id)
    JOIN entries e ON e.tenant_id = limited.tenant_id AND e.id >= {_FIRST_ID} AND e.rule_id IS NOT NULL
    JOIN limits l ON l.tenant_id = e.tenant_id AND l.rule_id = e.rule_id AND l.version = e.rule_version
    LEFT JOIN entries o ON e.subtype = 'clawback' AND o.tenant_id = e.tenant_id AND o.id = e.related_id
    CROSS JOIN LATERAL (SELECT (e.occurred_at AT TIME ZONE c.zone)::date AS day) AS local
    CROSS JOIN LATERAL (SELECT CASE l.period
        WHEN 'day' THEN local.day WHEN 'week' THEN date_trunc('week', local.day)::date
        WHEN 'month' THEN date_trunc('month', local.day)::date ELSE '0001-01-01' END AS starts_on) AS w
    WHERE w.starts_on IS NOT NULL AND (e.subtype = 'rule' OR (
        e.subtype = 'clawback' AND l.period = 'day' AND (o.occurred_at AT TIME ZONE c.zone)::date = local.day
    ))"""

# Windows before a day that was closed may have been pruned, where the tenant has ever limited backdating.
_COUNTED = Invariant(
    "I11d",
    "what counts as used of a limit that all users share is what was granted in its window",
    f"""
    WITH calendars AS MATERIALIZED ({CALENDARS}), limits AS MATERIALIZED ({_LIMITS})
    SELECT tenant_id, meter, period, starts_on, sum(used) AS used, sum(granted) AS granted,
           sum(times_used) AS times_used, sum(times_granted) AS times_granted
    FROM (
        SELECT tenant_id, meter, period, starts_on, 0 AS used, points AS granted, 0 AS times_used,
               times AS times_granted
        FROM ({_GRANTED}) AS granted
        UNION ALL
        SELECT s.tenant_id, s.meter, s.period, s.starts_on, s.points, 0, s.times, 0
        FROM shared_usage s JOIN calendars c USING (tenant_id)
        WHERE s.period = 'lifetime' OR c.zone IS NOT NULL) AS both_sides
    JOIN calendars c USING (tenant_id)
    WHERE {within(*_KEY)}
    GROUP BY tenant_id, meter, period, starts_on, c.never_pruned
    HAVING sum(used) > sum(granted) OR sum(times_used) > sum(times_granted)
        OR ((sum(used), sum(times_used)) <> (sum(granted), sum(times_granted))
            AND (period = 'lifetime' OR c.never_pruned OR NOT EXISTS (
                SELECT FROM closed_windows w
                WHERE w.tenant_id = both_sides.tenant_id AND w.local_date >= starts_on)))""",
)

SHARED_USAGE = Walk(
    "shared_usage",
    _KEY,
    (BEFORE_ANY_TENANT, "", "", date.min),
    (AFTER_ANY_TENANT, "", "", date.max),
    10_000,  # with so many the entries of a tenant are read once in nearly any ledger
    (_NOT_EXCEEDED, _COUNTED),
)
