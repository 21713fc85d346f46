"""Queue: what waits, what is stuck, and who fills it? Lanes, tenants, batches, jobs and dead commands."""

from typing import Any

from starlette.responses import Response

from pointledger.api.console.pages.queue_now import Now, now
from pointledger.api.console.streams import Part, StreamRoute
from pointledger.api.console.visit import PageRoute, Visit
from pointledger.client.queries.queue import MOST_TENANTS
from pointledger.ids import show_id
from pointledger.observability.pulse import EVERY_SECONDS
from pointledger.storage.queries.queue import TenantLine

_TENANTS_SECONDS = 10.0  # that a comparison of tenants is kept: it looks at each lane of each tenant
_LETTERS = 5  # dead letters that the page shows; the list has them all
_BATCHES = 5


def show(visit: Visit) -> Response:
    """Show what waits of the tenant, and what needs an operator."""
    tenant_id, found = visit.tenant.tenant_id, now(visit)
    return visit.page(
        "queue.html",
        **_shown(found),
        dead_letters=visit.queries.dead_letters(tenant_id, limit=_LETTERS) if _has_letters(found) else [],
        batches=visit.queries.batches(tenant_id, limit=_BATCHES),
        tenants=_tenants(visit),
        current="queue",
    )


def watch(visit: Visit) -> Part:
    """Show what changes while the page is open. It is rendered once for all who watch the tenant, apart from
    what only some may do."""
    key = ("queue part", visit.tenant.tenant_id, visit.may("queue.change"))
    shown = visit.console.shared.get(
        key, EVERY_SECONDS, lambda: visit.part("queue_now.html", **_shown(now(visit)))
    )
    return Part(shown)


def _shown(found: Now) -> dict[str, Any]:
    failing = [(show_id(each.id), each) for each in found.failing]
    groups = [(show_id(each.sample), each) for each in found.groups]
    return found._asdict() | {"failing": failing, "groups": groups}


def _has_letters(found: Now) -> bool:
    return bool(found.queue.trouble.dead_letters or found.queue.trouble.deferred)


def _tenants(visit: Visit) -> list[tuple[TenantLine, int]]:
    """Return what waits of each of the person's tenants, with its dead commands. Empty if it is the only
    one. A login with more tenants than can be compared sees the first ones."""
    tenant_ids = visit.session.tenants[:MOST_TENANTS]
    if len(tenant_ids) == 1:
        return []

    def read() -> list[tuple[TenantLine, int]]:
        dead = visit.queries.dead_by_tenant(tenant_ids)
        return [(line, dead.get(line.tenant_id, 0)) for line in visit.queries.waiting_by_tenant(tenant_ids)]

    return visit.console.shared.get(("tenants", tenant_ids), _TENANTS_SECONDS, read)


ROUTES = (PageRoute("queue", "queue", show),)
STREAMS = (StreamRoute("queue/stream", "queue", watch, EVERY_SECONDS),)
