"""Writes outbox events that no command causes: points that expire soon, and daily windows that closed."""

from datetime import date, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import orjson
import sqlalchemy as sa

from pointledger.domain.events.outgoing import EXPIRY_THRESHOLDS, reminder_id
from pointledger.domain.program.tenant import Tenant
from pointledger.domain.values.json_values import write_json
from pointledger.ids import show_id
from pointledger.storage.database import rows, run
from pointledger.storage.events.outbox import slot_of

EXPIRING_SOON = "points.expiring_soon"
WINDOW_CLOSED = "limit.window_closed"
_LOTS = 1_000  # that one reminder lists; its sums count all
_ACCOUNTS = 1_000  # of a page; most are not affected, and to read one takes some microseconds


class Reminder(NamedTuple):
    """A row of the outbox; `account_id` is None if it does not concern an account."""

    slot: int
    tenant_id: str
    type: str
    event_id: UUID
    account_id: UUID | None
    data: str


_WRITE = """
INSERT INTO outbox (slot, tenant_id, recorded_at, type, event_id, account_id, data)
SELECT slot, tenant_id, clock_timestamp(), type, event_id, account_id, data::json
FROM unnest(%(slots)s::int2[], %(tenants)s::text[], %(types)s::text[], %(ids)s::uuid[], %(accounts)s::uuid[],
            %(data)s::text[])
     WITH ORDINALITY AS new (slot, tenant_id, type, event_id, account_id, data, place)
ORDER BY place ON CONFLICT DO NOTHING"""


def _write(connection: sa.Connection, reminders: list[Reminder]) -> int:
    """Put those into the outbox that are not in it yet, and return their number."""
    return run(
        connection,
        _WRITE,
        slots=[reminder.slot for reminder in reminders],
        tenants=[reminder.tenant_id for reminder in reminders],
        types=[reminder.type for reminder in reminders],
        ids=[reminder.event_id for reminder in reminders],
        accounts=[reminder.account_id for reminder in reminders],
        data=[reminder.data for reminder in reminders],
    )


_CLOSED = "SELECT users, points FROM closed_windows WHERE tenant_id = %(tenant)s AND local_date = %(day)s"


def write_window_closed(connection: sa.Connection, tenant: Tenant, day: date) -> None:
    """Write the event that the tenant's daily windows of a day are closed."""
    if WINDOW_CLOSED not in tenant.wanted_events:
        return
    users, points = rows(connection, _CLOSED, tenant=tenant.tenant_id, day=day)[0]
    event_id = reminder_id(tenant.tenant_id, WINDOW_CLOSED, day, tenant.day_starts_at(day))
    totals = {"period": "day", "local_date": day.isoformat(), "users": users, "points": int(points)}
    data = write_json(totals).decode()
    slot = slot_of(tenant.tenant_id, "")
    _write(connection, [Reminder(slot, tenant.tenant_id, WINDOW_CLOSED, event_id, None, data)])


# --------------------------------------------------------------------------------------- expiring soon

# A lot's points expire no earlier than the end of a notice period.
_ENDS_AT = "greatest(l.expires_at, a.expires_not_before, %(not_before)s::timestamptz)"

_IN_A_WINDOW = f"""
SELECT FROM lots l, unnest(%(from)s::timestamptz[], %(until)s::timestamptz[]) AS span (starts, ends)
WHERE l.tenant_id = a.tenant_id AND l.account_id = a.id AND l.state = 'active' AND l.remaining > 0
  AND {_ENDS_AT} > greatest(span.starts, clock_timestamp()) AND {_ENDS_AT} <= span.ends"""

# The end of a page of accounts. Whether one is affected does not bound what this reads.
_PAGE_END = """
SELECT max(user_id), count(*) < %(accounts)s FROM (
    SELECT user_id FROM accounts WHERE tenant_id = %(tenant)s AND user_id > %(after)s
    ORDER BY tenant_id, user_id LIMIT %(accounts)s) AS page"""

# It locks accounts in the common order. So the reminder stays true until its commit, and follows the events
# that were committed before. `coalesce` keeps Postgres from reading all accounts that are due in any page.
_AFFECTED = f"""
SELECT a.user_id, a.id FROM accounts a
WHERE a.tenant_id = %(tenant)s AND a.user_id > %(after)s AND a.user_id <= %(last)s AND a.status <> 'closed'
  AND NOT a.expiry_exempt AND coalesce(a.next_expiry_at, 'infinity') <= %(horizon)s
  AND EXISTS ({_IN_A_WINDOW})
ORDER BY a.tenant_id, a.user_id LIMIT %(limit)s FOR SHARE OF a"""  # noqa: S608  (constants only)

