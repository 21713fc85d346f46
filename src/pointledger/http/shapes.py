"""The shapes of answers, for the description at /openapi.json. Names and fields are those of the API's pages;
what they do not have stands below theirs."""

from typing import Any

from pydantic import BaseModel, ConfigDict


class SimpleResponse(BaseModel):
    """An error, and whatever has no data."""

    code: int
    message: str
    timestamp: str
    reason: str | None = None


class PointAccountResponse(BaseModel):
    """An account: points of one user within a tenant."""

    model_config = ConfigDict(extra="allow")

    balance: int
    created_at: str
    exchange_rate: int
    expired_points: int
    frozen_balance: int
    id: str
    points_type: str
    status: str
    tenant_id: str
    total_earned: int
    total_spent: int
    updated_at: str
    user_id: str
    version: int

    pending_balance: int
    debt: int
    total_refunded: int
    total_transferred_in: int
    total_transferred_out: int
    total_adjusted_in: int
    total_adjusted_out: int
    total_clawed_back: int


class PointTransactionResponse(BaseModel):
    """An entry of the ledger: it never changes."""

    model_config = ConfigDict(extra="allow")

    account_id: str
    amount: int
    balance_after: int
    balance_before: int
    created_at: str
    description: str = ""
    expires_at: str = ""
    id: str
    idempotency_key: str = ""
    reason: str = ""
    related_id: str = ""
    source: str = ""
    status: str
    type: str
    updated_at: str
    user_id: str

    seq: int
    subtype: str


class PointOperationData(BaseModel):
    """What a command did. `transaction` is the first of `transactions`."""

    model_config = ConfigDict(extra="allow")

    account: PointAccountResponse
    points_earned: int = 0
    transaction: PointTransactionResponse | None = None

    transactions: list[PointTransactionResponse] = []


class PointOperationResponse(SimpleResponse):
    """A command was applied."""

    data: PointOperationData


class AccountResponse(SimpleResponse):
    """An account."""

    data: PointAccountResponse


class TransactionResponse(SimpleResponse):
    """A transaction."""

    data: PointTransactionResponse


class PageInfo(BaseModel):
    """Where a page stands. `next_cursor` goes into `cursor` for the next one, whatever is written."""

    has_next: bool
    has_prev: bool
    page: int
    page_size: int
    total: int
    total_pages: int

    next_cursor: str | None = None


class ListResponse(SimpleResponse):
    """A page of a list."""

    items: list[dict[str, Any]]
    total: int
    pagination: PageInfo


class PointTransactionListResponse(ListResponse):
    """A page of transactions, newest first."""

    items: list[PointTransactionResponse]  # type: ignore[assignment]  # narrower


class PointAccountListResponse(ListResponse):
    """A page of accounts, by user id."""

    items: list[PointAccountResponse]  # type: ignore[assignment]  # narrower


class Pending(BaseModel):
    """A command that is accepted and waits."""

    task_id: str
    state: str


class PendingResponse(SimpleResponse):
    """Accepted; the header Location says where its outcome will be."""

    data: Pending


class ObjectResponse(SimpleResponse):
    """One thing."""

    data: dict[str, Any]


_TOLD = {
    200: "It was there already",
    202: "Accepted; not applied yet",
    400: "The request is malformed or invalid",
    401: "No token, or one that is not believed",
    403: "The token does not allow it, or the tenant has switched it off",
    404: "There is no such thing, or it is another's",
    405: "Not with this method",
    408: "The body did not come in time",
    409: "Not in the state that things are in: not enough points, an account that is not active",
    413: "The body is larger than 64 KiB",
    414: "The address is longer than 8 KiB",
    415: "Not JSON in UTF-8",
    422: "The idempotency key was used before with other content",
    429: "Too many requests; Retry-After says when to ask again",
    431: "The headers are larger than 32 KiB",
    503: "Something that is needed is away; Retry-After says when to ask again",
}
_EVERYWHERE = (400, 401, 403, 404, 405, 414, 429, 431, 503)
_WITH_BODY = (408, 413, 415)


def responses(
    success: type[BaseModel], *more: int, status: int = 200, body: bool = False
) -> dict[int | str, dict[str, Any]]:
    """What a route answers, for its description: the success, what every route may, and `more`."""
    told: dict[int | str, dict[str, Any]] = {status: {"model": success, "description": "Success"}}
    for code in sorted({*_EVERYWHERE, *(_WITH_BODY if body else ()), *more}):
        model = {200: success, 202: PendingResponse}.get(code, SimpleResponse)
        told[code] = {"model": model, "description": _TOLD[code]}
    return told


def body_of(schema: dict[str, Any], *parameters: dict[str, Any]) -> dict[str, Any]:
    """A route's body and headers, for its description: they are read by hand, strictly."""
    content = {"application/json": {"schema": schema}}
    return {"requestBody": {"content": content, "required": True}, "parameters": list(parameters)}
