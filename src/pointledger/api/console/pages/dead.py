"""Dead commands: which ones, why, and a retry of all that match. The filter is in the address."""

import time
from datetime import datetime
from typing import Any

from starlette.responses import Response

from pointledger.api.console import problems
from pointledger.api.console.controls import Control, ask, reason_of, seen
from pointledger.api.console.pages.queue_now import forget
from pointledger.api.console.visit import PageRoute, Visit
from pointledger.client.queries.results import iso
from pointledger.domain.commands import KINDS
from pointledger.ids import show_id
from pointledger.storage.queue.failures import DeadCommandFilter

_PAGE = 50  # two screens
_SAMPLES = 5  # commands whose errors the confirmation shows, each error once
_MOST_TEXT = 300  # characters of an error that groups compare
_SECONDS = 15.0  # that one request retries: some 15,000 commands; proxies wait for a minute


def show(visit: Visit) -> Response:
    """List the dead commands of the filter, the latest first."""
    which = _filter(visit, until=_moment(visit.query("until"), "until"))
    found = visit.queries.dead_commands(visit.tenant.tenant_id, which, _PAGE + 1)
    matching = visit.queries.count_dead(visit.tenant.tenant_id, which._replace(until=None))
    filters = _filters(visit)
    return visit.page(
        "dead.html",
        commands=[(show_id(each.id), each) for each in found[:_PAGE]],
        matching=matching,
        filters=filters,
        kinds=sorted(KINDS),
        retried=_whole(visit.query("retried")),
        retry=visit.url("queue", "dead", "retry", **filters),
        first=visit.url("queue", "dead", **filters) if which.until else "",
        # Its moment begins the next page, because several commands can have died at once.
        next=visit.url("queue", "dead", **filters, until=iso(found[_PAGE].dead_at)) if found[_PAGE:] else "",
        current="queue",
    )


def confirmation(visit: Visit) -> Response:
    """Show how many commands would be retried, and ask for the reason."""
    newest = visit.queries.dead_commands(visit.tenant.tenant_id, _filter(visit), 1)
    if not newest:
        return visit.redirect(visit.url("queue", "dead", **_filters(visit)))
    # What dies from now on is not what the person sees.
    return ask(visit, _control(visit, newest[0].dead_at))


def retry(visit: Visit) -> Response:
    """Retry the commands that had died when the form was shown, piece by piece."""
    until = _moment(seen(visit, "until"), "until")
    if until is None:
        raise problems.problem(400, "until: the form must have it. Open the form anew.", visit.here)
    reason = reason_of(visit, lambda: _control(visit, until))
    if isinstance(reason, Response):
        return reason
    which = _filter(visit, until=until)._replace(tenant=visit.tenant.tenant_id)
    retried, give_up_at = 0, time.monotonic() + _SECONDS
    for piece in visit.client.retry_all(which, visit.actor(reason)):
        retried += len(piece)
        if time.monotonic() > give_up_at:
            break
    forget(visit)
    left = visit.queries.count_dead(visit.tenant.tenant_id, which)
    if retried and left:
        done = f"{retried:,} commands are retried, {left:,} are left. Go on with them."
        return ask(visit, _control(visit, until), done=done)
    return visit.redirect(visit.url("queue", "dead", **_filters(visit), retried=retried))


def _control(visit: Visit, until: datetime) -> Control:
    which = _filter(visit, until=until)
    matching = visit.queries.count_dead(visit.tenant.tenant_id, which)
    some = visit.queries.dead_commands(visit.tenant.tenant_id, which, _SAMPLES)
    commands = f"{matching:,} dead command{'' if matching == 1 else 's'}"
    filters = _filters(visit)
    labels = {"group": "Cause", "kind": "Kind", "error": "Error contains"}
    return Control(
        title=f"Retry {commands}",
        about="Nothing has changed yet.",
        button=f"Retry {matching:,}",
        target=visit.url("queue", "dead", "retry", **filters),
        back=visit.url("queue", "dead", **filters),
        current="queue",
        above=(
            ("Queue", visit.url("queue")),
            ("Dead commands", visit.url("queue", "dead", **filters)),
        ),
        facts=tuple((labels[name], value) for name, value in filters.items() if value),
        sample="\n".join(dict.fromkeys(each.error.partition("\n")[0] for each in some)),
        notes=(
            "Put the cause right first: a command that fails again is dead again.",
            "They wait at the end of their members' queues, in the order of their acceptance.",
            "Each retry has its own record in the audit log.",
        ),
        seen={"until": iso(until)},
    )


def _filters(visit: Visit) -> dict[str, Any]:
    given = {name: visit.query(name) for name in ("group", "kind", "error")}
    # An error without a message ends with a space, which belongs to its group.
    return given | {"group": visit.request.query_params.get("group", "")}


def _filter(visit: Visit, until: datetime | None = None) -> DeadCommandFilter:
    given = _filters(visit)
    if given["kind"] and given["kind"] not in KINDS:
        raise problems.problem(400, f"kind: one of {', '.join(sorted(KINDS))}.")
    for name in ("group", "error"):
        if len(given[name]) > _MOST_TEXT or "\x00" in given[name]:
            raise problems.problem(400, f"{name}: at most {_MOST_TEXT} characters, without NUL.")
    return DeadCommandFilter(
        kind=given["kind"] or None, error=given["error"] or None, group=given["group"] or None, until=until
    )


def _moment(text: str, name: str) -> datetime | None:
    if not text:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None or not 1900 < at.year < 9000:  # noqa: PLR2004  the ledger's range
        raise problems.problem(400, f"{name}: a moment like 2027-01-31T18:00:00Z, as the links have it.")
    return at


def _whole(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None  # noqa: PLR2004  shown only


ROUTES = (
    PageRoute("queue/dead", "queue", show),
    PageRoute("queue/dead/retry", "queue.change", confirmation),
    PageRoute("queue/dead/retry", "queue.change", retry, method="POST", waits=True),
)
