"""Today: is all well? Points and their value, what is applied, what is stuck, the last audit, the doctor."""

from datetime import UTC, date, datetime
from typing import NamedTuple

from starlette.responses import Response

from pointledger.api.console import problems
from pointledger.api.console.pages import queue_now
from pointledger.api.console.pages.queue_now import Slice, Verdict
from pointledger.api.console.streams import Part, StreamRoute
from pointledger.api.console.visit import PageRoute, Visit
from pointledger.client.queries.checks import Checks
from pointledger.client.queries.days import DayFigures, Days, Outstanding
from pointledger.client.queries.queue import Queue
from pointledger.observability.pulse import EVERY_SECONDS

DAYS = 90  # of the charts: a quarter
POINTS_SECONDS = 10.0  # that sums of points are kept; all who look at a tenant share them


class Points(NamedTuple):
    """A tenant's points: what is outstanding, and what happened by day, the last one today."""

    outstanding: Outstanding
    days: Days

    @property
    def today(self) -> DayFigures:
        """What happened today so far."""
        return self.days.days[-1]

    @property
    def has_history(self) -> bool:
        """Whether anything happened on these days, or before them."""
        return bool(self.outstanding.points) or any(day.entries for day in self.days.days)


class Now(NamedTuple):
    """What changes while the page is open."""

    points: Points
    queue: Queue
    verdict: Verdict
    slices: list[Slice]
    checks: Checks


def show(visit: Visit) -> Response:
    """Show how the tenant's ledger is."""
    found, days = _now(visit), _days(visit)
    return visit.page(
        "today.html",
        **found._asdict(),
        days=days,
        has_entries=any(day.entries for day in days.days),
        second_of=_second_of,
        current="today",
    )


def watch(visit: Visit) -> Part:
    """Show what changes while the page is open, also how far an audit is. It is rendered once for all who
    watch the tenant and may do the same."""
    key = ("today part", visit.tenant.tenant_id, visit.may("queue"), visit.may("today.audit"))
    shown = visit.console.shared.get(
        key, EVERY_SECONDS, lambda: visit.part("today_now.html", **_now(visit)._asdict(), days=None)
    )
    return Part(shown)


def _now(visit: Visit) -> Now:
    work, checks = queue_now.now(visit), checks_of(visit)
    return Now(points(visit), work.queue, _verdict(work.verdict, checks), work.slices, checks)


def _days(visit: Visit) -> Days:
    """Read the days of the address: `by` says which day counts, `until` is the last one."""
    by, until = visit.query("by", "recorded"), visit.query("until")
    if by not in ("recorded", "occurred"):
        raise problems.problem(400, "by: recorded or occurred.")
    tenant_id, last = visit.tenant.tenant_id, _date(until) if until else None
    return visit.console.shared.get(
        ("days", tenant_id, by, last),
        POINTS_SECONDS,
        lambda: visit.queries.days(tenant_id, DAYS, last, "occurred" if by == "occurred" else "recorded"),
    )


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise problems.problem(400, "until: a date, like 2027-01-31.") from None


def points(visit: Visit) -> Points:
    """Read the sums, or return what another has read within seconds."""
    tenant_id = visit.tenant.tenant_id

    def read() -> Points:
        return Points(visit.queries.outstanding(tenant_id), visit.queries.days(tenant_id, DAYS))

    return visit.console.shared.get(("points", tenant_id), POINTS_SECONDS, read)


def checks_of(visit: Visit) -> Checks:
    """Read how far the audit is, or return what another has read within two seconds."""
    tenant_id = visit.tenant.tenant_id
    read = visit.queries.checks
    return visit.console.shared.get(("checks", tenant_id), EVERY_SECONDS, lambda: read(tenant_id))


def _verdict(of_queue: Verdict, checks: Checks) -> Verdict:
    """Say what matters most: a broken ledger before everything that waits."""
    if checks.last is None or checks.last.state != "broken":
        return of_queue
    return Verdict(
        "bad",
        "The last audit found violations.",
        "Something in the ledger contradicts itself. See the audit below, and show it to those who run the "
        "ledger before points are corrected by hand.",
    )


def _second_of(day: date) -> int:
    """Return the second at which a calendar's day begins in UTC: the place of a day in a chart."""
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())


ROUTES = (PageRoute("today", "today", show),)
STREAMS = (StreamRoute("today/stream", "today", watch, EVERY_SECONDS),)
