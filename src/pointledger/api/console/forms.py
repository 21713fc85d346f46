"""Forms for JSON documents: a field for each path, read into a document and filled in from one.

A text that is no number stays a text, so the check of the document says what is wrong with it, as the HTTP
API does. Fields that are empty are left out.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel

Kind = Literal["text", "area", "whole", "choice", "flag", "local", "list", "set", "numbers", "lines"]
Document = dict[str, Any]

EVERYTHING = "all"  # of a set: instead of a list, also what comes later
_WHOLE = re.compile(r"[+-]?[0-9]{1,19}")
_MINUTE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d")
_LINE = re.compile(r"\s*([+-]?[0-9]{1,19})\s*[=:]\s*([+-]?[0-9]{1,19})\s*")


@dataclass(frozen=True, slots=True)
class FormField:
    """A field of a form. `path` is where its value belongs in the document, and the name of its input.

    | kind    | value                                                     |
    | ------- | --------------------------------------------------------- |
    | text    | a text of one line                                        |
    | area    | a text of several lines                                   |
    | whole   | an integer                                                |
    | choice  | one of the choices                                        |
    | flag    | true or false                                             |
    | local   | a local time, like 2027-01-31T18:00:00                    |
    | list    | texts, written with commas                                |
    | set     | texts of the choices, each with a box                     |
    | numbers | integers of the choices, each with a box                  |
    | lines   | brackets of a table, written in lines like `1000 = 5`     |
    """

    path: str
    label: str
    kind: Kind
    help: str = ""
    choices: tuple[tuple[str, str], ...] = ()
    only: str = ""
    """The values of the choice above it for which the field counts, with spaces. Always, if empty."""
    fixed: bool = False
    """Whether a saved document keeps it for good."""

    @property
    def id(self) -> str:
        """The id of its input."""
        return "f-" + self.path.replace(".", "-").replace("_", "-")

    def boxes(self) -> list[tuple[str, str]]:
        """The name and the label of each box of a set."""
        return [(f"{self.path}.{value}", words) for value, words in self.choices]


@dataclass(frozen=True, slots=True)
class Group:
    """Fields under one heading."""

    title: str
    fields: tuple[FormField, ...]


class Table(NamedTuple):
    """A list of objects, in rows. A row counts if its field `key` is filled in."""

    path: str
    key: str
    fields: tuple[FormField, ...]
    most: int


@dataclass(frozen=True, slots=True)
class Form:
    """The form of a document. `switches` are choices whose value decides which other fields count."""

    groups: tuple[Group, ...]
    switches: tuple[str, ...] = ()
    table: Table | None = None

    def fields(self) -> Iterator[FormField]:
        """Yield the fields, without those of the table."""
        for group in self.groups:
            yield from group.fields


@dataclass(frozen=True, slots=True)
class Read:
    """What a form says. `errors` has what is no value at all, by the name of the input."""

    document: Document
    errors: dict[str, str] = field(default_factory=dict)
    rows: tuple[int, ...] = ()
    """Of each object of the table: its row."""


def read(form: Form, texts: Mapping[str, str]) -> Read:
    """Read a form's inputs into a document."""
    found = Read({})
    for each in form.fields():
        if _counts(form, each, texts):
            _put(found, each, each.path, texts)
    if form.table is None:
        return found
    objects, rows = [], []
    for row in range(form.table.most):
        if not texts.get(f"{form.table.path}.{row}.{form.table.key}", "").strip():
            continue
        inner = Read({}, found.errors)
        for each in form.table.fields:
            name = f"{form.table.path}.{row}.{each.path}"
            if (value := _value(each, name, texts, found.errors)) is not None:
                inner.document[each.path] = value
        objects.append(inner.document)
        rows.append(row)
    if objects:
        found.document[form.table.path] = objects
    return Read(found.document, found.errors, tuple(rows))


def _counts(form: Form, each: FormField, texts: Mapping[str, str]) -> bool:
    if not each.only:
        return True
    switch = next(name for name in form.switches if each.path.startswith(name.rpartition(".")[0]))
    return texts.get(switch, "") in each.only.split()


