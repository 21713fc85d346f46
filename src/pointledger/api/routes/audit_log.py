"""Routes for the audit log and for verifying an account."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from pydantic import Field
from starlette.responses import Response

from pointledger.api.guard import principal_of
from pointledger.api.openapi.document import responses
from pointledger.api.responses import present
from pointledger.api.schemas.envelope import data_response, list_response
from pointledger.api.schemas.parameters import Entity, Id, Nothing, PageNumber, PageSize
from pointledger.api.schemas.queries import AccountReportResponse, AuditRecordListResponse
from pointledger.api.state import state_of

router = APIRouter(prefix="/admin", tags=["audit"])

UserFilter = Annotated[Entity | Nothing, Query(description="Only records about this user.")]
ActorFilter = Annotated[Entity | Nothing, Query(description="Only records of this actor.")]
Kind = Annotated[
    Annotated[str, Field(pattern="^[a-z][a-z-]{0,39}$")] | Nothing,
    Query(description="Only this kind, for example `adjust` or `rule-put`."),
]
State = Annotated[
    Literal["applied", "refused"] | Nothing, Query(description="Only records with this outcome.")
]


@router.get(
    "/audit",
    operation_id="list_audit_records",
    responses=responses(AuditRecordListResponse),
    summary="List the audit log",
)
async def audit_log(
    request: Request,
    page: PageNumber = 1,
    page_size: PageSize = 20,
    user_id: UserFilter = None,
    actor: ActorFilter = None,
    kind: Kind = None,
    state: State = None,
) -> Response:
    """Returns what administrators did, newest first: actor, reason, and the state before and after.

    Includes refused attempts.
    """
    api = state_of(request)
    total, found = await api.run_in_thread(
        api.queries.page_of_audit_records,
        principal_of(request).tenant_id,
        page=page,
        page_size=page_size,
        user_id=user_id,
        actor=actor,
        kind=kind,
        state=state,
    )
    return list_response([present(record) for record in found], total=total, page=page, page_size=page_size)


@router.get(
    "/point/integrity/{account_id}",
    operation_id="check_integrity",
    responses=responses(AccountReportResponse),
    summary="Verify an account",
)
async def integrity(request: Request, account_id: Id) -> Response:
    """Checks the chain of the account's transactions, its totals, lots and holds, and the user's wallet."""
    api = state_of(request)
    found = await api.run_in_thread(api.queries.integrity, principal_of(request).tenant_id, account_id)
    return data_response(found.as_json())
