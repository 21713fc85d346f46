"""Builds and reads addresses of pages.

Ids of tenants and users may have any character, also a slash. A browser shortens the segments `.` and `..`,
and `-` begins the console's own paths, so an id like these gets a tilde before it, as one with a tilde does.
"""

import re
from collections.abc import Mapping
from urllib.parse import quote, urlencode

ROOT = "/console"
OWN = "-"  # the segment before login, static files and other paths that belong to no tenant
MOST_BACK = 2_000  # bytes of the page to which a login returns, because a cookie holds 4,096
_ESCAPED = (".", "..", OWN)
_INSIDE = re.compile(r"/console(?:[/?][!-\[\]-~]*)?")  # printable ASCII without a backslash


def segment(text: str) -> str:
    """Return an id as a segment of a path."""
    return quote(f"~{text}" if text in _ESCAPED or text.startswith("~") else text, safe="")


def text_of(segment_text: str) -> str:
    """Return the id of a decoded segment."""
    return segment_text.removeprefix("~")


def address(*segments: str, query: Mapping[str, str | None] | None = None) -> str:
    """Return the address of a page below `/console`. Parameters that are None or empty are left out."""
    path = "/".join((ROOT, *map(segment, segments)))
    given = {name: value for name, value in (query or {}).items() if value}
    return f"{path}?{urlencode(given)}" if given else path


def own(path: str, **query: str) -> str:
    """Return one of the console's own addresses, like `own("login")`."""
    found = f"{ROOT}/{OWN}/{path}"
    return f"{found}?{urlencode(query)}" if query else found


def is_page(url: str) -> bool:
    """Return whether this is the address of a page of the console, so that it is safe to go there."""
    return bool(_INSIDE.fullmatch(url)) and not url.startswith(f"{ROOT}/{OWN}/")