def _put(found: Read, each: FormField, name: str, texts: Mapping[str, str]) -> None:
    value = _value(each, name, texts, found.errors)
    if value is None:
        return
    *parents, last = each.path.split(".")
    place = found.document
    for parent in parents:
        place = place.setdefault(parent, {})
    place[last] = value


def _value(each: FormField, name: str, texts: Mapping[str, str], errors: dict[str, str]) -> Any:
    """Return the value of an input, or None if it is empty."""
    text = texts.get(name, "").strip()
    match each.kind:
        case "flag":
            return bool(text)
        case "set" | "numbers":
            chosen = [value for value, _ in each.choices if texts.get(f"{name}.{value}")]
            if EVERYTHING in chosen:
                return EVERYTHING
            return (list(map(int, chosen)) if each.kind == "numbers" else chosen) or None
        case _ if not text:
            return None
        case "whole":
            return int(text) if _WHOLE.fullmatch(text) else text
        case "local":
            return f"{text}:00" if _MINUTE.fullmatch(text) else text
        case "list":
            return [part.strip() for part in text.split(",") if part.strip()]
        case "lines":
            return _brackets(name, text, errors)
        case _:
            return text


def _brackets(name: str, text: str, errors: dict[str, str]) -> list[dict[str, int]]:
    found = []
    for number, line in enumerate(filter(str.strip, text.splitlines()), 1):
        parts = _LINE.fullmatch(line)
        if parts is None:
            errors[name] = f"line {number}: write each bracket like 1000 = 5"
            return []
        found.append({"from": int(parts[1]), "points": int(parts[2])})
    return found


def texts_of(form: Form, document: Mapping[str, Any]) -> dict[str, str]:
    """Fill the form in from a document."""
    texts: dict[str, str] = {}
    for each in form.fields():
        value: Any = document
        for part in each.path.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        _fill(texts, each, each.path, value)
    if form.table is not None:
        for row, inner in enumerate(document.get(form.table.path) or ()):
            for each in form.table.fields:
                _fill(texts, each, f"{form.table.path}.{row}.{each.path}", inner.get(each.path))
    return texts


def _fill(texts: dict[str, str], each: FormField, name: str, value: Any) -> None:
    if value is None:
        return
    match each.kind:
        case "flag":
            texts.update({name: "yes"} if value else {})
        case "set" | "numbers":
            chosen = [EVERYTHING] if value == EVERYTHING else map(str, value)
            texts.update({f"{name}.{choice}": "yes" for choice in chosen})
        case "list":
            texts[name] = ", ".join(map(str, value))
        case "lines":
            texts[name] = "\n".join(f"{bracket['from']} = {bracket['points']}" for bracket in value)
        case _:
            texts[name] = str(value)


def name_of(form: Form, path: str, rows: tuple[int, ...]) -> str | None:
    """Return the name of the input that a fault's path means, or None if it means several or none."""
    for switch in form.switches:
        parent = switch.rpartition(".")[0]
        if path.startswith(f"{parent}."):  # a union's path also has the kind that was chosen
            kind, _, rest = path.removeprefix(f"{parent}.").partition(".")
            path = f"{parent}.{rest}" if rest and kind in _choices(form, switch) else path
    parts = path.split(".")
    if form.table is not None and parts[0] == form.table.path:
        return _name_in_row(parts, rows)
    names = {each.path for each in form.fields()}
    while parts:
        if ".".join(parts) in names:
            return ".".join(parts)
        parts.pop()
    return None


def _name_in_row(parts: list[str], rows: tuple[int, ...]) -> str | None:
    """Return the name of the input of a path like `limits.0.max`. Senders choose names of unknown fields."""
    path, place, field = (*parts, "", "")[:3]
    if not (field and place.isdecimal() and int(place) < len(rows)):
        return None
    return f"{path}.{rows[int(place)]}.{field}"


def _choices(form: Form, name: str) -> set[str]:
    return {value for each in form.fields() if each.path == name for value, _ in each.choices}


def about(model: type[BaseModel], name: str) -> str:
    """Return a model's own words about a field, for the form's help."""
    return (model.model_fields[name].description or "").replace("`", "")