_EXPIRING = f"""
SELECT a.id AS account_id, a.user_id, a.version, span.days, lot.*
FROM unnest(%(accounts)s::uuid[]) AS wanted (id)
JOIN accounts a ON a.tenant_id = %(tenant)s AND a.id = wanted.id
CROSS JOIN unnest(%(days)s::int4[], %(from)s::timestamptz[], %(until)s::timestamptz[])
    AS span (days, starts, ends)
CROSS JOIN LATERAL (
    SELECT l.id, l.remaining, {_ENDS_AT} AS expires_at, l.earned_at, l.seq, l.place, span.ends,
           sum(l.remaining) OVER ()::bigint AS points_in_all, count(*) OVER () AS lots_in_all
    FROM lots l
    WHERE l.tenant_id = a.tenant_id AND l.account_id = a.id AND l.state = 'active' AND l.remaining > 0
      AND {_ENDS_AT} > greatest(span.starts, clock_timestamp()) AND {_ENDS_AT} <= span.ends
    ORDER BY l.expires_at, l.earned_at, l.seq, l.place, l.id LIMIT %(most)s) AS lot
ORDER BY a.user_id, span.days DESC, lot.expires_at, lot.earned_at, lot.seq, lot.place"""  # noqa: S608  (constants only)


class RemindedPage(NamedTuple):
    """The last user whose account was looked at, the number of new reminders, and if no account is left."""

    reached: str
    written: int
    is_last: bool


def write_expiring(
    connection: sa.Connection, tenant: Tenant, day: date, after: str, limit: int
) -> RemindedPage:
    """Write a reminder per user and threshold for lots that come within a threshold on this local day.

    It looks at a page of accounts after the user `after`, and locks at most `limit` of them. A lot is in one
    day's window of each threshold. So users get one reminder per threshold, if points of the lot are left by
    then.
    """
    page = rows(connection, _PAGE_END, tenant=tenant.tenant_id, after=after, accounts=_ACCOUNTS)
    end, is_last = page[0]
    if end is None:
        return RemindedPage(after, 0, is_last)
    within = _within(tenant, day)
    found = rows(
        connection,
        _AFFECTED,
        tenant=tenant.tenant_id,
        after=after,
        last=end,
        horizon=max(within["until"]),
        limit=limit,
        **within,
    )
    # A separate statement, so it sees what the transactions that held the locks have committed.
    lots = rows(
        connection,
        _EXPIRING,
        tenant=tenant.tenant_id,
        accounts=[row.id for row in found],
        days=list(EXPIRY_THRESHOLDS),
        most=_LOTS,
        **within,
    )
    written = _write(connection, _reminders(tenant, day, lots))
    if len(found) == limit:
        return RemindedPage(found[-1].user_id, written, is_last=False)
    return RemindedPage(end, written, is_last)


def _within(tenant: Tenant, day: date) -> dict[str, Any]:
    """Return the spans of expiries that come within each threshold on this day."""
    spans = [_span(tenant, day, days) for days in EXPIRY_THRESHOLDS]
    return {
        "from": [span[0] for span in spans],
        "until": [span[1] for span in spans],
        "not_before": tenant.expires_not_before,
    }


def _span(tenant: Tenant, day: date, days: int) -> tuple[datetime, datetime]:
    """Return the span of expiries that come within so many days on this day, and not earlier."""
    return (
        tenant.day_starts_at(day + timedelta(days=days - 1)),
        tenant.day_starts_at(day + timedelta(days=days)),
    )


def _reminders(tenant: Tenant, day: date, lots: list[sa.Row[tuple[object, ...]]]) -> list[Reminder]:
    found: dict[tuple[UUID, int], list[sa.Row[tuple[object, ...]]]] = {}
    for lot in lots:
        found.setdefault((lot.account_id, lot.days), []).append(lot)
    reminders = []
    for (account_id, days), theirs in found.items():
        first = theirs[0]
        content = {
            "threshold_days": days,
            "until": first.ends,
            "points": first.points_in_all,
            "lots_in_all": first.lots_in_all,
            "seq": first.version,
            "lots": [
                {"id": show_id(lot.id), "points": lot.remaining, "expires_at": lot.expires_at}
                for lot in theirs
            ],
        }
        about = f"{EXPIRING_SOON}/{account_id}/{days}"
        event_id = reminder_id(tenant.tenant_id, about, day, tenant.day_starts_at(day))
        data = orjson.dumps(content, option=orjson.OPT_UTC_Z).decode()
        slot = slot_of(tenant.tenant_id, first.user_id)
        reminders.append(Reminder(slot, tenant.tenant_id, EXPIRING_SOON, event_id, account_id, data))
    return reminders
