"""Compares JSON documents field by field: versions of a rule or a configuration, states before and after."""

from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

_DERIVED = "former_zones"  # of a configuration whose time zone changed
Change = Literal["same", "changed", "added", "removed"]


class Difference(NamedTuple):
    """A field of two documents, each side as text. None: the document does not have it."""

    path: str
    before: str | None
    after: str | None

    @property
    def change(self) -> Change:
        """What became of the field."""
        if self.before == self.after:
            return "same"
        if self.before is None:
            return "added"
        return "removed" if self.after is None else "changed"


def compare(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> list[Difference]:
    """Return each field that either document has, in the order of the documents."""
    old, new = dict(_leaves("", before or {})), dict(_leaves("", after or {}))
    return [Difference(path, old.get(path), new.get(path)) for path in (old | new)]


def changes(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> list[Difference]:
    """Return only the fields that differ."""
    return [each for each in compare(before, after) if each.change != "same"]


def essential_changes(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> list[Difference]:
    """Return the fields that differ, without those that the ledger derives from the others."""
    return [each for each in changes(before, after) if not each.path.startswith(_DERIVED)]


def _leaves(path: str, value: Any) -> Iterator[tuple[str, str]]:
    """Yield the fields that have a value. A list of plain values is one field."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _leaves(f"{path}.{name}" if path else str(name), inner)
    elif isinstance(value, list) and any(isinstance(each, Mapping) for each in value):
        for place, inner in enumerate(value):
            yield from _leaves(f"{path}.{place}", inner)
    elif value is not None and value != []:
        yield path, _text(value)


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
