"""Writes a history as code for a test."""

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime
from typing import Any

from tests.model.histories import History

_WIDTH = 110


def as_code(history: History) -> str:
    """Return an expression that makes the history, with the names of `tests.model.histories`."""
    return _code(history, 0)


def _code(value: Any, indent: int) -> str:
    flat = _flat(value)
    if len(flat) + indent <= _WIDTH or not _parts(value):
        return flat
    opening, closing = _brackets(value)
    inner = " " * (indent + 4)
    lines = [f"{inner}{name}{_code(part, indent + 4 + len(name))}," for name, part in _parts(value)]
    return "\n".join([opening, *lines, " " * indent + closing])


def _flat(value: Any) -> str:
    if isinstance(value, datetime):
        return f'at("{value.replace(tzinfo=None).isoformat()}")'
    if isinstance(value, str):
        return '"' + value.replace('"', '\\"') + '"'
    if not isinstance(value, Mapping | list | tuple) and not is_dataclass(value):
        return repr(value)
    opening, closing = _brackets(value)
    inside = ", ".join(f"{name}{_flat(part)}" for name, part in _parts(value))
    return f"{opening}{inside}{',' if isinstance(value, tuple) and len(value) == 1 else ''}{closing}"


def _brackets(value: Any) -> tuple[str, str]:
    if is_dataclass(value):
        return f"{type(value).__name__}(", ")"
    return ("{", "}") if isinstance(value, Mapping) else ("[", "]") if isinstance(value, list) else ("(", ")")


def _parts(value: Any) -> list[tuple[str, Any]]:
    """Return each part with its prefix."""
    if is_dataclass(value):
        return list(_set_fields(value))
    if isinstance(value, Mapping):
        return [(f'"{name}": ', part) for name, part in value.items()]
    return [("", part) for part in value] if isinstance(value, list | tuple) else []


def _set_fields(value: Any) -> Iterator[tuple[str, Any]]:
    for each in fields(value):
        part = getattr(value, each.name)
        if part != each.default and part not in ({}, ()):
            yield f"{each.name}=", part
