"""Invariants of limits: none is exceeded, and the recorded usage is the granted points.

An entry has the version of its rule, but not the version of its tenant. So the usage of a tenant's own limit
is compared exactly only if every version of the tenant has that limit.
"""

# ruff: noqa: S608  (constants only)

from datetime import UTC, date, datetime, timedelta

import sqlalchemy as sa

from pointledger.domain.program.calendar import zone
from pointledger.storage.database import rows
from pointledger.storage.invariants.base import (
    ACCOUNTS_HERE,
    AFTER_ANY_TENANT,
    BEFORE_ANY_TENANT,
    Invariant,
    Walk,
    within,
)

_TENANTS_HERE = "t.tenant_id >= %(after_0)s AND t.tenant_id <= %(to_0)s"


# Each limit of each version of a rule, for the tenants of the chunk.
RULE_LIMITS = f"""
    SELECT t.tenant_id, t.rule_id, t.version, lim ->> 'scope' AS scope, lim ->> 'period' AS period,
           lim ->> 'unit' AS unit, (lim ->> 'max')::bigint AS most, t.saved_at
    FROM rule_versions t CROSS JOIN LATERAL json_array_elements(t.body -> 'limits') AS lim
    WHERE {_TENANTS_HERE}"""


_USERS_LIMITS = f"SELECT * FROM ({RULE_LIMITS}) AS all_limits WHERE scope = 'user'"


# The highest number that any version allows; null if a version counts the number without a limit.
# A grant under a version keeps the count within that version's limit, so it never exceeds the highest.
_HIGHEST = f"""
    SELECT tenant_id, rule_id::text AS meter, period,
           CASE WHEN bool_and(points IS NOT NULL) THEN max(points) END AS most_points,
           CASE WHEN bool_and(times IS NOT NULL) THEN max(times) END AS most_times
    FROM (SELECT tenant_id, rule_id, version, period, min(most) FILTER (WHERE unit = 'points') AS points,
                 min(most) FILTER (WHERE unit = 'times') AS times
          FROM ({_USERS_LIMITS}) AS limits GROUP BY tenant_id, rule_id, version, period) AS versions
    GROUP BY tenant_id, rule_id, period
    UNION ALL
    SELECT t.tenant_id, meter, 'day', max((t.config ->> setting)::bigint), NULL
    FROM tenant_versions t CROSS JOIN (VALUES ('earn', 'max_earn_per_day'), ('spend', 'max_spend_per_day'))
        AS daily (meter, setting)
    WHERE {_TENANTS_HERE} GROUP BY t.tenant_id, meter"""


_NOT_EXCEEDED = Invariant(
    "I11a",
    "no limit is exceeded",
    f"""
    SELECT tenant_id, user_id, meter, period, starts_on, points, most_points, times, most_times FROM (
        SELECT tenant_id, user_id, meter, period, starts_on, points, times,
               max(most_points) OVER meters AS most_points, max(most_times) OVER meters AS most_times
        FROM (SELECT u.tenant_id, u.user_id, u.meter, u.period, u.starts_on, u.points, u.times,
                     NULL::bigint AS most_points, NULL::bigint AS most_times
              FROM accounts a JOIN usage u ON u.tenant_id = a.tenant_id AND u.user_id = a.user_id
              WHERE {ACCOUNTS_HERE}
              UNION ALL
              SELECT tenant_id, NULL, meter, period, NULL, NULL, NULL, most_points, most_times
              FROM ({_HIGHEST}) AS highest) AS used_and_allowed
        WINDOW meters AS (PARTITION BY tenant_id, meter, period)) AS compared
    WHERE points > most_points OR times > most_times""",
)


