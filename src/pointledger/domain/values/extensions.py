"""Validates the extension attributes of CloudEvents, such as `traceparent`.

The journal stores them with the command, so that a trace leads to it. No decision reads them. They are not
part of a command's fingerprint, because a resent event has a new trace and is still the same event.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any

import orjson
from pydantic import AfterValidator

from pointledger.domain.values.json_values import check_scalar

MAX_ATTRIBUTES = 64  # per event: SDKs, brokers and meshes add a dozen
NAME_CHARACTERS = 64  # CloudEvents advises 20
VALUE_CHARACTERS = 8 * 1024  # W3C's limit for `baggage`, the longest value that events carry
TOTAL_BYTES = 16 * 1024  # all attributes of one event as JSON: the same limit as for metadata

_NAME = re.compile(rf"[a-z0-9]{{1,{NAME_CHARACTERS}}}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")  # CloudEvents forbids them, and operators read these texts
# W3C Trace Context: version, trace, parent, flags; neither id is all zeros.
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


def check_extensions(extensions: Mapping[Any, Any]) -> None:
    """Raise ValueError for an invalid attribute. The message starts with its name."""
    for place, (name, value) in enumerate(extensions.items(), 1):
        if not (isinstance(name, str) and _NAME.fullmatch(name)):
            shown = str(name).encode("unicode_escape").decode()[:NAME_CHARACTERS]
            raise ValueError(
                f"{shown}: an attribute's name has 1 to {NAME_CHARACTERS} characters of a-z and 0-9"
            )
        if place > MAX_ATTRIBUTES:
            raise ValueError(f"{name}: an event has at most {MAX_ATTRIBUTES} extension attributes")
        try:
            _check_value(value)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    if extensions and len(orjson.dumps(extensions)) > TOTAL_BYTES:
        longest = max(extensions, key=lambda name: len(str(extensions[name])))
        raise ValueError(f"{longest}: all extension attributes together have at most {TOTAL_BYTES} bytes")


def _check_value(value: object) -> None:
    if not isinstance(value, str | int):  # bool is an int
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
    """Return the text if it is a `traceparent` of W3C Trace Context, else None.

    Outgoing events must not carry a producer's free text.
    """
    return text if text and _TRACEPARENT.fullmatch(text) else None
