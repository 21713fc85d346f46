"""Command: what became of task X? Its way: accepted, waiting, attempts, outcome, entries, repetitions."""

from dataclasses import dataclass
from typing import Any

from starlette.responses import Response

from pointledger.api.console import problems
from pointledger.api.console.reasons import advice
from pointledger.api.console.streams import Part, StreamRoute
from pointledger.api.console.visit import PageRoute, Visit
from pointledger.client.queries.commands import CommandWay
from pointledger.domain.commands.outcomes import Outcome
from pointledger.errors import InvalidCommand

_WATCH_SECONDS = 2.0  # a person who waits for a command does not notice less
_MISSING = (
    "There is no command with this id. A command that another service sent may still be on its way: look "
    "again in a minute. Check that the whole id was copied."
)
_MALFORMED = "Task id: 26 letters and digits, like 01M7YS5T0G1V9RJ7Y6C6V2Q3XA, or a UUID."
_ENTRIES = 100  # of a command that the page lists; a transfer or an expiry writes a few


@dataclass(frozen=True, slots=True)
class _Found:
    """A command, or a message with this id that is none, or none yet."""

    way: CommandWay | None
    outcome: Outcome


def search(visit: Visit) -> Response:
    """Ask for a task id, and lead to the command's page."""
    wanted = visit.query("id")
    if not wanted:
        return visit.page("commands.html", wanted="", wrong="", current="command")
    try:
        found = _find(visit, wanted)
    except InvalidCommand:
        return visit.page("commands.html", 400, wanted=wanted, wrong=_MALFORMED, current="command")
    if found is None:
        return visit.page("commands.html", 404, wanted=wanted, wrong=_MISSING, current="command")
    return visit.redirect(visit.url("commands", wanted))


def show(visit: Visit) -> Response:
    """Show one command of the tenant."""
    found = _find(visit, visit.path("task_id"))
    if found is None:
        raise problems.not_found(_MISSING)
    if found.way is None:
        return visit.page("message.html", outcome=found.outcome, current="command")
    way = found.way
    return visit.page(
        "command.html",
        **_shown(way),
        entries=way.entries[:_ENTRIES],
        command=_as_sent(way),
        is_late=visit.query("late") == "yes",
        current="command",
    )


def watch(visit: Visit) -> Part:
    """Show where the command waits. Load the page again when it has its outcome."""
    found = _find(visit, visit.path("task_id"))
    if found is None:
        return Part("", end="reload")
    if found.way is None:
        return Part(found.outcome.state, end="reload" if found.outcome.is_final else "")
    is_over = not found.way.can_be_canceled
    return Part(visit.part("command_way.html", **_shown(found.way)), end="reload" if is_over else "")


def _find(visit: Visit, task_id: str) -> _Found | None:
    """Return what has this id in the tenant, or None. Raises InvalidCommand for a malformed one."""
    way = visit.queries.command(visit.tenant.tenant_id, task_id)
    outcome = visit.client.outcome(task_id)
    if outcome.state == "unknown" or outcome.tenant_id != visit.tenant.tenant_id:
        return None
    return _Found(way, outcome)


def _shown(way: CommandWay) -> dict[str, Any]:
    return {"way": way, "advice": advice(way.reason), "person": (way.extensions or {}).get("personname")}


def _as_sent(way: CommandWay) -> dict[str, Any]:
    """Return the command as the journal keeps it."""
    return {
        "id": way.task_id,
        "kind": way.kind,
        "tenant_id": way.tenant_id,
        "user_id": way.user_id,
        "actor": way.actor,
        "idempotency_key": way.idempotency_key,
        "occurred_at": way.occurred_at,
        **way.payload,
        **({"extensions": way.extensions} if way.extensions else {}),
    }


ROUTES = (
    PageRoute("commands", "command", search),
    PageRoute("commands/{task_id}", "command", show),
)
STREAMS = (StreamRoute("commands/{task_id}/stream", "command", watch, _WATCH_SECONDS),)
