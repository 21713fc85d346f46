"""What can be done to a command: cancel it while it waits, retry it when it is dead."""

from collections.abc import Callable

from starlette.responses import Response

from pointledger.api.console import problems
from pointledger.api.console.controls import Control, ask, reason_of, seen
from pointledger.api.console.pages.queue_now import forget
from pointledger.api.console.visit import PageRoute, Visit
from pointledger.client.queries.commands import CommandWay
from pointledger.errors import NotDead, NotWaiting


def canceling(visit: Visit) -> Response:
    """Show what would be canceled, and ask for the reason. A command that is decided shows its page."""
    way = _way(visit)
    return ask(visit, _cancel(visit, way)) if way.can_be_canceled else _page(visit, way)


def cancel(visit: Visit) -> Response:
    """Cancel the command. If it is too late, its page says what became of it."""
    way = _way(visit)
    reason = reason_of(visit, lambda: _cancel(visit, way))
    if isinstance(reason, Response):
        return reason
    return _done(visit, way, lambda: visit.client.cancel(way.task_id, visit.actor(reason)))


def retrying(visit: Visit) -> Response:
    """Show what would be retried, and ask for the reason. A command that is not dead shows its page."""
    way = _way(visit)
    return ask(visit, _retry(visit, way)) if way.can_be_retried else _page(visit, way)


def retry(visit: Visit) -> Response:
    """Retry the command, if it is still the death that the person has seen."""
    way = _way(visit)
    reason = reason_of(visit, lambda: _retry(visit, way))
    if isinstance(reason, Response):
        return reason
    if way.dead_at != seen(visit, "dead_at"):
        return _page(visit, way)
    return _done(visit, way, lambda: visit.client.retry(way.task_id, visit.actor(reason)))


def _way(visit: Visit) -> CommandWay:
    way = visit.queries.command(visit.tenant.tenant_id, visit.path("task_id"))
    if way is None:
        raise problems.not_found("There is no command with this id.")
    return way


def _done(visit: Visit, way: CommandWay, act: Callable[[], object]) -> Response:
    """Do it. If another person or a worker was first, the page shows what is the case."""
    try:
        act()
    except (NotDead, NotWaiting):
        # A double click, a worker or another person was first.
        return visit.redirect(visit.url("commands", way.task_id, late="yes"))
    forget(visit)
    return _page(visit, way)


def _page(visit: Visit, way: CommandWay) -> Response:
    return visit.redirect(visit.url("commands", way.task_id))


def _cancel(visit: Visit, way: CommandWay) -> Control:
    return _control(
        visit,
        way,
        "cancel",
        f"Cancel this {way.kind}",
        "Cancel the command",
        (
            "It is refused with the reason CANCELLED, and changes nothing.",
            "Its sender gets that outcome. Commands of the member that waited for it go on.",
        ),
        is_grave=True,
    )


def _retry(visit: Visit, way: CommandWay) -> Control:
    return _control(
        visit,
        way,
        "retry",
        f"Retry this {way.kind}",
        "Retry the command",
        (
            "Put the cause right first: a command that fails again is dead again.",
            "It waits at the end of its member's queue.",
        ),
        seen={"dead_at": way.dead_at or ""},
    )


def _control(
    visit: Visit,
    way: CommandWay,
    name: str,
    title: str,
    button: str,
    notes: tuple[str, ...],
    *,
    seen: dict[str, str] | None = None,
    is_grave: bool = False,
) -> Control:
    page = visit.url("commands", way.task_id)
    return Control(
        title=title,
        about="Nothing has changed yet.",
        button=button,
        target=visit.url("commands", way.task_id, name),
        back=page,
        current="command",
        above=(("Commands", visit.url("commands")), (way.task_id, page)),
        facts=(("Member", way.user_id), ("Sent by", way.actor), ("Failed attempts", f"{way.attempts}")),
        sample=(way.error or "").partition("\n")[0],
        notes=notes,
        seen=seen or {},
        is_grave=is_grave,
    )


ROUTES = (
    PageRoute("commands/{task_id}/cancel", "queue.change", canceling),
    PageRoute("commands/{task_id}/cancel", "queue.change", cancel, method="POST", waits=True),
    PageRoute("commands/{task_id}/retry", "queue.change", retrying),
    PageRoute("commands/{task_id}/retry", "queue.change", retry, method="POST", waits=True),
)
