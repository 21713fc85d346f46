"""Routes for operators: liveness, readiness and metrics."""

from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import Response

from pointledger.api import metrics
from pointledger.api.schemas.envelope import data_response
from pointledger.api.schemas.points import SimpleResponse
from pointledger.api.schemas.queries import HealthResponse
from pointledger.api.state import state_of
from pointledger.observability.metrics import exposition

router = APIRouter(tags=["operation"])

_UNAVAILABLE = {
    "model": SimpleResponse,
    "description": "The database is unavailable, or there are too many concurrent requests",
}


@router.get(
    "/healthz",
    operation_id="get_health",
    responses={200: {"model": HealthResponse}},
    summary="Check liveness",
)
async def healthz() -> Response:
    """Returns 200 if the process is alive."""
    return data_response({"status": "ok"})


@router.get(
    "/readyz",
    operation_id="get_readiness",
    responses={200: {"model": HealthResponse}, 503: _UNAVAILABLE},
    summary="Check readiness",
)
async def readyz(request: Request) -> Response:
    """Returns 200 if the database answers, so that the server can accept commands. It does not need Redis."""
    api = state_of(request)
    await api.run_in_thread(api.queries.ping)
    return data_response({"status": "ok"})


@router.get(
    "/metrics", operation_id="get_metrics", response_class=PlainTextResponse, summary="Get Prometheus metrics"
)
async def prometheus(request: Request) -> Response:
    """Returns the metrics of this process and of the whole ledger, in Prometheus' text format."""
    api = state_of(request)
    ledger = await api.run_in_thread(exposition, api.exporter)
    return Response(metrics.exposition() + ledger, headers={"Content-Type": CONTENT_TYPE_LATEST})
