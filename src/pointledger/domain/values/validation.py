"""Describes validation errors without quoting the input."""

from collections.abc import Callable
from typing import NamedTuple

from pydantic import ValidationError

_MAX_ERRORS = 10  # per message: a thousand wrong fields need no thousand lines
_PATH_CHARACTERS = 100
_OF_A_CHECK = "Value error, "  # pydantic puts it before the messages of the models' own checks


class Fault(NamedTuple):
    """What is wrong with a field."""

    path: str
    """The field, with dots between the names of nested ones. `body` is the whole."""
    message: str


def faults_of(error: ValidationError, name_of: Callable[[str], str] = str) -> tuple[Fault, ...]:
    """Return each of pydantic's errors, as people read it, without the input."""
    errors = error.errors(include_url=False, include_input=False, include_context=False)
    return tuple(Fault(_path(each["loc"], name_of), each["msg"].removeprefix(_OF_A_CHECK)) for each in errors)


def describe(error: ValidationError, name_of: Callable[[str], str] = str) -> str:
    """Format pydantic's errors as `field: rule`, without the input, because it may be personal data.

    `name_of` maps a field's name to the sender's name for it.
    """
    errors = error.errors(include_url=False, include_input=False, include_context=False)
    lines = [f"{_path(each['loc'], name_of)}: {each['msg']}" for each in errors[:_MAX_ERRORS]]
    if len(errors) > _MAX_ERRORS:
        lines.append(f"and {len(errors) - _MAX_ERRORS} more")
    return "; ".join(lines)


def _path(parts: tuple[int | str, ...], name_of: Callable[[str], str]) -> str:
    """Name the field, escaped and cut because the sender chooses the names of unknown fields."""
    first, *others = parts or ("body",)
    path = ".".join((name_of(str(first)), *map(str, others)))
    return path.encode("unicode_escape").decode()[:_PATH_CHARACTERS]
