"""Extension attributes: what CloudEvents adds to an event, such as `traceparent`.

The journal keeps them with the command, so that a trace finds it. No decision reads them. They are not part
of a command's fingerprint, because an event that is sent again has another trace and is still the same event.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any

import orjson
from pydantic import AfterValidator

from pointledger.domain.values.json_values import check_scalar

MOST = 64  # of one event: SDKs, brokers and meshes add a dozen
NAME_CHARACTERS = 64  # CloudEvents advises 20
VALUE_CHARACTERS = 8 * 1024  # W3C's bound for `baggage`, the longest value that travels with events
TOTAL_BYTES = 16 * 1024  # of one event's as JSON: as much as metadata may have

_NAME = re.compile(rf"[a-z0-9]{{1,{NAME_CHARACTERS}}}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")  # CloudEvents excludes them, and people read these texts
# W3C Trace Context: version, trace, parent, flags; neither id is all zeros.
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


def check_extensions(extensions: Mapping[Any, Any]) -> None:
    """Raises ValueError, whose text begins with the attribute's name."""
    for place, (name, value) in enumerate(extensions.items(), 1):
        if not (isinstance(name, str) and _NAME.fullmatch(name)):
            shown = str(name).encode("unicode_escape").decode()[:NAME_CHARACTERS]
            raise ValueError(f"{shown}: an attribute's name is 1 to {NAME_CHARACTERS} of a-z and 0-9")
        if place > MOST:
            raise ValueError(f"{name}: one more than {MOST} extension attributes")
        try:
            _check_value(value)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    if extensions and len(orjson.dumps(extensions)) > TOTAL_BYTES:
        longest = max(extensions, key=lambda name: len(str(extensions[name])))
        raise ValueError(f"{longest}: all extension attributes have {TOTAL_BYTES} bytes together at most")


def _check_value(value: object) -> None:
    if not isinstance(value, str | int):  # a truth value is an int
        raise ValueError("an extension attribute is text, an integer, true or false")
    check_scalar(value)
    if isinstance(value, str) and _CONTROL.search(value):
        raise ValueError("control characters are not allowed here")
    if isinstance(value, str) and len(value) > VALUE_CHARACTERS:
        raise ValueError(f"longer than {VALUE_CHARACTERS} characters")


def _checked(value: dict[str, Any]) -> dict[str, Any]:
    check_extensions(value)
    return value


Extensions = Annotated[dict[str, Any], AfterValidator(_checked)]


def traceparent_of(text: str | None) -> str | None:
    """The text, if it is a `traceparent` as W3C Trace Context writes one. Else None: what others hear of an
    event must not carry a producer's free text."""
    return text if text and _TRACEPARENT.fullmatch(text) else None
