"""Builds responses: `{code, message, timestamp, data | items}`, and `reason` for refusals."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from starlette.responses import Response

from pointledger.client.queries.results import iso
from pointledger.domain.values.json_values import write_json

OK = "success"


class Problem(Exception):
    """An error response. Its message never contains data from the request."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        reason: str | None = None,
        retry_after: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.reason = reason
        self.headers = dict(headers or {})
        if retry_after is not None:
            self.headers["Retry-After"] = str(retry_after)

    def response(self, at: datetime | None = None) -> Response:
        """Build the response."""
        body = _head(self.status, self.message, at)
        if self.reason:
            body["reason"] = self.reason
        return _response(body, self.status, self.headers)


def data_response(
    data: object,
    *,
    status: int = 200,
    message: str = OK,
    at: datetime | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Build a response with `data`. `at` is its timestamp, by default now."""
    return _response(_head(status, message, at) | {"data": data}, status, headers)


def list_response(
    items: Sequence[object], *, total: int, page: int, page_size: int, next_cursor: str | None = None
) -> Response:
    """Build a response with a page of a list. `total` counts the items of all pages."""
    pages = -(-total // page_size)
    pagination = {
        "page": page,
        "page_size": page_size,
        "total": total,
        "total_pages": pages,
        "has_next": page < pages,
        "has_prev": page > 1,
        "next_cursor": next_cursor,
    }
    body = _head(200, OK, None) | {"items": items, "total": total, "pagination": pagination}
    return _response(body, 200, None)


def _head(status: int, message: str, at: datetime | None) -> dict[str, Any]:
    return {"code": status, "message": message, "timestamp": iso(at or datetime.now(UTC))}


def _response(body: dict[str, Any], status: int, headers: Mapping[str, str] | None) -> Response:
    # Responses contain personal data, so caches must not store them.
    all_headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"} | dict(headers or {})
    return Response(write_json(body), status, all_headers, "application/json")
