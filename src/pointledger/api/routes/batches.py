"""Route that accepts many earns, all or none. Each has its own outcome."""

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from pointledger.api.auth import prices
from pointledger.api.commands import KEY, KEY_PARAMETER, key_of, occurred_at_forbidden
from pointledger.api.guard import charge, principal_of
from pointledger.api.openapi.document import REPLAYED_HEADER, responses
from pointledger.api.responses import REPLAYED
from pointledger.api.schemas.body import read_object
from pointledger.api.schemas.commands import BatchAcceptedResponse
from pointledger.api.schemas.envelope import Problem, data_response
from pointledger.api.schemas.requests import BATCH, body_of
from pointledger.api.state import state_of

router = APIRouter(prefix="/admin/points", tags=["commands"])

PRICE = prices.TABLE["POST", "/admin/points/batch-earn"]


@router.post(
    "/batch-earn",
    operation_id="batch_earn",
    status_code=202,
    responses=responses(BatchAcceptedResponse, 422, status=202, body=True, headers=REPLAYED_HEADER),
    openapi_extra=body_of(BATCH, KEY_PARAMETER | {"required": True}),
    summary="Grant points to many users",
)
async def batch_earn(request: Request) -> Response:
    """Accepts all rows or none.

    Returns one task per row, in order. The batch is a task too. An invalid row is refused without affecting
    the others. The same rows with the same key are the same batch. Each row costs a rate token.
    """
    api, principal = state_of(request), principal_of(request)
    key = key_of(request)
    if key is None:
        raise Problem(400, f"{KEY}: required for a batch")
    rows: Any = (await read_object(request, ("items",))).get("items")
    if not isinstance(rows, list):
        raise Problem(400, "items: must be a list of rows")
    if not principal.is_service and any(isinstance(row, dict) and "occurred_at" in row for row in rows):
        raise occurred_at_forbidden()
    await charge(request, max(1, PRICE.per_row * len(rows)), paid=PRICE.tokens)
    receipt = await api.run_in_thread(api.batches.accept, principal.tenant_id, rows, key, principal.subject)
    headers = {"Location": f"/tasks/{receipt.batch_id}"}
    if not receipt.new:
        headers[REPLAYED] = "true"
    data = {"batch_id": receipt.batch_id, "task_ids": receipt.task_ids}
    return data_response(data, status=202, message="accepted", headers=headers)
