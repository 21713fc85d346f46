"""Keeps a path's segments apart: an id may contain a slash, which a URL writes as %2F.

A server decodes the whole path before the router splits it, so a slash in an id would become a border of
segments. Here the router gets a path in which slashes and percent signs of a segment stay encoded, and the
parameter decodes them.
"""

import re
from urllib.parse import unquote

_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")


def path_for_routing(raw_path: bytes) -> str:
    """Decode the path of a request, except for slashes and percent signs in its segments.

    Raises ValueError unless it is percent-encoded UTF-8.
    """
    raw = raw_path.decode("ascii")
    if _ESCAPE.search(raw):
        raise ValueError("a % is not followed by two hexadecimal digits")
    return "/".join(
        unquote(segment, errors="strict").replace("%", "%25").replace("/", "%2F")
        for segment in raw.split("/")
    )


def segment_text(segment: str) -> str:
    """Return the text that a segment of `path_for_routing` stands for."""
    return segment.replace("%2F", "/").replace("%25", "%")
