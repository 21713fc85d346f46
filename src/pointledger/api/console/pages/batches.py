"""Batches: many earns that came in one request, how far each is, and what was refused and why."""

from typing import Any

from starlette.responses import Response

from pointledger.api.console import problems
from pointledger.api.console.reasons import advice
from pointledger.api.console.streams import Part, StreamRoute
from pointledger.api.console.visit import PageRoute, Visit
from pointledger.client.batches import BatchOutcome
from pointledger.errors import BatchMissing

_PAGE = 50  # two screens
_WATCH_SECONDS = 5.0  # counting 50,000 commands takes a tenth of a second


def show(visit: Visit) -> Response:
    """List the tenant's batches, the latest first."""
    before = visit.query("before")
    found = visit.queries.batches(visit.tenant.tenant_id, before=before or None, limit=_PAGE + 1)
    return visit.page(
        "batches.html",
        batches=found[:_PAGE],
        first=visit.url("queue", "batches") if before else "",
        next=visit.url("queue", "batches", before=found[_PAGE - 1]["id"]) if found[_PAGE:] else "",
        current="queue",
    )


def one(visit: Visit) -> Response:
    """Show how far a batch is."""
    return visit.page("batch.html", **_shown(_outcome(visit)), current="queue")


def watch(visit: Visit) -> Part:
    """Show its progress until each command has its outcome."""
    found = _outcome(visit)
    return Part(visit.part("batch_now.html", **_shown(found)), end="" if found.pending else "stay")


def _shown(found: BatchOutcome) -> dict[str, Any]:
    refused = [(reason, count, advice(reason)) for reason, count in found.refused.items()]
    return {"batch": found, "refused": sorted(refused, key=lambda each: (-each[1], each[0]))}


def _outcome(visit: Visit) -> BatchOutcome:
    try:
        found = visit.client.batch_outcome(visit.path("batch_id"))
    except BatchMissing:
        found = None
    if found is None or found.tenant_id != visit.tenant.tenant_id:
        raise problems.not_found("There is no batch with this id.")
    return found


ROUTES = (
    PageRoute("queue/batches", "queue", show),
    PageRoute("queue/batches/{batch_id}", "queue", one),
)
STREAMS = (StreamRoute("queue/batches/{batch_id}/stream", "queue", watch, _WATCH_SECONDS),)
