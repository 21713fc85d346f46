"""Route that reads the outcome of a command or a batch."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from pointledger.api.auth.permissions import Principal
from pointledger.api.guard import principal_of
from pointledger.api.openapi.document import responses
from pointledger.api.responses import task_data
from pointledger.api.schemas.commands import TaskResponse
from pointledger.api.schemas.envelope import Problem, data_response
from pointledger.api.schemas.parameters import Id
from pointledger.api.state import state_of
from pointledger.api.threads import Pool
from pointledger.ids import parse_id
from pointledger.storage.queries.outcomes import Result

router = APIRouter(tags=["tasks"])


@router.get(
    "/tasks/{task_id}",
    operation_id="get_task",
    responses=responses(TaskResponse),
    summary="Get the outcome of a command",
)
async def task(request: Request, task_id: Id) -> Response:
    """Returns the outcome of a command or a batch. Outcomes never expire.

    The `state` of a command is `pending`; `applied`, with the `data` of its response; `refused`, with a
    `reason`; or `dead`. A batch is `pending` or `done` and counts the outcomes of its rows.

    A Celery message that is no command is refused. Services and administrators of the tenant that it names
    can read it.
    """
    api = state_of(request)
    command_id = parse_id(task_id)
    result = (await api.run_in_thread(api.queries.results, [command_id])).get(command_id)
    principal = principal_of(request)
    if result is None and (principal.is_service or principal.is_admin):
        sent = await api.run_in_thread(api.queries.sent_by_name, command_id)
        if sent and sent.tenant_id == principal.tenant_id:
            return data_response(sent.as_json())
        reports = api.of_pool(Pool.REPORTS)  # a batch has up to 50,000 outcomes
        batch = await reports.run_in_thread(api.batches.outcome, task_id, principal.tenant_id)
        return data_response(batch.as_json())
    if result is None or not _may_read(principal, result):
        raise Problem(404, "no such task")
    return data_response(task_data(result))


def _may_read(principal: Principal, result: Result) -> bool:
    """Return whether the principal may read the task. Users may read commands by them or for them."""
    if result.tenant_id != principal.tenant_id:
        return False
    if principal.is_service or principal.is_admin:
        return True
    return principal.subject in (result.user_id, result.actor)
