"""Member: what has she, why, and what will happen? Search, account, lots by expiry, holds, entries, why."""

from typing import Any

from starlette.responses import Response

from pointledger.api.console import problems
from pointledger.api.console.pages.action_table import allowed, of_entry
from pointledger.api.console.pages.expiry_chart import chart_of
from pointledger.api.console.visit import PageRoute, Visit
from pointledger.client.queries.explanation import describe
from pointledger.domain.ledger.entry import TYPES
from pointledger.domain.values.fields import MAX_ID
from pointledger.errors import AccountMissing, InvalidCommand, WalletMissing

ENTRIES = 50  # of a page: two screens
_MOST_HOLDS = 50
_MOST_FOUND = 20  # members of a search; beyond them the page asks for a longer beginning


def search(visit: Visit) -> Response:
    """Find members by the beginning of their user id. An id that is typed whole leads to its page."""
    wanted = visit.query("q")
    if len(wanted) > MAX_ID:
        raise problems.problem(400, f"A user id has at most {MAX_ID} characters.")
    if wanted and _exists(visit, wanted):
        return visit.redirect(visit.url("members", wanted))
    found = visit.queries.find_members(visit.tenant.tenant_id, wanted, limit=_MOST_FOUND)
    return visit.page("members.html", wanted=wanted, found=found, current="member")


def _exists(visit: Visit, user_id: str) -> bool:
    try:
        visit.queries.account(visit.tenant.tenant_id, user_id)
    except AccountMissing:
        return False
    return True


def show(visit: Visit) -> Response:
    """Show one member."""
    tenant_id, user_id = visit.tenant.tenant_id, visit.path("user_id")
    kind, before = _filter(visit), visit.cursor("before")
    account = visit.queries.account(tenant_id, user_id)
    entries = visit.queries.entries(tenant_id, user_id, before=before, type=kind, limit=ENTRIES)
    expiring = visit.queries.points_by_expiry(tenant_id, user_id)
    holds = visit.queries.holds(tenant_id, user_id, state="open", limit=_MOST_HOLDS)
    return visit.page(
        "member.html",
        account=account,
        entries=entries,
        types=TYPES,
        kind=kind or "",
        is_first=before is None,
        expiring=expiring,
        chart=chart_of(expiring),
        holds=holds.holds,
        wallet=_wallet(visit, user_id),
        sent=_sent(visit),
        actions=allowed(visit),
        current="member",
    )


def _wallet(visit: Visit, user_id: str) -> dict[str, Any] | None:
    try:
        return visit.queries.wallet(visit.tenant.tenant_id, user_id)
    except WalletMissing:
        return None


def why(visit: Visit) -> Response:
    """Explain one entry of the member."""
    found = visit.queries.explain_entry(visit.tenant.tenant_id, visit.path("entry_id"))
    if found.entry["user_id"] != visit.path("user_id"):
        raise problems.not_found("This member has no entry with this id.")
    actions = of_entry(visit, found.entry, has_lots=bool(found.lots_arrived))
    sentences = describe(found.entry, found.command, found.rule, [], [])  # the table has the lots
    return visit.page("entry.html", why=found, sentences=sentences, actions=actions, current="member")


def _filter(visit: Visit) -> str | None:
    kind = visit.query("type")
    if kind and kind not in TYPES:
        raise problems.problem(400, f"type: one of {', '.join(TYPES)}.")
    return kind or None


def _sent(visit: Visit) -> Any:
    """Return the outcome of the command that led here, if it is one of this tenant."""
    task_id = visit.query("command")
    if not task_id:
        return None
    try:
        outcome = visit.client.outcome(task_id)
    except InvalidCommand:
        return None
    return outcome if outcome.tenant_id == visit.tenant.tenant_id else None


ROUTES = (
    PageRoute("members", "member", search),
    PageRoute("members/{user_id}", "member", show),
    PageRoute("members/{user_id}/entries/{entry_id}", "member", why),
)