# A tenant's calendar: its time zone, if it never changed and Postgres agrees with this program about it.
CALENDARS = f"""
    SELECT t.tenant_id,
           CASE WHEN count(DISTINCT t.config ->> 'timezone') = 1
                     AND min(t.config ->> 'timezone') = ANY(%(zones)s::text[])
                THEN min(t.config ->> 'timezone') END AS zone,
           bool_and(t.config ->> 'backdating_days' IS NULL) AS never_pruned,
           bool_and(t.config ->> 'max_earn_per_day' IS NOT NULL) AS always_earn,
           bool_and(t.config ->> 'max_spend_per_day' IS NOT NULL) AS always_spend
    FROM tenant_versions t WHERE {_TENANTS_HERE} GROUP BY t.tenant_id"""


# The windows in which each entry counts: those of its rule version's limits, and the tenant's own.
_GRANTED = f"""
    SELECT e.tenant_id, e.account_id, w.meter, w.period, w.starts_on, w.always,
           CASE e.subtype WHEN 'clawback' THEN -e.amount ELSE e.amount END AS amount,
           CASE e.subtype WHEN 'clawback' THEN 0 ELSE 1 END AS times,
           w.period = 'lifetime' OR c.never_pruned AS kept
    FROM calendars c
    JOIN entries e ON e.tenant_id = c.tenant_id
    LEFT JOIN entries o ON e.subtype = 'clawback' AND o.tenant_id = e.tenant_id AND o.id = e.related_id
    CROSS JOIN LATERAL (SELECT (e.occurred_at AT TIME ZONE c.zone)::date AS day) AS local
    CROSS JOIN LATERAL (VALUES
        (e.rule_id::text, 'day', local.day, true), (e.rule_id::text, 'lifetime', '0001-01-01', true),
        (e.rule_id::text, 'week', date_trunc('week', local.day)::date, true),
        (e.rule_id::text, 'month', date_trunc('month', local.day)::date, true),
        ('earn', 'day', local.day, c.always_earn), ('spend', 'day', local.day, c.always_spend)
    ) AS w (meter, period, starts_on, always)
    WHERE {within("e.tenant_id", "e.account_id")} AND w.starts_on IS NOT NULL AND CASE
        WHEN e.subtype = 'clawback' AND (w.period <> 'day' OR w.meter = 'spend'
             OR (w.meter = 'earn' AND o.subtype = 'import')
             OR (o.occurred_at AT TIME ZONE c.zone)::date <> local.day) THEN false
        WHEN w.meter = 'earn' THEN (e.type, e.subtype) IN (('earn', 'rule'), ('earn', 'manual'),
                                                           ('adjust', 'clawback'))
        WHEN w.meter = 'spend' THEN (e.type, e.subtype) = ('spend', 'purchase')
        WHEN w.meter IS NOT NULL THEN (e.tenant_id, e.rule_id, e.rule_version, w.period)
             IN (SELECT tenant_id, rule_id, version, period FROM ({_USERS_LIMITS}) AS limits) END"""


# If the tenant ever limited backdating, windows before a closed day may have been pruned. New usage in a
# pruned window counts from zero.
_COUNTED = Invariant(
    "I11b",
    "the usage of a limit is what was granted in its window",
    f"""
    WITH calendars AS MATERIALIZED ({CALENDARS})
    SELECT tenant_id, account_id, meter, period, starts_on, sum(used) AS used, sum(granted) AS granted,
           sum(times_used) AS times_used, sum(times_granted) AS times_granted
    FROM (
        SELECT tenant_id, account_id, meter, period, starts_on, 0 AS used, amount AS granted, 0 AS times_used,
               times AS times_granted, always, kept
        FROM ({_GRANTED}) AS granted
        UNION ALL
        SELECT a.tenant_id, a.id, u.meter, u.period, u.starts_on, u.points, 0, u.times, 0, true,
               u.period = 'lifetime' OR c.never_pruned
        FROM calendars c
        JOIN accounts a ON a.tenant_id = c.tenant_id
        JOIN usage u ON u.tenant_id = a.tenant_id AND u.user_id = a.user_id
        WHERE {ACCOUNTS_HERE} AND (u.period = 'lifetime' OR c.zone IS NOT NULL)) AS both_sides
    GROUP BY tenant_id, account_id, meter, period, starts_on
    HAVING sum(used) > sum(granted) OR sum(times_used) > sum(times_granted)
        OR ((sum(used), sum(times_used)) <> (sum(granted), sum(times_granted)) AND bool_and(always)
            AND (bool_and(kept) OR NOT EXISTS (
                SELECT FROM closed_windows w
                WHERE w.tenant_id = both_sides.tenant_id AND w.local_date >= starts_on)))""",
)


