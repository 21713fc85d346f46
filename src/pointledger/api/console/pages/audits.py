"""Audits: check a tenant's invariants in the background, and see what earlier audits have found."""

from starlette.responses import Response

from pointledger.api.console.actions import reason_error
from pointledger.api.console.controls import Control, ask, seen
from pointledger.api.console.pages.today import checks_of
from pointledger.api.console.visit import PageRoute, Visit
from pointledger.client.queries.checks import PAGE, Check

_CHECKED = "It checks accounts, entries, lots, holds, limits, wallets, the audit log and the sums by day."


def show(visit: Visit) -> Response:
    """Show the tenant's audits, the latest first."""
    before = visit.query("before")
    found = visit.queries.past_checks(visit.tenant.tenant_id, before=before or None, limit=PAGE)
    return visit.page(
        "audits.html",
        audits=found,
        is_first=not before,
        next_before=found[-1].id if len(found) == PAGE else "",
        current="today",
    )


def asking(visit: Visit) -> Response:
    """Say what an audit does, and ask for the reason."""
    return ask(visit, _control(visit))


def run(visit: Visit) -> Response:
    """Ask workers for the audit, unless one was asked for since the person opened the form."""
    reason = visit.form.get("reason", "").strip()
    if wrong := reason_error(reason):
        return ask(visit, _control(visit), wrong=wrong, status=422)
    latest = _latest(visit)
    if seen(visit, "latest") == (latest.id if latest else ""):
        visit.client.verify(visit.tenant.tenant_id, visit.actor(reason))
    visit.console.shared.forget(("checks", visit.tenant.tenant_id))
    return visit.redirect(visit.url("today"))


def _latest(visit: Visit) -> Check | None:
    found = visit.queries.past_checks(visit.tenant.tenant_id, limit=1)
    return found[0] if found else None


def _control(visit: Visit) -> Control:
    latest, last = _latest(visit), checks_of(visit).last
    facts: tuple[tuple[str, str], ...] = ()
    if last and last.finished_at:
        facts = (
            ("Rows of the last one", f"{last.rows_done:,}"),
            ("It took", f"{last.seconds:,.0f} s"),
        )
    return Control(
        title="Run the audit",
        about="Nothing has changed yet. An audit reads, and changes nothing.",
        button="Run the audit",
        target=visit.url("today", "audit"),
        back=visit.url("today"),
        current="today",
        above=(("Today", visit.url("today")),),
        facts=facts,
        notes=(
            _CHECKED,
            "Workers do it piece by piece beside live commands, which it does not delay.",
            "A large ledger takes minutes. Today shows the progress, and you can leave the page.",
        ),
        seen={"latest": latest.id if latest else ""},
    )


ROUTES = (
    PageRoute("today/audits", "today", show),
    PageRoute("today/audit", "today.audit", asking),
    PageRoute("today/audit", "today.audit", run, method="POST", waits=True),
)
