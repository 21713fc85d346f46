"""What came of a command, for ever."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from pointledger.api.auth.permissions import Principal
from pointledger.api.guard import principal_of
from pointledger.api.openapi.document import responses
from pointledger.api.responses import task_of
from pointledger.api.schemas.commands import TaskResponse
from pointledger.api.schemas.envelope import Problem, said
from pointledger.api.schemas.parameters import Id
from pointledger.api.state import gateway_of
from pointledger.ids import parse_id
from pointledger.storage.queries.outcomes import Answered

router = APIRouter(tags=["tasks"])


@router.get(
    "/tasks/{task_id}",
    operation_id="get_task",
    responses=responses(TaskResponse),
    summary="What came of a command",
)
async def task(request: Request, task_id: Id) -> Response:
    """`state` is pending, applied (`data` is that of the answer), refused (for a `reason`) or dead.
    A batch is pending or done, and counts what came of its rows. What was sent by name through Celery and is
    no command is refused; services and administrators find it, where it names its tenant."""
    gateway = gateway_of(request)
    asked = parse_id(task_id)
    answered = (await gateway.ask(gateway.lookups.answers, [asked])).get(asked)
    principal = principal_of(request)
    if answered is None and (principal.is_service or principal.is_admin):
        sent = await gateway.ask(gateway.lookups.sent_by_name, asked)
        if sent and sent.tenant_id == principal.tenant_id:
            return said(sent.as_json())
        batch = await gateway.ask(gateway.batches.outcome, task_id)
        if batch.tenant_id == principal.tenant_id:
            return said(batch.as_json())
    if answered is None or not _may_see(principal, answered):
        raise Problem(404, "there is no such task")
    return said(task_of(answered))


def _may_see(principal: Principal, answered: Answered) -> bool:
    """A user sees what it asked for, and what was asked for it."""
    if answered.tenant_id != principal.tenant_id:
        return False
    if principal.is_service or principal.is_admin:
        return True
    return principal.subject in (answered.user_id, answered.actor)
