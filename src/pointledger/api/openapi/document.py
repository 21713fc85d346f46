"""Completes the OpenAPI document that FastAPI builds from the routes."""

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from pointledger.api.auth.permissions import PUBLIC, TABLE
from pointledger.api.openapi.examples import BODIES
from pointledger.api.openapi.links import LINKS
from pointledger.api.schemas import requests
from pointledger.api.schemas.points import ENUMERATIONS, PendingResponse, SimpleResponse

ABOUT = """A ledger for loyalty points.

The server accepts each command durably and applies it exactly once. The response contains the command's
outcome. If the outcome takes too long, the response is 202 and its `Location` header names the command's
task.

A request that does not match this document gets 400, and an unknown method gets 405. Every `GET` route also
answers `HEAD`. Responses may gain new fields. Request bodies must contain documented fields only.

The server also rejects requests for reasons that a schema cannot express:

- 400: a transfer to the same user; points that expire before they are available; a rule that does not compile
  or contradicts itself; metadata larger than 16 KiB; points with a decimal point, such as `5.0`;
  books of a day after today or before 1900.
- 422: an idempotency key that was used before with other content; an amount of money with more decimals than
  its currency has."""

TAGS = [
    {"name": "commands", "description": "Change accounts."},
    {"name": "points", "description": "Read a user's points."},
    {"name": "wallets", "description": "Read a user's money."},
    {"name": "administration", "description": "Read all accounts of the tenant."},
    {"name": "program", "description": "Configure the tenant and its rules."},
    {"name": "audit", "description": "Read the audit log, and verify accounts."},
    {"name": "tasks", "description": "Look up the outcome of a command."},
    {"name": "operation", "description": "Probe and monitor the server."},
]
SERVERS = [{"url": "/", "description": "This server."}]

_DESCRIPTIONS = {
    200: "It already exists",
    202: "Accepted, but not applied yet",
    400: "The request is malformed or invalid",
    401: "The token is missing or invalid",
    403: "The token does not permit this, or the tenant has disabled it, or the caller is no service and may "
    "not set `occurred_at`",
    404: "It does not exist, or it belongs to another user",
    405: "The path does not support this method",
    408: "The body did not arrive in time",
    409: "The current state does not allow it, for example too few points or a suspended account",
    413: "The body is larger than 64 KiB",
    414: "The URL is longer than 8 KiB",
    415: "The body is not JSON in UTF-8",
    422: "The idempotency key was used before with other content, or the amount is not valid money",
    429: "The caller has too few rate tokens, or the tenant has too many pending commands, or it has its "
    "share of the server and others need the rest; retry after `Retry-After` seconds",
    431: "The headers are larger than 32 KiB",
    503: "A required service is unavailable; retry after `Retry-After` seconds. Or processing of the command "
    "failed for good: `Location` names its task, which shows the outcome if an operator retries it",
}
_FRAMEWORKS = ("HTTPValidationError", "ValidationError")  # FastAPI's schemas, which this API never returns
_ERROR = {"schema": {"$ref": requests.REF.format(model=SimpleResponse.__name__)}}
_EVERYWHERE = (400, 401, 403, 404, 405, 414, 429, 431, 503)
_WITH_BODY = (408, 413, 415)
_ACCEPTED = 202


def _header(description: str, schema: dict[str, Any], *, required: bool = False) -> dict[str, Any]:
    return {"description": description, "required": required, "schema": schema}


_TEXT, _SECONDS = {"type": "string"}, {"type": "integer", "minimum": 1}
_LOCATED = _header("The URL of the resource.", {"type": "string", "format": "uri-reference"}, required=True)
LOCATION = {"Location": _LOCATED}
_HEADERS: dict[int, dict[str, Any]] = {
    202: LOCATION,
    401: {"WWW-Authenticate": _header("The authentication scheme.", {"const": "Bearer"}, required=True)},
    405: {"Allow": _header("The methods that the path supports.", _TEXT, required=True)},
    429: {"Retry-After": _header("Seconds to wait before a retry.", _SECONDS, required=True)},
    503: {
        "Retry-After": _header("Seconds to wait before a retry.", _SECONDS),
        "Location": _header("The task of a command whose processing failed for good.", _TEXT),
    },
}
REPLAYED_HEADER = {
    "Idempotent-Replayed": _header("The key was used before; this is the first response.", {"const": "true"})
}
_OF_COMMANDS = REPLAYED_HEADER | {
    "Preference-Applied": _header("The part of `Prefer` that the server applied.", _TEXT),
    "Warning": _header("The command has no idempotency key, so a retry would be applied again.", _TEXT),
}
_OUTCOMES = (200, 201, 202, 400, 403, 404, 409, 422, 503)


