"""Many earns at once: accepted all or none, each with an outcome of its own."""

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from pointledger.api.commands import KEY, KEY_PARAMETER, key_of, not_theirs_to_say
from pointledger.api.guard import principal_of
from pointledger.api.openapi.document import REPLAYED_HEADER, responses
from pointledger.api.responses import REPLAYED
from pointledger.api.schemas.body import read_object
from pointledger.api.schemas.commands import BatchAcceptedResponse
from pointledger.api.schemas.envelope import Problem, said
from pointledger.api.schemas.requests import BATCH, body_of
from pointledger.api.state import gateway_of

router = APIRouter(prefix="/admin/points", tags=["commands"])


@router.post(
    "/batch-earn",
    operation_id="batch_earn",
    status_code=202,
    responses=responses(BatchAcceptedResponse, 422, status=202, body=True, headers=REPLAYED_HEADER),
    openapi_extra=body_of(BATCH, KEY_PARAMETER | {"required": True}),
    summary="Grant points to many",
)
async def batch_earn(request: Request) -> Response:
    """Answers with the tasks, one for each row, in their order; the batch is a task, too. A row that is no
    earn is refused by itself. The same rows with the same key are the same batch."""
    gateway, principal = gateway_of(request), principal_of(request)
    key = key_of(request)
    if key is None:
        raise Problem(400, f"{KEY}: a batch needs one")
    rows: Any = (await read_object(request, ("items",))).get("items")
    if not isinstance(rows, list):
        raise Problem(400, "items: must be a list of rows")
    if not principal.is_service and any(isinstance(row, dict) and "occurred_at" in row for row in rows):
        raise not_theirs_to_say()
    receipt = await gateway.ask(gateway.batches.accept, principal.tenant_id, rows, key, principal.subject)
    headers = {"Location": f"/tasks/{receipt.batch_id}"}
    if not receipt.new:
        headers[REPLAYED] = "true"
    data = {"batch_id": receipt.batch_id, "task_ids": receipt.task_ids}
    return said(data, status=202, message="accepted", headers=headers)
