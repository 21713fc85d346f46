"""Reads, checks and writes JSON that is bounded, exact and storable."""

import json
import math
from collections import Counter
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any
from uuid import UUID

import orjson
from pydantic import AfterValidator, ValidationInfo

from pointledger.ids import show_id

METADATA_BYTES = 16 * 1024  # an event's facts, not its documents
METADATA_DEPTH = 8
_INTEGER_CHARACTERS = 100  # longer ones cost time to parse, and no field is as large
_NAME_CHARACTERS = 100  # of a field's name in an error message
CHECKED_BEFORE = object()  # validation context for values that the database has stored
_NESTED = (dict, list)
_INT64 = 1 << 63  # Postgres and every other reader of the JSON represent smaller integers exactly


def _check(value: dict[str, Any] | list[Any], depth: int) -> None:
    if depth > METADATA_DEPTH:
        raise ValueError(f"nested deeper than {METADATA_DEPTH} levels")
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                raise ValueError("keys are text")
            check_scalar(key)
    for inner in value.values() if isinstance(value, dict) else value:
        # Scalars first: most events have nothing else, and each command is checked twice.
        if isinstance(inner, _NESTED):
            _check(inner, depth + 1)
        else:
            check_scalar(inner)


def check_scalar(value: object) -> None:
    """Raise ValueError unless every JSON reader represents the value exactly."""
    if isinstance(value, str):
        if "\x00" in value:
            raise ValueError("text must not contain NUL, which Postgres cannot store")
        if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
            raise ValueError("text must not contain lone surrogates")
        return
    if value is None or isinstance(value, bool):
        return
    if isinstance(value, int):
        if not -_INT64 <= value < _INT64:
            raise ValueError("integers must fit 64 bits")
        return
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError("NaN and Infinity are not JSON")
        return
    raise ValueError(f"{type(value).__name__} is not a JSON type")


def check_metadata(value: dict[str, Any]) -> None:
    """Raise ValueError for metadata that is too deep, too large or not exact JSON."""
    _check(value, 1)
    if value and len(orjson.dumps(value)) > METADATA_BYTES:
        raise ValueError(f"larger than {METADATA_BYTES} bytes as JSON")


def _metadata(value: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
    if info.context is not CHECKED_BEFORE:
        check_metadata(value)
    return value


Metadata = Annotated[dict[str, Any], AfterValidator(_metadata)]


def _object_without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        name, _ = Counter(key for key, _ in pairs).most_common(1)[0]
        shown = name.encode("unicode_escape").decode()[:_NAME_CHARACTERS]
        raise ValueError(f"{shown}: given twice")
    return found


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


def _decimal(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise ValueError("a number whose exponent is too large") from None


def _integer(text: str) -> int:
    if len(text) > _INTEGER_CHARACTERS:
        raise ValueError(f"an integer of {len(text)} digits")
    return int(text)


def write_json(value: Any) -> bytes:
    """Serialize a response, with moments in UTC. A sum over many accounts can exceed 64 bits."""
    try:
        return orjson.dumps(value, option=orjson.OPT_UTC_Z)
    except TypeError:  # orjson has no integers beyond 64 bits
        return json.dumps(value, default=_as_text, ensure_ascii=False, separators=(",", ":")).encode()


def _as_text(value: object) -> str:
    return value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else str(value)


def plain(value: object) -> object:
    """Convert a value of a row to JSON types; ids become ULIDs."""
    if isinstance(value, dict):
        return {name: plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    if isinstance(value, UUID):
        return show_id(value)
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return int(value)
    return value


def read_json(text: str | bytes, *, decimals: bool = False) -> Any:
    """Parse strict JSON: no duplicate keys (the last would silently win), no NaN, no Infinity.

    With `decimals`, numbers with a point become Decimal, so that multipliers stay exact. Raises ValueError.
    """
    try:
        return json.loads(
            text if isinstance(text, str) else text.decode(),  # UTF-8 only: json would guess other encodings
            object_pairs_hook=_object_without_duplicates,
            parse_constant=_no_constant,
            parse_float=_decimal if decimals else float,
            parse_int=_integer,
        )
    except RecursionError:
        raise ValueError("nested too deeply") from None