def responses(
    success: type[BaseModel],
    *more: int,
    status: int = 200,
    body: bool = False,
    headers: dict[str, Any] | None = None,
) -> dict[int | str, dict[str, Any]]:
    """Describe a route's responses: success, the errors of every route, and `more`.

    `headers` are those of the success.
    """
    described: dict[int | str, dict[str, Any]] = {status: {"model": success, "description": "Success"}}
    for code in sorted({*_EVERYWHERE, *(_WITH_BODY if body else ()), *more}):
        model = {200: success, 202: PendingResponse}.get(code, SimpleResponse)
        described[code] = {"model": model, "description": _DESCRIPTIONS[code]}
    for code, response in described.items():
        assert isinstance(code, int)
        own = (headers or {}) if code == status else {}
        if found := _HEADERS.get(code, {}) | own:
            response["headers"] = found
    return described


def responses_of_command(success: type[BaseModel], status: int) -> dict[int | str, dict[str, Any]]:
    """Describe the responses of a command's route."""
    described = responses(success, _ACCEPTED, 409, 422, status=status, body=True)
    for code in _OUTCOMES:
        if code in described:
            described[code]["headers"] = described[code].get("headers", {}) | _OF_COMMANDS
    return described


def complete(described: dict[str, Any]) -> None:
    """Complete the document that FastAPI has built from the routes."""
    schemas = described["components"]["schemas"]
    for name in _FRAMEWORKS:
        schemas.pop(name)
    schemas |= requests.components(schemas)
    for schema in schemas.values():
        _tidy(schema)
    schemas |= {name: {"type": "string", "enum": values} for name, values in ENUMERATIONS.items()}
    described["components"]["securitySchemes"] = {
        "bearerAuth": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
    }
    described["components"] |= {"responses": {}, "x-json": requests.json_at_depths()}
    for method, path, operation in operations(described):
        if TABLE.get((method.upper(), path)) is not PUBLIC:
            operation["security"] = [{"bearerAuth": []}]
        for parameter in operation.get("parameters", ()):
            _tidy(parameter["schema"])
        name = operation["operationId"]
        if name in BODIES:
            operation["requestBody"]["content"]["application/json"]["examples"] = BODIES[name]
        for status, links in LINKS.get(name, {}).items():
            operation["responses"][str(status)]["links"] = links
        _share_errors(operation["responses"], described["components"]["responses"])


def operations(described: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield the method, path and object of each operation."""
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            yield method, path, operation


def _share_errors(responses: dict[str, Any], shared: dict[str, Any]) -> None:
    """Move errors that many operations share to the components."""
    for status, response in list(responses.items()):
        if _FRAMEWORKS[0] in str(response):
            del responses[status]  # FastAPI documents 422 where this API returns 400
            continue
        if response.get("content", {}).get("application/json") != _ERROR:
            continue
        of_command = REPLAYED_HEADER.keys() <= response.get("headers", {}).keys()
        name = f"Error{status}{'OfCommand' if of_command else ''}"
        if shared.setdefault(name, response) == response:
            responses[status] = {"$ref": f"#/components/responses/{name}"}


def _tidy(schema: dict[str, Any]) -> None:
    """Remove titles, which only repeat the names, and defaults of null.

    A null means the same as leaving the field out, or is not allowed.
    """
    for part in _parts(schema):
        part.pop("title", None)
        if part.get("default", ...) is None:
            del part["default"]
        _name_enumeration(part)


def _name_enumeration(part: dict[str, Any]) -> None:
    """Refer to shared enumerations by name, so that a generated client has one type for each."""
    for name, values in ENUMERATIONS.items():
        if sorted(part.get("enum", ())) == sorted(values):
            kept = {keyword: part[keyword] for keyword in ("description", "default") if keyword in part}
            part.clear()
            part |= {"$ref": requests.REF.format(model=name)} | kept


def _parts(schema: Any) -> Iterator[dict[str, Any]]:
    """Yield the schema and all schemas within it."""
    if isinstance(schema, list):
        for each in schema:
            yield from _parts(each)
    if not isinstance(schema, dict):
        return
    yield schema
    for keyword, value in schema.items():
        if keyword in ("properties", "$defs"):
            for each in value.values():
                yield from _parts(each)
        elif keyword not in ("const", "enum", "default", "examples", "required"):
            yield from _parts(value)
