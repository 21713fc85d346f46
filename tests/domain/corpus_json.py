"""Invalid and unusual metadata, and texts that are no strict JSON."""

from typing import Any


def nested(containers: int) -> dict[str, Any]:
    """Build metadata of nested objects around a number."""
    inner: Any = 1
    for _ in range(containers):
        inner = {"k": inner}
    assert isinstance(inner, dict)
    return inner


def nested_lists(containers: int) -> dict[str, Any]:
    inner: Any = 1
    for _ in range(containers - 1):
        inner = [inner]
    return {"k": inner}


# 99–101.
BAD_METADATA: dict[str, Any] = {
    "a megabyte": {"k": "x" * 1_000_000},
    "one byte too many": {"k": "x" * (16 * 1024 - 7)},
    "many bytes in few characters": {"k": "é" * 8192},
    "10 001 keys": {str(number): 0 for number in range(10_001)},
    "nine levels": nested(9),
    "nine levels of lists": nested_lists(9),
    "33 levels": nested(33),
    "NaN": {"k": float("nan")},
    "infinite": {"k": float("inf")},
    "infinite, deep down": {"k": [{"k": float("-inf")}]},
    "2^63": {"k": 2**63},
    "-2^63 - 1": {"k": -(2**63) - 1},
    "2^64 + 5": {"k": 2**64 + 5},
    "5000 digits": {"k": 10**5000 - 1},
    "NUL in a value": {"k": "\x00"},
    "NUL in a key": {"\x00": 1},
    "NUL in an inner key": {"k": {"\x00": 1}},
    "a lone surrogate in a value": {"k": "\ud800"},
    "a lone surrogate in a list": {"k": ["\udfff"]},
    "a lone surrogate in a key": {"\ud800": 1},
    "a lone surrogate in an inner key": {"k": {"\ud800": 1}},
    "a list": [],
    "text": "{}",
    "null": None,
    "a tuple": {"k": (1, 2)},
    "a set": {"k": {1}},
    "bytes": {"k": b"x"},
    "a key that is no text": {1: 1},
    "an inner key that is no text": {"k": {1: 1}},
}


GOOD_METADATA: dict[str, dict[str, Any]] = {
    "nothing": {},
    "the most bytes": {"k": "x" * (16 * 1024 - 8)},
    "eight levels": nested(8),
    "eight levels of lists": nested_lists(8),
    "2^53 + 1": {"k": 2**53 + 1},
    "2^63 - 1": {"k": 2**63 - 1},
    "-2^63": {"k": -(2**63)},
    "floats": {"k": [1.5, -0.0, 1e308, 5e-324]},
    "null": {"k": None, "list": [None]},
    "booleans": {"k": True, "other": False},
    "an attribute's name": {"__proto__": {"admin": True}, "constructor": 1, "__class__": "x"},
    "an empty key": {"": 1},
    "an operator": {"$gt": ""},
    "SQL": {"' OR 1=1--": "'; DROP TABLE journal; --"},
    "accents, composed and not": {"caf\u00e9": "composed", "cafe\u0301": "decomposed"},
    "zero-width and right to left": {"k": "a\u200bb\u202ec\ufeff"},
    "an emoji": {"k": "👩‍👩‍👧"},
    "line separators": {"k": "a\r\nb\u2028c\x1b[31m"},
    "quotes and backslashes": {"k": "\"\\'$$%_"},
}


# Texts that are not JSON, or JSON that parsers read differently.
BAD_JSON: dict[str, str] = {
    "empty": "",
    "truncated": '{"amount": 1',
    "trailing text": '{"amount": 1} x',
    "two values": '{"amount": 1} {"amount": 2}',
    "a comment": '{"amount": 1 /* one */}',
    "single quotes": "{'amount': 1}",
    "a trailing comma": '{"amount": 1,}',
    "a byte order mark": '\ufeff{"amount": 1}',
    "a key twice": '{"amount": 1, "amount": 999}',
    "an inner key twice": '{"metadata": {"a": {"b": 1, "b": 2}}}',
    "a key twice, once escaped": '{"amount": 1, "\\u0061mount": 999}',
    "NaN": '{"amount": NaN}',
    "Infinity": '{"amount": Infinity}',
    "-Infinity": '{"amount": -Infinity}',
    "hexadecimal": '{"amount": 0x10}',
    "a leading zero": '{"amount": 01}',
    "a plus sign": '{"amount": +1}',
    "5000 digits": '{"amount": ' + "9" * 5000 + "}",
    "100 000 lists": "[" * 100_000,
    "100 000 lists, closed": "[" * 100_000 + "]" * 100_000,
    "100 000 objects": '{"a":' * 100_000,
    "an unfinished escape": '{"reason": "\\u12"}',
    "a bare line break in text": '{"reason": "a\nb"}',
    "bare NUL in text": '{"reason": "a\x00b"}',
}
