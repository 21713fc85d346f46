"""What a page shows, beside what was printed. `...` stands for anything: in a line, as a line, as a field of
an object ("and others"), in a list ("and so on") or inside a text."""

import difflib
import re
from typing import Any

_ANYTHING = "..."


def same_text(shown: str, printed: str) -> str | None:
    """What differs, or None. How wide a table's columns are does not count."""
    wanted, lines = _lines(shown), _lines(printed)
    if re.fullmatch(r"\n".join(map(_pattern, wanted)), "\n".join(lines)):
        return None
    return "\n".join(difflib.ndiff(wanted, lines))


def _lines(text: str) -> list[str]:
    return [re.sub(r" {2,}", "  ", line.rstrip()) for line in text.rstrip().splitlines()]


def _pattern(line: str) -> str:
    if line.strip() == _ANYTHING:
        return r"(?:.*\n)*.*"
    return ".*".join(re.escape(part) for part in line.split(_ANYTHING))


def same_json(shown: Any, given: Any, place: str = "$") -> str | None:
    """Where they differ first, or None."""
    if isinstance(shown, str) and _ANYTHING in shown:
        found = re.fullmatch(_pattern(shown), str(given), re.DOTALL)
        return None if shown == _ANYTHING or found else _told(place, shown, given)
    if isinstance(shown, dict) and isinstance(given, dict):
        return _same_objects(shown, given, place)
    if isinstance(shown, list) and isinstance(given, list):
        return _same_lists(shown, given, place)
    same = type(shown) is type(given) and shown == given
    return None if same else _told(place, shown, given)


def _same_objects(shown: dict[str, Any], given: dict[str, Any], place: str) -> str | None:
    names = set(shown) - {_ANYTHING}
    if names - set(given) or (_ANYTHING not in shown and set(given) - names):
        return _told(f"{place} (fields)", sorted(names), sorted(given))
    return next(
        filter(None, (same_json(shown[name], given[name], f"{place}.{name}") for name in names)), None
    )


def _same_lists(shown: list[Any], given: list[Any], place: str) -> str | None:
    first = [each for each in shown if each != _ANYTHING]
    if len(given) < len(first) or (len(first) == len(shown) and len(given) > len(first)):
        return _told(f"{place} (length)", len(first), len(given))
    pairs = zip(first, given, strict=False)
    return next(
        filter(None, (same_json(one, other, f"{place}[{at}]") for at, (one, other) in enumerate(pairs))), None
    )


def _told(place: str, shown: Any, given: Any) -> str:
    return f"{place}: the page shows {shown!r}, it is {given!r}"
