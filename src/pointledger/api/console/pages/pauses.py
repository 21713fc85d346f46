"""Pauses: stop a tenant's commands and jobs, and let them go on. Each page says first what it would do."""

from starlette.responses import Response

from pointledger.api.console.controls import Control, ask, reason_of, seen
from pointledger.api.console.pages.queue_now import forget
from pointledger.api.console.visit import PageRoute, Visit
from pointledger.client.queries.queue import Queue


def pausing(visit: Visit) -> Response:
    """Show what a pause would do, and ask for the reason. A paused tenant's page is the queue."""
    found = visit.queries.queue(visit.tenant.tenant_id)
    return _back(visit) if found.paused_since else ask(visit, _pause(visit, found))


def pause(visit: Visit) -> Response:
    """Pause the tenant, unless it is paused already."""
    found = visit.queries.queue(visit.tenant.tenant_id)
    reason = reason_of(visit, lambda: _pause(visit, found))
    if isinstance(reason, Response):
        return reason
    if not found.paused_since:
        visit.client.pause(visit.tenant.tenant_id, visit.actor(reason))
    return _back(visit)


def resuming(visit: Visit) -> Response:
    """Show what resuming would do, and ask for the reason. The page of a tenant that runs is the queue."""
    found = visit.queries.queue(visit.tenant.tenant_id)
    return ask(visit, _resume(visit, found)) if found.paused_since else _back(visit)


def resume(visit: Visit) -> Response:
    """Resume the tenant, if it is still the pause that the person has seen."""
    found = visit.queries.queue(visit.tenant.tenant_id)
    reason = reason_of(visit, lambda: _resume(visit, found))
    if isinstance(reason, Response):
        return reason
    if found.paused_since and seen(visit, "since") == found.paused_since:
        visit.client.resume(visit.tenant.tenant_id, visit.actor(reason))
    return _back(visit)


def _pause(visit: Visit, found: Queue) -> Control:
    return Control(
        title=f"Pause {visit.tenant.tenant_id}",
        about="Nothing has changed yet.",
        button="Pause",
        target=visit.url("queue", "pause"),
        back=visit.url("queue"),
        current="queue",
        above=(("Queue", visit.url("queue")),),
        facts=(("Waiting now", f"{found.waiting:,}"), ("Applied per second", f"{found.per_second:,.1f}")),
        notes=(
            "Commands of this tenant are accepted and wait. Services that wait for outcomes time out.",
            "Its jobs, such as the nightly expiry, wait, too.",
            "Other tenants go on. Nothing is lost: resume the tenant when the cause is put right.",
        ),
        is_grave=True,
    )


def _resume(visit: Visit, found: Queue) -> Control:
    return Control(
        title=f"Resume {visit.tenant.tenant_id}",
        about="Nothing has changed yet.",
        button="Resume",
        target=visit.url("queue", "resume"),
        back=visit.url("queue"),
        current="queue",
        above=(("Queue", visit.url("queue")),),
        facts=(("Waiting now", f"{found.waiting:,}"),),
        notes=(
            "Workers apply what waits, in the order of its acceptance.",
            "Its jobs catch up on the days that they have missed.",
        ),
        seen={"since": found.paused_since or ""},
    )


def _back(visit: Visit) -> Response:
    forget(visit)
    return visit.redirect(visit.url("queue"))


ROUTES = (
    PageRoute("queue/pause", "queue.change", pausing),
    PageRoute("queue/pause", "queue.change", pause, method="POST", waits=True),
    PageRoute("queue/resume", "queue.change", resuming),
    PageRoute("queue/resume", "queue.change", resume, method="POST", waits=True),
)
