"""http.md and openapi.json: every route, who may use it, what it takes and answers."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import cache
from typing import Any

from docs.generate.fields import bullet, fields_in
from docs.generate.markdown import anchor, code, codes, heading, items, link, page, paragraphs, table
from docs.generate.prose_files import prose
from pointledger.api.app import create_app
from pointledger.api.auth import prices
from pointledger.api.auth.permissions import ADMIN, TABLE
from pointledger.settings import Settings

Operation = tuple[str, str, dict[str, Any]]  # method, path, and what the document says


def openapi_document() -> str:
    """The document at /openapi.json, as people read it."""
    return json.dumps(_document(), indent=2, ensure_ascii=False) + "\n"


def http_page() -> str:
    """The whole page."""
    document = _document()
    operations = list(_operations(document))
    everywhere = _everywhere(operations)
    return page(
        "HTTP API",
        paragraphs(document["info"]["description"]),
        prose("http.md"),
        heading(2, "Routes"),
        prose("routes.md", admin=ADMIN),
        table(("Route", "Scope", "Service's kind", "Rate tokens"), _overview(operations)),
        heading(2, "Statuses"),
        "Every route that needs a token may answer:",
        _told(operations, everywhere),
        "A route lists which of these it may answer besides:",
        _told(operations, {status for *_, each in operations for status in each["responses"]} - everywhere),
        heading(2, "Headers"),
        items(_headers(operations)),
        *(part for tag in document["tags"] for part in _tag(tag, operations, everywhere)),
    )


@cache
def _document() -> dict[str, Any]:
    """Without any environment: settings change nothing in it."""
    return create_app(Settings.model_construct()).openapi()


def _operations(document: dict[str, Any]) -> Iterator[Operation]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def _overview(operations: list[Operation]) -> Iterator[tuple[str, str, str, str]]:
    for method, path, _ in operations:
        need = TABLE[method, path]
        route = link(code(f"{method} {path}"), f"#{anchor(f'{method} {path}')}")
        price = prices.TABLE[method, path].in_words() if need else ""
        kind = code(need.kind) if need and need.kind else ""
        yield route, code(need.scope) if need else "no token", kind, price


def _tag(tag: dict[str, str], operations: list[Operation], everywhere: set[str]) -> Iterator[str]:
    yield heading(2, tag["name"].capitalize())
    yield tag["description"]
    for method, path, operation in operations:
        if tag["name"] in operation["tags"]:
            yield from _operation(method, path, operation, everywhere)


def _operation(method: str, path: str, operation: dict[str, Any], everywhere: set[str]) -> Iterator[str]:
    yield heading(3, f"{method} {path}")
    summary = operation["summary"]
    end = "" if summary.endswith("?") else "."
    yield paragraphs(f"**{summary}{end}** {operation.get('description', '')}")
    if queries := _parameters(operation, "query"):
        yield items(_parameter(each) for each in queries)
    if "requestBody" in operation:
        yield "The body:"
        yield _body(operation["requestBody"]["content"]["application/json"]["schema"])
    if headers := _parameters(operation, "header"):
        yield f"Headers: {codes(each['name'] for each in headers)}."
    own = [status for status in operation["responses"] if status not in everywhere]
    yield f"Answers: {codes(own or operation['responses'])}."


def _parameters(operation: dict[str, Any], where: str) -> list[dict[str, Any]]:
    found = [_resolved(each) for each in operation.get("parameters", ())]
    return [each for each in found if each["in"] == where]


def _headers(operations: list[Operation]) -> list[str]:
    """Every header that some route takes, once."""
    told = (_parameter(each) for *_, operation in operations for each in _parameters(operation, "header"))
    return list(dict.fromkeys(told))


def _parameter(parameter: dict[str, Any]) -> str:
    (field,) = fields_in({"properties": {parameter["name"]: parameter["schema"]}})
    meaning = parameter.get("description") or field.description
    default = f", default {field.default}" if field.default else ""
    return f"**{code(field.name)}** *({field.type}{default})*: {meaning}"


def _body(schema: dict[str, Any]) -> str:
    found = _resolved(schema)
    return "\n".join(bullet(field) for field in fields_in(found, lambda name: f"object {code(name)}"))


def _resolved(part: dict[str, Any]) -> dict[str, Any]:
    """What a reference stands for."""
    found: Any = part
    while "$ref" in found:
        target: Any = _document()
        for name in found["$ref"].removeprefix("#/").split("/"):
            target = target[name]
        found = target
    return dict(found)


def _everywhere(operations: list[Operation]) -> set[str]:
    """The statuses that every route answers that needs a token."""
    guarded = [set(operation["responses"]) for method, path, operation in operations if TABLE[method, path]]
    return set.intersection(*guarded)


def _told(operations: list[Operation], statuses: set[str]) -> str:
    """Each status with what most routes say of it."""
    found: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for *_, operation in operations:
        for status, answer in operation["responses"].items():
            found[status][_resolved(answer)["description"]] += 1
    return items(f"**{status}**: {found[status].most_common(1)[0][0]}." for status in sorted(statuses))
