"""What is told to others that no command has brought about: points that expire soon, a day that has ended."""

from datetime import date, datetime, timedelta
from typing import NamedTuple
from uuid import UUID

import orjson
import sqlalchemy as sa

from pointledger.domain.events.outgoing import EXPIRY_THRESHOLDS, notice_id
from pointledger.domain.program.tenant import Tenant
from pointledger.domain.values.json_values import write_json
from pointledger.ids import show_id
from pointledger.storage.database import rows, run
from pointledger.storage.events.outbox import slot_of

EXPIRING_SOON = "points.expiring_soon"
WINDOW_CLOSED = "limit.window_closed"
_LOTS = 1_000  # that one notice lists; its sums count all


class Notice(NamedTuple):
    """One row of the outbox; `account_id` where it is about an account."""

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
     WITH ORDINALITY AS notice (slot, tenant_id, type, event_id, account_id, data, place)
ORDER BY place ON CONFLICT DO NOTHING"""


def _write(connection: sa.Connection, notices: list[Notice]) -> int:
    """Puts those into the outbox that are not there yet; how many."""
    return run(
        connection,
        _WRITE,
        slots=[notice.slot for notice in notices],
        tenants=[notice.tenant_id for notice in notices],
        types=[notice.type for notice in notices],
        ids=[notice.event_id for notice in notices],
        accounts=[notice.account_id for notice in notices],
        data=[notice.data for notice in notices],
    )


_CLOSED = "SELECT users, points FROM closed_windows WHERE tenant_id = %(tenant)s AND local_date = %(day)s"


def tell_window_closed(connection: sa.Connection, tenant: Tenant, day: date) -> None:
    """That the tenant's daily windows of a day have been closed."""
    if WINDOW_CLOSED not in tenant.wanted_events:
        return
    users, points = rows(connection, _CLOSED, tenant=tenant.tenant_id, day=day)[0]
    event_id = notice_id(tenant.tenant_id, WINDOW_CLOSED, day, tenant.day_starts_at(day))
    told = {"period": "day", "local_date": day.isoformat(), "users": users, "points": int(points)}
    data = write_json(told).decode()
    slot = slot_of(tenant.tenant_id, "")
    _write(connection, [Notice(slot, tenant.tenant_id, WINDOW_CLOSED, event_id, None, data)])


# --------------------------------------------------------------------------------------- expiring soon

# When a lot's points go: not before a notice that was given is over.
_ENDS_AT = "greatest(l.expires_at, a.expires_not_before, %(not_before)s::timestamptz)"

_IN_A_WINDOW = f"""
SELECT FROM lots l, unnest(%(from)s::timestamptz[], %(until)s::timestamptz[]) AS span (starts, ends)
WHERE l.tenant_id = a.tenant_id AND l.account_id = a.id AND l.state = 'active' AND l.remaining > 0
  AND {_ENDS_AT} > greatest(span.starts, clock_timestamp()) AND {_ENDS_AT} <= span.ends"""

# Locked in the order of all, and against change: what is told next is so until the notice is committed, and
# comes behind what was committed before.
_CONCERNED = f"""
SELECT a.user_id, a.id FROM accounts a
WHERE a.tenant_id = %(tenant)s AND a.user_id > %(after)s AND a.status <> 'closed'
  AND NOT a.expiry_exempt AND a.next_expiry_at <= %(horizon)s AND EXISTS ({_IN_A_WINDOW})
ORDER BY a.user_id LIMIT %(limit)s FOR SHARE OF a"""  # noqa: S608  (ours)

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
ORDER BY a.user_id, span.days DESC, lot.expires_at, lot.earned_at, lot.seq, lot.place"""  # noqa: S608  (ours)


def tell_expiring(
    connection: sa.Connection, tenant: Tenant, day: date, after: str, limit: int
) -> tuple[list[str], int]:
    """Tells of lots that have come within a threshold with this local day, a notice per user and threshold.

    A page of the users whom it concerns, those after `after`, and how many notices are new. A lot is in one
    day's window of each threshold, so it is told of once per threshold, if anything of it is left by then.
    """
    spans = [_span(tenant, day, days) for days in EXPIRY_THRESHOLDS]
    within = {
        "from": [span[0] for span in spans],
        "until": [span[1] for span in spans],
        "not_before": tenant.expires_not_before,
    }
    found = rows(
        connection,
        _CONCERNED,
        tenant=tenant.tenant_id,
        after=after,
        horizon=max(span[1] for span in spans),
        limit=limit,
        **within,
    )
    # A statement of its own: it sees what those have committed whose locks were waited for.
    lots = rows(
        connection,
        _EXPIRING,
        tenant=tenant.tenant_id,
        accounts=[row.id for row in found],
        days=list(EXPIRY_THRESHOLDS),
        most=_LOTS,
        **within,
    )
    return [row.user_id for row in found], _write(connection, _notices(tenant, day, lots))


def _span(tenant: Tenant, day: date, days: int) -> tuple[datetime, datetime]:
    """The expiries that come within so many days with the beginning of this one, and not before."""
    return (
        tenant.day_starts_at(day + timedelta(days=days - 1)),
        tenant.day_starts_at(day + timedelta(days=days)),
    )


def _notices(tenant: Tenant, day: date, lots: list[sa.Row[tuple[object, ...]]]) -> list[Notice]:
    found: dict[tuple[UUID, int], list[sa.Row[tuple[object, ...]]]] = {}
    for lot in lots:
        found.setdefault((lot.account_id, lot.days), []).append(lot)
    notices = []
    for (account_id, days), theirs in found.items():
        first = theirs[0]
        told = {
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
        event_id = notice_id(tenant.tenant_id, about, day, tenant.day_starts_at(day))
        data = orjson.dumps(told, option=orjson.OPT_UTC_Z).decode()
        slot = slot_of(tenant.tenant_id, first.user_id)
        notices.append(Notice(slot, tenant.tenant_id, EXPIRING_SOON, event_id, account_id, data))
    return notices
