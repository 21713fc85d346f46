"""Invariants of the day totals: they are the sums of the entries up to each tenant's mark."""

# ruff: noqa: S608  (constants only)

from datetime import date

from pointledger.storage.invariants.base import (
    AFTER_ANY_TENANT,
    BEFORE_ANY_TENANT,
    FIRST_ID,
    LAST_ID,
    Invariant,
    Walk,
    within,
)
from pointledger.storage.ledger.day_totals import BEFORE_ANY, IS_TAKEN

_DAY_HERE = within("d.tenant_id", "d.recorded_on")
_SUMS = ("entries", "points", "delta", "delta_frozen", "delta_pending", "delta_debt")

# A day begins with a whole millisecond, and so does the first id that its entries can have.
_FIRST_ID = "(lpad(to_hex((extract(epoch FROM {moment}) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid"

# A day's entries end where the next day that has any begins.
_DAYS = f"""
    SELECT d.tenant_id, d.recorded_on, {_FIRST_ID.format(moment="min(d.day_starts_at)")} AS first,
           (SELECT {_FIRST_ID.format(moment="n.day_starts_at")} FROM day_totals n
            WHERE n.tenant_id = d.tenant_id AND n.recorded_on > d.recorded_on
            ORDER BY n.recorded_on LIMIT 1) AS next,
           coalesce((SELECT m.reached FROM day_marks m WHERE m.tenant_id = d.tenant_id),
                    '{BEFORE_ANY}') AS reached
    FROM day_totals d WHERE {_DAY_HERE} GROUP BY d.tenant_id, d.recorded_on"""

_OF_DAYS = Invariant(
    "I25a",
    "a day's totals are the sums of its entries, up to the tenant's mark",
    f"""
    SELECT tenant_id, recorded_on, type, subtype, is_taken, rule_id,
           sum(entries) AS entries_too_many, sum(points) AS points_too_many
    FROM (
        SELECT d.tenant_id, d.recorded_on, d.type, d.subtype, d.is_taken, d.rule_id, {", ".join(_SUMS)}
        FROM day_totals d WHERE {_DAY_HERE}
        UNION ALL
        SELECT day.tenant_id, day.recorded_on, e.type, e.subtype, {IS_TAKEN},
               coalesce(e.rule_id, '{BEFORE_ANY}'),
               -1, -e.amount, -e.delta, -e.delta_frozen, -e.delta_pending, -e.delta_debt
        FROM ({_DAYS}) AS day
        JOIN entries e ON e.tenant_id = day.tenant_id AND e.id >= day.first AND e.id <= day.reached
                      AND (day.next IS NULL OR e.id < day.next)) AS compared
    GROUP BY 1, 2, 3, 4, 5, 6
    HAVING ({", ".join(f"sum({name})" for name in _SUMS)}) <> ({", ".join("0" * len(_SUMS))})""",
)

# Several rows have the key of a day, so a chunk ends with a day: after so many entries or rows.
_MOST_ROWS = 5_000
_END = f"""
SELECT tenant_id, recorded_on FROM (
    SELECT *, sum(entries) OVER in_order AS running, row_number() OVER in_order AS place
    FROM (SELECT d.tenant_id, d.recorded_on, d.entries FROM day_totals d WHERE {_DAY_HERE}
          ORDER BY d.tenant_id, d.recorded_on LIMIT {_MOST_ROWS}) AS next
    WINDOW in_order AS (ORDER BY tenant_id, recorded_on ROWS UNBOUNDED PRECEDING)) AS counted
WHERE running >= %(most)s OR place = {_MOST_ROWS}
ORDER BY place LIMIT 1"""

DAY_TOTALS = Walk(
    "day_totals",
    ("tenant_id", "recorded_on"),
    (BEFORE_ANY_TENANT, date.min),
    (AFTER_ANY_TENANT, date.max),
    50_000,  # entries
    (_OF_DAYS,),
    end=_END,
)

_OF_MARKS = Invariant(
    "I25b",
    "a tenant's mark has the sums of its days, and no entry up to it is missing there",
    f"""
    SELECT d.tenant_id, d.reached, d.entries, summed.entries AS of_days,
           has.entries - since.entries AS of_accounts
    FROM day_marks d
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(entries), 0) AS entries, coalesce(sum(delta), 0) AS balance,
               coalesce(sum(delta_frozen), 0) AS frozen, coalesce(sum(delta_pending), 0) AS pending,
               coalesce(sum(delta_debt), 0) AS debt
        FROM day_totals t WHERE t.tenant_id = d.tenant_id) AS summed
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(a.version), 0) AS entries FROM accounts a
        WHERE a.tenant_id = d.tenant_id) AS has
    CROSS JOIN LATERAL (
        SELECT count(*) AS entries FROM entries e
        WHERE e.tenant_id = d.tenant_id AND e.id > d.reached) AS since
    WHERE {within("d.tenant_id", "d.reached")}
      AND ((d.entries, d.balance, d.frozen_balance, d.pending_balance, d.debt)
           <> (summed.entries, summed.balance, summed.frozen, summed.pending, summed.debt)
           OR has.entries <> d.entries + since.entries)""",
)

DAY_MARKS = Walk(
    "day_marks",
    ("tenant_id", "reached"),
    (BEFORE_ANY_TENANT, FIRST_ID),
    (AFTER_ANY_TENANT, LAST_ID),
    1,  # a tenant's accounts can be many
    (_OF_MARKS,),
)
