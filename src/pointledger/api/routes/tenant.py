"""Routes that read all accounts of the tenant, for administrators."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from pydantic import Field
from starlette.responses import Response

from pointledger.api.guard import principal_of
from pointledger.api.openapi.document import responses
from pointledger.api.responses import page_response, present
from pointledger.api.schemas.days import BooksResponse
from pointledger.api.schemas.envelope import data_response
from pointledger.api.schemas.parameters import PLAIN, Day, EntityParam, Nothing, PageSize, TypeFilter
from pointledger.api.schemas.points import PointAccountListResponse, PointTransactionListResponse
from pointledger.api.schemas.queries import TenantStatsResponse
from pointledger.api.state import state_of
from pointledger.client.queries.days import MOST_DAYS

router = APIRouter(prefix="/admin", tags=["administration"])

MOST_PAGES = 1_000  # skipping rows is slow, and no client needs so many pages

PageNumber = Annotated[
    int, Field(ge=1, le=MOST_PAGES), PLAIN, Query(description="The page's number, from 1.")
]
Status = Annotated[
    Literal["active", "suspended", "closed"] | Nothing, Query(description="Only accounts with this status.")
]


@router.get(
    "/points",
    operation_id="list_accounts",
    responses=responses(PointAccountListResponse),
    summary="List the tenant's accounts",
)
async def accounts(
    request: Request, page: PageNumber = 1, page_size: PageSize = 20, status: Status = None
) -> Response:
    """Returns the current accounts, ordered by user id."""
    api = state_of(request)
    tenant_id = principal_of(request).tenant_id
    found = await api.run_in_thread(
        api.queries.page_of_accounts, tenant_id, page=page, page_size=page_size, status=status
    )
    return page_response(found, [present(item) for item in found.items], page=page, page_size=page_size)


@router.get(
    "/points/transactions",
    operation_id="list_all_transactions",
    responses=responses(PointTransactionListResponse),
    summary="List the tenant's transactions",
)
async def transactions(
    request: Request,
    page: PageNumber = 1,
    page_size: PageSize = 20,
    type: TypeFilter = None,
    user_id: EntityParam = None,
) -> Response:
    """Returns the transactions of all users or one user, newest first."""
    api = state_of(request)
    tenant_id, queries = principal_of(request).tenant_id, api.queries
    if user_id is None:
        found = await api.run_in_thread(
            queries.page_of_all_entries, tenant_id, page=page, page_size=page_size, type=type
        )
    else:
        found = await api.run_in_thread(
            queries.page_of_entries,
            tenant_id,
            user_id,
            page=page,
            page_size=page_size,
            type=type,
            before=None,
        )
    items = [present(item) for item in found.items]
    return page_response(found, items, page=page, page_size=page_size)


@router.get(
    "/points/stats",
    operation_id="get_tenant_stats",
    responses=responses(TenantStatsResponse),
    summary="Get the tenant's statistics",
)
async def stats(request: Request) -> Response:
    """Returns counts of accounts, outstanding points, totals and the current month."""
    api = state_of(request)
    return data_response(
        await api.run_in_thread(api.queries.tenant_statistics, principal_of(request).tenant_id)
    )


DAYS = 7  # a week: people ask for more where they need it
Days = Annotated[int, Field(ge=1, le=MOST_DAYS), PLAIN, Query(description="How many days, up to `until`.")]
By = Annotated[
    Literal["recorded", "occurred"],
    Query(description="Count transactions on the day of their record, or on the day for which they count."),
]


@router.get(
    "/points/days",
    operation_id="list_days",
    responses=responses(BooksResponse),
    summary="List the tenant's books by day",
)
async def days(request: Request, days: Days = DAYS, until: Day = None, by: By = "recorded") -> Response:
    """Returns what was earned, spent and expired on each day, and what was outstanding at its end.

    An `until` after today is 400, and so are days before 1900.
    """
    api = state_of(request)
    found = await api.run_in_thread(api.queries.days, principal_of(request).tenant_id, days, until, by)
    return data_response(found.as_json())
