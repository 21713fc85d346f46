"""Compares what a page shows with what was printed.

`...` matches anything: in a line, as a line, as a field of an object, in a list or inside a text.
"""

import difflib
import re
from typing import Any

_ANYTHING = "..."


def text_difference(shown: str, printed: str) -> str | None:
    """Return the difference between two texts, or None. The width of table columns does not count."""
    expected, lines = _lines(shown), _lines(printed)
    if re.fullmatch(r"\n".join(map(_pattern, expected)), "\n".join(lines)):
        return None
    return "\n".join(difflib.ndiff(expected, lines))


def _lines(text: str) -> list[str]:
    return [re.sub(r" {2,}", "  ", line.rstrip()) for line in text.rstrip().splitlines()]


def _pattern(line: str) -> str:
    if line.strip() == _ANYTHING:
        return r"(?:.*\n)*.*"
    return ".*".join(re.escape(part) for part in line.split(_ANYTHING))


def json_difference(shown: Any, given: Any, place: str = "$") -> str | None:
    """Return the first difference between two JSON values, or None."""
    if isinstance(shown, str) and _ANYTHING in shown:
        found = re.fullmatch(_pattern(shown), str(given), re.DOTALL)
        return None if shown == _ANYTHING or found else _difference(place, shown, given)
    if isinstance(shown, dict) and isinstance(given, dict):
        return _object_difference(shown, given, place)
    if isinstance(shown, list) and isinstance(given, list):
        return _list_difference(shown, given, place)
    same = type(shown) is type(given) and shown == given
    return None if same else _difference(place, shown, given)


def _object_difference(shown: dict[str, Any], given: dict[str, Any], place: str) -> str | None:
    names = set(shown) - {_ANYTHING}
    if names - set(given) or (_ANYTHING not in shown and set(given) - names):
        return _difference(f"{place} (fields)", sorted(names), sorted(given))
    return next(
        filter(None, (json_difference(shown[name], given[name], f"{place}.{name}") for name in names)), None
    )


def _list_difference(shown: list[Any], given: list[Any], place: str) -> str | None:
    first = [each for each in shown if each != _ANYTHING]
    if len(given) < len(first) or (len(first) == len(shown) and len(given) > len(first)):
        return _difference(f"{place} (length)", len(first), len(given))
    pairs = zip(first, given, strict=False)
    return next(
        filter(
            None, (json_difference(one, other, f"{place}[{at}]") for at, (one, other) in enumerate(pairs))
        ),
        None,
    )


def _difference(place: str, shown: Any, given: Any) -> str:
    return f"{place}: the page shows {shown!r}, the result is {given!r}"
