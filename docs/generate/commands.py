"""commands.md: every kind of command, its fields, refusals and cases."""

from collections.abc import Iterator

from pydantic import BaseModel

from docs.generate.decisions import reasons_of
from docs.generate.fields import bullet, fields_of
from docs.generate.markdown import anchor, code, codes, heading, items, link, page, paragraphs, wrapped
from docs.generate.models import models_in
from docs.generate.prose_files import sections
from pointledger.api.auth.permissions import TABLE
from pointledger.domain.commands import KINDS, AnyCommand, Command
from pointledger.domain.events.celery_messages import task_name

_EVERY = "every command"
_INTRO = """
A command asks the ledger to change an account. The same fields serve Python, the command line, Celery,
incoming events and the HTTP API. Each section lists the fields, what may be refused, and cases that the
fields alone do not settle.

Fields that are optional and have no default may be left out or `null`. A field that is not listed is an
error, and so is a value out of bounds: such a command is never accepted."""

_TYPES = (
    "**id**: a ULID or a UUID, as text.",
    "**name**: 1 to 255 characters. Control characters are refused, and so are Unicode's that break a line, "
    "turn the direction of text or have no width.",
    "**key**: 1 to 255 printable ASCII characters.",
    "**moment**: ISO 8601 with an offset, like `2026-03-01T10:00:00Z`, from the year 1900 to 9000. In Python "
    "an aware `datetime`.",
    "**text**: without NUL, which Postgres cannot store.",
)


def commands_page() -> str:
    """The whole page."""
    cases = sections("commands.md", {_EVERY, *KINDS})
    return page(
        "Commands",
        paragraphs(_INTRO),
        heading(2, "Kinds"),
        items(f"{link(code(kind), '#' + anchor(kind))}: {_summary(model)}" for kind, model in KINDS.items()),
        heading(2, "Types of fields"),
        items(_TYPES),
        heading(2, _EVERY.capitalize()),
        "These fields come with every kind:",
        _fields(Command),
        heading(3, f"{_EVERY.capitalize()} in detail"),
        cases[_EVERY],
        *(part for kind, model in KINDS.items() for part in _command(kind, model, cases.get(kind, ""))),
        *(part for part in _parts()),
    )


def _command(kind: str, model: type[AnyCommand], cases: str) -> Iterator[str]:
    yield heading(2, kind)
    yield paragraphs(model.__doc__ or "")
    yield _doors(kind, model)
    yield _fields(model, without=Command)
    reasons = reasons_of(model)
    refusals = ", ".join(link(code(each), f"refusals.md#{anchor(each)}") for each in reasons)
    yield wrapped(f"May be refused with {refusals}.")
    if cases:
        yield heading(3, f"{kind} in detail")
        yield cases


def _doors(kind: str, model: type[AnyCommand]) -> str:
    """How each entry point calls it."""
    routes = [f"{method} {path}" for (method, path), need in TABLE.items() if need and need.kind == kind]
    doors = [
        f"Python: {link(code(model.__name__), 'python/commands.md')}",
        f"Celery: {code(task_name(kind))}",
    ]
    if routes:
        doors.append(f"HTTP: {codes(routes)}")
    return wrapped(". ".join(doors) + ".")


def _fields(model: type[BaseModel], without: type[BaseModel] | None = None) -> str:
    known = without.model_fields if without else {}
    found = [field for field in fields_of(model, _part) if field.name not in known]
    return "\n".join(bullet(field) for field in found)


def _parts() -> Iterator[str]:
    """The models that fields consist of."""
    for model in models_in(*KINDS.values()):
        yield heading(2, model.__name__)
        yield paragraphs(model.__doc__ or "")
        yield _fields(model)


def _part(name: str) -> str:
    return link(code(name), f"#{anchor(name)}")


def _summary(model: type[BaseModel]) -> str:
    """The first sentence of its docstring."""
    text = " ".join((model.__doc__ or "").split())
    return text.partition(". ")[0].rstrip(".") + "."
