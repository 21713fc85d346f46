"""The description at /openapi.json: what the routes say of themselves, and what only the whole can say."""

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

from pointledger.api.auth.permissions import PUBLIC, TABLE
from pointledger.api.openapi.examples import BODIES
from pointledger.api.openapi.links import LINKS
from pointledger.api.schemas import requests
from pointledger.api.schemas.points import ENUMERATIONS, PendingResponse, SimpleResponse

ABOUT = """A points ledger. Every command is accepted durably, applied once, and answered by its outcome
or, when that takes longer, by the address of its task (202 and `Location`).

A request that is not as described here is 400, and an unknown method 405. `HEAD` is answered wherever `GET`
is. Answers may gain fields; bodies take none that are not described.

What no schema can tell is refused all the same: a transfer to oneself (400), points that expire before they
are available (400), a rule that does not compile or contradicts itself (400), metadata larger than 16 KiB
(400), a number of points with a decimal point, as in `5.0` (400), an idempotency key that was used before
with other content (422), and an amount of money with more decimals than its currency has (422)."""

TAGS = [
    {"name": "commands", "description": "What changes accounts."},
    {"name": "points", "description": "What a user may know of its points."},
    {"name": "wallets", "description": "Money."},
    {"name": "administration", "description": "All accounts of the tenant."},
    {"name": "programme", "description": "The tenant's configuration and rules."},
    {"name": "audit", "description": "What administrators did, and whether accounts are sound."},
    {"name": "tasks", "description": "What came of a command."},
    {"name": "operation", "description": "For those who run the gateway."},
]
SERVERS = [{"url": "/", "description": "This gateway."}]

_TOLD = {
    200: "It was there already",
    202: "Accepted; not applied yet",
    400: "The request is malformed or invalid",
    401: "No token, or one that is not believed",
    403: "The token does not allow it, the tenant has switched it off, or `occurred_at` is not yours to say",
    404: "There is no such thing, or it is another's",
    405: "Not with this method",
    408: "The body did not come in time",
    409: "Not in the state that things are in: not enough points, an account that is not active",
    413: "The body is larger than 64 KiB",
    414: "The address is longer than 8 KiB",
    415: "Not JSON in UTF-8",
    422: "The idempotency key was used before with other content; or the amount is no money",
    429: "Too many requests; Retry-After says when to ask again",
    431: "The headers are larger than 32 KiB",
    503: "Something that is needed is away; Retry-After says when to ask again. Or the command is dead: then "
    "Location says where an operator's repair will show",
}
_FRAMEWORKS = ("HTTPValidationError", "ValidationError")  # its own shapes of errors, which nobody gets
_ERROR = {"schema": {"$ref": requests.REF.format(model=SimpleResponse.__name__)}}
_EVERYWHERE = (400, 401, 403, 404, 405, 414, 429, 431, 503)
_WITH_BODY = (408, 413, 415)
_ACCEPTED = 202


def _header(description: str, schema: dict[str, Any], *, required: bool = False) -> dict[str, Any]:
    return {"description": description, "required": required, "schema": schema}


_TEXT, _SECONDS = {"type": "string"}, {"type": "integer", "minimum": 1}
_LOCATED = _header("Where it is.", {"type": "string", "format": "uri-reference"}, required=True)
LOCATION = {"Location": _LOCATED}
_HEADERS: dict[int, dict[str, Any]] = {
    202: LOCATION,
    401: {"WWW-Authenticate": _header("Which token is needed.", {"const": "Bearer"}, required=True)},
    405: {"Allow": _header("The methods that there are.", _TEXT, required=True)},
    429: {"Retry-After": _header("In how many seconds to ask again.", _SECONDS, required=True)},
    503: {
        "Retry-After": _header("In how many seconds to ask again.", _SECONDS),
        "Location": _header("Of a command that is dead: its task.", _TEXT),
    },
}
REPLAYED_HEADER = {
    "Idempotent-Replayed": _header("The key was used before: this is the first answer.", {"const": "true"})
}
_OF_COMMANDS = REPLAYED_HEADER | {
    "Preference-Applied": _header("What of `Prefer` was done.", _TEXT),
    "Warning": _header("The command has no key: sent again, it would be applied again.", _TEXT),
}
_OUTCOMES = (200, 201, 202, 400, 403, 404, 409, 422, 503)


def responses(
    success: type[BaseModel],
    *more: int,
    status: int = 200,
    body: bool = False,
    headers: dict[str, Any] | None = None,
) -> dict[int | str, dict[str, Any]]:
    """What a route answers: the success, what every route may, and `more`. `headers`: of the success."""
    told: dict[int | str, dict[str, Any]] = {status: {"model": success, "description": "Success"}}
    for code in sorted({*_EVERYWHERE, *(_WITH_BODY if body else ()), *more}):
        model = {200: success, 202: PendingResponse}.get(code, SimpleResponse)
        told[code] = {"model": model, "description": _TOLD[code]}
    for code, answer in told.items():
        assert isinstance(code, int)
        own = (headers or {}) if code == status else {}
        if found := _HEADERS.get(code, {}) | own:
            answer["headers"] = found
    return told


def responses_of_command(success: type[BaseModel], status: int) -> dict[int | str, dict[str, Any]]:
    """What a command's route answers."""
    told = responses(success, _ACCEPTED, 409, 422, status=status, body=True)
    for code in _OUTCOMES:
        if code in told:
            told[code]["headers"] = told[code].get("headers", {}) | _OF_COMMANDS
    return told


def describe(app: FastAPI) -> None:
    """Completes what the framework has gathered from the routes."""
    described = app.openapi()
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
    """Method, path and operation of each."""
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            yield method, path, operation


def _share_errors(answers: dict[str, Any], shared: dict[str, Any]) -> None:
    """Puts errors that many operations tell alike in one place."""
    for status, answer in list(answers.items()):
        if _FRAMEWORKS[0] in str(answer):
            del answers[status]  # the framework would say 422 where we say 400
            continue
        if answer.get("content", {}).get("application/json") != _ERROR:
            continue
        of_command = REPLAYED_HEADER.keys() <= answer.get("headers", {}).keys()
        name = f"Error{status}{'OfCommand' if of_command else ''}"
        if shared.setdefault(name, answer) == answer:
            answers[status] = {"$ref": f"#/components/responses/{name}"}


def _tidy(schema: dict[str, Any]) -> None:
    """Without what pydantic makes of a field's name, which says nothing more, and without null as a default:
    it is the same as left out, or not allowed."""
    for part in _parts(schema):
        part.pop("title", None)
        if part.get("default", ...) is None:
            del part["default"]
        _name_enumeration(part)


def _name_enumeration(part: dict[str, Any]) -> None:
    """One name for what is the same everywhere: a generated client has one type for it."""
    for name, values in ENUMERATIONS.items():
        if sorted(part.get("enum", ())) == sorted(values):
            kept = {keyword: part[keyword] for keyword in ("description", "default") if keyword in part}
            part.clear()
            part |= {"$ref": requests.REF.format(model=name)} | kept


def _parts(schema: Any) -> Iterator[dict[str, Any]]:
    """The schema and all schemas within it."""
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
