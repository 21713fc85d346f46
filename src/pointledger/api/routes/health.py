"""For those who look after the gateway: does it live, can it work, what has it done."""

from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import Response

from pointledger.api import metrics
from pointledger.api.schemas.envelope import said
from pointledger.api.schemas.points import SimpleResponse
from pointledger.api.schemas.queries import HealthResponse
from pointledger.api.state import gateway_of
from pointledger.observability.metrics import exposition

router = APIRouter(tags=["operation"])

_UNAVAILABLE = {"model": SimpleResponse, "description": "The database is away, or too much is under way"}


@router.get(
    "/healthz", operation_id="get_health", responses={200: {"model": HealthResponse}}, summary="It lives"
)
async def healthz() -> Response:
    """The process lives."""
    return said({"status": "ok"})


@router.get(
    "/readyz",
    operation_id="get_readiness",
    responses={200: {"model": HealthResponse}, 503: _UNAVAILABLE},
    summary="It can work",
)
async def readyz(request: Request) -> Response:
    """Commands can be accepted: the database answers. Redis may be away."""
    gateway = gateway_of(request)
    await gateway.ask(gateway.lookups.is_there)
    return said({"status": "ok"})


@router.get(
    "/metrics", operation_id="get_metrics", response_class=PlainTextResponse, summary="For Prometheus"
)
async def prometheus(request: Request) -> Response:
    """This gateway's counters and latencies, and the whole ledger's, in Prometheus' text format."""
    gateway = gateway_of(request)
    ledger = await gateway.ask(exposition, gateway.exporter)
    return Response(metrics.exposition() + ledger, headers={"Content-Type": CONTENT_TYPE_LATEST})