LIMITS = (_NOT_EXCEEDED, _COUNTED)


# ------------------------------------------------------------------------------------------- calendars

_ZONES = """
SELECT name FROM pg_timezone_names
WHERE name IN (SELECT config ->> 'timezone' FROM tenant_versions)"""


_SAMPLES = """
SELECT moment, (moment AT TIME ZONE %(zone)s) AS local
FROM generate_series(%(first)s::timestamptz, %(last)s::timestamptz, interval '5 days') AS moment"""


_SAMPLED = datetime(2000, 1, 1, tzinfo=UTC), timedelta(days=40 * 365)  # covers the dates of most events


def common_zones(connection: sa.Connection) -> list[str]:
    """Return the tenants' time zones in which Postgres and this program agree.

    Each has its own time zone database. If a country changed its rules lately, one of them may be outdated,
    and then a correct count of a day seems wrong.
    """
    found = [row.name for row in rows(connection, _ZONES)]
    return [name for name in found if _agree(connection, name)]


def _agree(connection: sa.Connection, name: str) -> bool:
    first, span = _SAMPLED
    samples = rows(connection, _SAMPLES, zone=name, first=first, last=first + span)
    return all(row.moment.astimezone(zone(name)).replace(tzinfo=None) == row.local for row in samples)


_KEY = ("tenant_id", "meter", "period", "starts_on")


# Each version's shared limits, by the counter that they use.
_LIMITS = f"""
    SELECT tenant_id, rule_id, version, period,
           CASE scope WHEN 'tenant' THEN 'budget' ELSE rule_id::text END AS meter,
           min(most) FILTER (WHERE unit = 'points') AS points,
           min(most) FILTER (WHERE unit = 'times') AS times,
           min(saved_at) AS saved_at
    FROM ({RULE_LIMITS}) AS all_limits WHERE scope <> 'user'
    GROUP BY tenant_id, rule_id, version, scope, period"""


_SHARED_NOT_EXCEEDED = Invariant(
    "I11c",
    "no shared limit is exceeded",
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


# An id begins with 48 bits of milliseconds. It starts a day before the limit, in case a clock was set.
_FIRST_ID = """
    (lpad(to_hex((extract(epoch FROM since - interval '1 day') * 1000)::bigint), 12, '0')
     || repeat('0', 20))::uuid"""


_SHARED_GRANTED = f"""
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


# If the tenant ever limited backdating, windows before a closed day may have been pruned.
_SHARED_COUNTED = Invariant(
    "I11d",
    "the usage of a shared limit is what was granted in its window",
    f"""
    WITH calendars AS MATERIALIZED ({CALENDARS}), limits AS MATERIALIZED ({_LIMITS})
    SELECT tenant_id, meter, period, starts_on, sum(used) AS used, sum(granted) AS granted,
           sum(times_used) AS times_used, sum(times_granted) AS times_granted
    FROM (
        SELECT tenant_id, meter, period, starts_on, 0 AS used, points AS granted, 0 AS times_used,
               times AS times_granted
        FROM ({_SHARED_GRANTED}) AS granted
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
    10_000,  # enough for one chunk in nearly any ledger, because each chunk reads the tenants' entries
    (_SHARED_NOT_EXCEEDED, _SHARED_COUNTED),
)
