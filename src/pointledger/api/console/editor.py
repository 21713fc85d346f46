"""Changes a JSON document of a tenant's program, a rule or the configuration, in these steps:

| step   | request                                                                                          |
| ------ | ------------------------------------------------------------------------------------------------ |
| edit   | GET: the form or the JSON, filled in. POST with `to`: the other one of the two, with what it has |
| check  | POST while a person types: what is wrong, at each field, and what would change                   |
| review | POST with `to=review`, or GET with an easy change: the versions side by side. Nothing has changed |
| save   | POST with the document, the version that was changed, and a reason                               |

A change counts for the version that the person has seen: if another was saved meanwhile, it is refused.
The same form sent twice finds its own version and changes nothing.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from json import JSONDecodeError
from typing import Any

import orjson
from starlette.responses import HTMLResponse, Response

from pointledger.api.console import problems
from pointledger.api.console.actions import reason_error
from pointledger.api.console.documents import changes, compare
from pointledger.api.console.forms import Document, Form, Read, name_of, read, texts_of
from pointledger.api.console.visit import Visit
from pointledger.api.schemas.envelope import Problem
from pointledger.domain.values.json_values import read_json
from pointledger.errors import InvalidRule, InvalidTenant, ProgramChanged

MOST_JSON = 64 * 1024  # bytes, as in a body of the HTTP API
_SPARE_ROWS = 2  # empty ones of a table; the next check adds more
_CONFLICT = 409
_PATH = re.compile(r"[a-z_.]+")
_MEANWHILE = (
    "Another version was saved after you had opened this one, so nothing was changed. Yours is still here: "
    "look at how it differs from the latest, and review it again."
)


@dataclass(frozen=True, slots=True)
class Subject:
    """What is edited. `version` is its latest one, and `current` how that is; 0 and None: it is new."""

    title: str
    about: str
    page: tuple[str, ...]
    """The address below which it is edited, checked and saved."""
    back: tuple[str, ...]
    """The address of the page that leads here."""
    form: Form
    current: Document | None
    version: int
    check: Callable[[Document], Document]
    """Returns a document as it would be saved. Raises InvalidRule and InvalidTenant."""
    blank: Document = field(default_factory=dict)
    """What the form of a new one has."""
    marked: str = ""
    """The place in the navigation."""


@dataclass(frozen=True, slots=True)
class Draft:
    """What a person has filled in: the inputs, the document that they mean, and what is wrong with it."""

    as_json: bool
    texts: Mapping[str, str]
    json: str
    document: Document | None = None
    """As it would be saved. None if something is wrong."""
    faults: tuple[tuple[str, str], ...] = ()
    errors: Mapping[str, str] = field(default_factory=dict)
    """What is wrong, by the name of the input."""


def edit(visit: Visit, subject: Subject) -> Response:
    """Show the form, or with `as=json` the JSON. A session that ended in between has left what was typed."""
    if visit.query("json") or any(visit.query(each.path) for each in subject.form.fields()):
        texts = dict(visit.request.query_params)
        return _page(visit, subject, _draft(subject, texts), visit.query("version") or None)
    document = subject.current if subject.current is not None else subject.blank
    as_json = visit.query("as") == "json"
    draft = Draft(as_json, texts_of(subject.form, document), pretty(document), subject.current)
    return _page(visit, subject, draft)


def submit(visit: Visit, subject: Subject) -> Response:
    """Go on from the form: to the JSON, to the form, to a check of it, or to the review."""
    draft, to = _draft(subject, visit.form), visit.form.get("to", "review")
    version = visit.form.get("version")
    if to == "json":
        return _page(visit, subject, _as_json(draft), version)
    if to == "form" and draft.document is not None:
        texts = texts_of(subject.form, draft.document)
        return _page(visit, subject, _with(draft, as_json=False, texts=texts), version)
    if version not in (None, str(subject.version)):
        return _conflict(visit, subject, draft, _MEANWHILE)
    if to != "review" or draft.document is None:
        return _page(visit, subject, draft, version, status=200 if draft.document else 422)
    return review(visit, subject, draft.document, version=version)


def check(visit: Visit, subject: Subject) -> Response:
    """Return the part that says what is wrong, and what would change."""
    shown = _shown(subject, _draft(subject, visit.form))
    return HTMLResponse(visit.part("editor_check.html", **shown, live=True))


def review(
    visit: Visit,
    subject: Subject,
    document: Document,
    *,
    version: str | None = None,
    reason: str = "",
    wrong: str = "",
    status: int = 200,
) -> Response:
    """Show the versions side by side, and ask for the reason."""
    return visit.page(
        "review.html",
        status,
        subject=subject,
        fields=compare(subject.current, document),
        changed=changes(subject.current, document),
        json=pretty(document),
        version=version if version is not None else str(subject.version),
        reason=reason,
        wrong=wrong,
        page=visit.url(*subject.back),
        edit=visit.url(*subject.page, "edit"),
        save=visit.url(*subject.page, "save"),
        current=subject.marked,
    )


def save(visit: Visit, subject: Subject, store: Callable[[Document, str, int], str]) -> Response:
    """Save the document with `store`, which gets its reason and version, and returns the page to see then."""
    reason, version = visit.form.get("reason", "").strip(), _version(visit.form.get("version", ""))
    draft = _draft(subject, {"json": visit.form.get("json", "")})
    if draft.document is None:
        return _page(visit, subject, draft, str(version), status=422)
    if wrong := reason_error(reason):
        return review(
            visit, subject, draft.document, version=str(version), reason=reason, wrong=wrong, status=422
        )
    try:
        return visit.redirect(store(draft.document, reason, version))
    except (InvalidRule, InvalidTenant) as error:
        return _page(visit, subject, _with(draft, document=None, faults=_faults(error)), status=422)
    except (ProgramChanged, Problem) as error:
        if isinstance(error, Problem) and error.status != _CONFLICT:
            raise problems.not_found("There is no rule with this id.") from None
        return _conflict(visit, subject, draft, error.message if isinstance(error, Problem) else _MEANWHILE)


def _conflict(visit: Visit, subject: Subject, draft: Draft, text: str) -> Response:
    """Show what was sent again, now as a change of the latest version."""
    return _page(visit, subject, draft, status=_CONFLICT, notice=text)


def pretty(document: Mapping[str, Any]) -> str:
    """Return a document as JSON for people."""
    return orjson.dumps(document, option=orjson.OPT_INDENT_2, default=str).decode()


def _version(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 9):  # noqa: PLR2004  below 2^31
        raise problems.problem(400, "version: a number is missing. Open the form anew.")
    return int(text)


def _draft(subject: Subject, texts: Mapping[str, str]) -> Draft:
    """Read what was sent: the JSON if there is one, else the form."""
    if "json" in texts:
        return _draft_of_json(subject, texts["json"])
    found = read(subject.form, texts)
    draft = _checked(subject, Draft(False, texts, pretty(found.document)), found.document, found)
    if not found.errors:
        return draft
    # What is no value at all comes first. What its absence causes says nothing more.
    others = [each for each in draft.faults if name_of(subject.form, each[0], found.rows) not in found.errors]
    errors = dict(draft.errors) | found.errors
    return _with(draft, document=None, faults=(*found.errors.items(), *others), errors=errors)


def _draft_of_json(subject: Subject, text: str) -> Draft:
    draft = Draft(True, {}, text)
    try:
        document = _parsed(text)
    except ValueError as error:
        return _with(draft, faults=(("JSON", str(error)),))
    return _checked(subject, draft, document, Read(document))


def _parsed(text: str) -> Document:
    """Parse the JSON. Raises ValueError with a message for people."""
    if len(text.encode()) > MOST_JSON:
        raise ValueError(f"at most {MOST_JSON // 1024} KiB")
    try:
        found = read_json(text, decimals=True)
    except JSONDecodeError as error:
        raise ValueError(f"line {error.lineno}, column {error.colno}: {error.msg}") from None
    except ArithmeticError:
        raise ValueError("a number is out of range") from None
    if not isinstance(found, dict):
        raise ValueError("one object is expected, in braces")
    return found


def _checked(subject: Subject, draft: Draft, document: Document, found: Read) -> Draft:
    try:
        return _with(draft, document=subject.check(document))
    except (InvalidRule, InvalidTenant) as error:
        faults = _faults(error)
    errors: dict[str, str] = {}
    for path, message in () if draft.as_json else faults:
        if name := name_of(subject.form, path, found.rows):
            errors.setdefault(name, message)
    return _with(draft, faults=faults, errors=errors)


def _faults(error: InvalidRule | InvalidTenant) -> tuple[tuple[str, str], ...]:
    if error.faults:
        return error.faults
    path, _, message = str(error.args[0]).partition(": ")
    return ((path, message),) if _PATH.fullmatch(path) else (("", str(error.args[0])),)


def _as_json(draft: Draft) -> Draft:
    return _with(draft, as_json=True, json=pretty(draft.document) if draft.document else draft.json)


def _with(draft: Draft, **changed: Any) -> Draft:
    fields = ("as_json", "texts", "json", "document", "faults", "errors")
    return Draft(**({name: getattr(draft, name) for name in fields} | changed))


def _shown(subject: Subject, draft: Draft) -> dict[str, Any]:
    changed = changes(subject.current, draft.document) if draft.document is not None else []
    return {"subject": subject, "draft": draft, "changed": changed, "rows": _rows(subject, draft)}


def _rows(subject: Subject, draft: Draft) -> int:
    """Return how many rows the table shows: those that are filled in, and some more."""
    table = subject.form.table
    if table is None:
        return 0
    filled = [
        row for row in range(table.most) if draft.texts.get(f"{table.path}.{row}.{table.key}", "").strip()
    ]
    return min(max(filled, default=-1) + 1 + _SPARE_ROWS, table.most)


def _page(
    visit: Visit,
    subject: Subject,
    draft: Draft,
    version: str | None = None,
    *,
    status: int = 200,
    notice: str = "",
) -> Response:
    return visit.page(
        "editor.html",
        status,
        **_shown(subject, draft),
        version=version if version is not None else str(subject.version),
        notice=notice,
        page=visit.url(*subject.back),
        edit=visit.url(*subject.page, "edit"),
        check=visit.url(*subject.page, "check"),
        live=False,
        current=subject.marked,
    )
