"""Routes for load balancers: liveness and readiness. `admin` serves them and the metrics to operators."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from pointledger.api.schemas.envelope import data_response
from pointledger.api.schemas.points import SimpleResponse
from pointledger.api.schemas.queries import HealthResponse
from pointledger.api.state import state_of

router = APIRouter(tags=["operation"])

_UNAVAILABLE = {
    "model": SimpleResponse,
    "description": "The database is unavailable",
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
    """Returns 200 if the database answers, so that the server can accept commands. It does not need Redis.

    The answer is at most a second old.
    """
    await state_of(request).readiness.get()
    return data_response({"status": "ok"})
