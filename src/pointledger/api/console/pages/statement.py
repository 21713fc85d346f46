"""Statement and export: what a member had, what moved, what is left; and everything that the ledger knows."""

import csv
import io
from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple

import orjson
from starlette.responses import Response

from pointledger.api.console import problems
from pointledger.api.console.controls import Control, ask, reason_of
from pointledger.api.console.download import attachment, cell
from pointledger.api.console.visit import PageRoute, Visit

_PAGE = 500  # entries of a page: ten pages on paper
_MOST = 50_000  # entries of a CSV; it takes some seconds
_MOST_DAYS = 366
_RECORDED = "The audit log keeps that you export it."
_COLUMNS = ("no", "written", "happened", "type", "points", "balance", "for", "entry")


class _Period(NamedTuple):
    first: date
    last: date


def statement(visit: Visit) -> Response:
    """Show opening, movements and closing of a span of the tenant's days."""
    user_id = visit.path("user_id")
    period = _period(visit)
    found = visit.queries.statement(
        visit.tenant.tenant_id, user_id, *_moments(visit, period), before=visit.cursor("before"), limit=_PAGE
    )
    here = visit.url("members", user_id, "statement", **_dates(period))
    is_first = not found.entries or found.entries[0]["seq"] == found.closing.seq
    return visit.page(
        "statement.html",
        user_id=user_id,
        period=period,
        opening=found.opening,
        movements=found.movements,
        closing=found.closing,
        entries=found.entries,
        first="" if is_first else here,
        next="" if found.next_before is None else f"{here}&before={found.next_before}",
        csv=visit.url("members", user_id, "statement", "csv", **_dates(period)),
        current="member",
    )


def csv_confirmation(visit: Visit) -> Response:
    """Say what the CSV has, and ask for the reason."""
    return ask(visit, _csv_control(visit, _period(visit)))


def csv_download(visit: Visit) -> Response:
    """Download the statement's entries as CSV, the oldest first."""
    tenant_id, user_id, period = visit.tenant.tenant_id, visit.path("user_id"), _period(visit)
    reason = reason_of(visit, lambda: _csv_control(visit, period))
    if isinstance(reason, Response):
        return reason
    begins, ends = _moments(visit, period)
    found = list(visit.queries.statement_entries(tenant_id, user_id, begins, ends, most=_MOST))
    visit.console.export_log.record(
        tenant_id,
        visit.actor(reason),
        "statement",
        {**_dates(period), "entries": len(found)},
        user_id=user_id,
    )
    return _csv(period, found)


def _csv_control(visit: Visit, period: _Period) -> Control:
    user_id = visit.path("user_id")
    found = visit.queries.statement_size(visit.tenant.tenant_id, user_id, *_moments(visit, period))
    here = visit.url("members", user_id, "statement", **_dates(period))
    return Control(
        title="Export the statement",
        about="Nothing has been exported yet.",
        button="Download CSV",
        target=visit.url("members", user_id, "statement", "csv", **_dates(period)),
        back=here,
        current="member",
        above=(*_above(visit, user_id), ("Statement", here)),
        facts=(("Days", f"{period.first} to {period.last}"), ("Entries", f"{found:,}")),
        notes=(f"A CSV has at most {_MOST:,} entries.", _RECORDED),
    )


def export_confirmation(visit: Visit) -> Response:
    """Say what the export has, and ask for the reason."""
    return ask(visit, _export_control(visit))


def export(visit: Visit) -> Response:
    """Download everything that the ledger knows about the member, as JSON."""
    tenant_id, user_id = visit.tenant.tenant_id, visit.path("user_id")
    reason = reason_of(visit, lambda: _export_control(visit))
    if isinstance(reason, Response):
        return reason
    found = visit.queries.export_user(tenant_id, user_id)
    # A transfer to the member is the sender's command.
    own = [each["task_id"] for each in found["commands"] if each["payload"].get("to_user_id") != user_id]
    visit.console.export_log.record(
        tenant_id, visit.actor(reason), "member", {}, user_id=user_id, task_id=own[-1] if own else None
    )
    content = orjson.dumps(found, option=orjson.OPT_INDENT_2)
    return Response(content, headers=attachment("member.json"), media_type="application/json")


def _export_control(visit: Visit) -> Control:
    user_id = visit.path("user_id")
    return Control(
        title="Export all of a member's data",
        about="Nothing has been exported yet.",
        button="Download JSON",
        target=visit.url("members", user_id, "export"),
        back=visit.url("members", user_id),
        current="member",
        above=_above(visit, user_id),
        notes=(
            "The file has the account, lots, entries, wallet, and every command with its outcome.",
            "The ledger searches its whole journal for them, which can take a minute.",
            _RECORDED,
        ),
    )


def _above(visit: Visit, user_id: str) -> tuple[tuple[str, str], ...]:
    return ("Members", visit.url("members")), (user_id, visit.url("members", user_id))


def _dates(period: _Period) -> dict[str, str]:
    return {"from": f"{period.first}", "to": f"{period.last}"}


def _moments(visit: Visit, period: _Period) -> tuple[datetime, datetime]:
    """Return when the period begins and ends."""
    starts = visit.tenant.day_starts_at
    return starts(period.first), starts(period.last + timedelta(days=1))


def _period(visit: Visit) -> _Period:
    """Return the days that the address names; the current month, if none. Raises AccountMissing."""
    account = visit.queries.account(visit.tenant.tenant_id, visit.path("user_id"))
    today = visit.tenant.local_date(datetime.fromisoformat(account["as_of"]))
    first = visit.day("from") or today.replace(day=1)
    last = visit.day("to") or today
    if not first <= last < first + timedelta(days=_MOST_DAYS):
        raise problems.problem(
            400, f"to: the last day lies on or after the first, at most {_MOST_DAYS} days in all."
        )
    return _Period(first, last)


def _csv(period: _Period, entries: Iterable[Mapping[str, Any]]) -> Response:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(_COLUMNS)
    for entry in entries:
        writer.writerow(map(cell, _line(entry)))
    name = f"statement-{period.first}-{period.last}.csv"
    return Response(text.getvalue(), headers=attachment(name), media_type="text/csv; charset=utf-8")


def _line(entry: Mapping[str, Any]) -> tuple[Any, ...]:
    words = entry["description"] or entry["reason"] or entry["source"] or ""
    kind = f"{entry['type']}/{entry['subtype']}"
    return (
        entry["seq"], entry["created_at"], entry["occurred_at"], kind, entry["delta"], entry["balance_after"],
        words, entry["id"],
    )  # fmt: skip


ROUTES = (
    PageRoute("members/{user_id}/statement", "member.statement", statement),
    PageRoute("members/{user_id}/statement/csv", "member.statement", csv_confirmation),
    PageRoute("members/{user_id}/statement/csv", "member.statement", csv_download, method="POST", waits=True),
    PageRoute("members/{user_id}/export", "member.export", export_confirmation),
    # It reads the whole journal, in short pieces, so it must not take the place of pages.
    PageRoute("members/{user_id}/export", "member.export", export, method="POST", waits=True),
)
