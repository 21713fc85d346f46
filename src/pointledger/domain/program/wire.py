"""Reads and writes messages in the wire format of protocol buffers: numbers and byte strings, by field
number.

It needs no generated classes, whose package would have to match the version of CEL's.
"""

from collections.abc import Iterator

Fields = dict[int, list[int | bytes]]  # of one message, by number

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5  # wire types
_MORE = 0x80  # marks the bytes of a number that others follow
_SEVEN_BITS = 0x7F


def message(fields: Fields, number: int) -> bytes:
    """Return the message or text of a field, or nothing if it is missing."""
    found = fields.get(number)
    return found[-1] if found and isinstance(found[-1], bytes) else b""


def messages(fields: Fields, number: int) -> Iterator[Fields]:
    """Return the messages of a repeated field."""
    return (decode(each) for each in fields.get(number, []) if isinstance(each, bytes))


def number_of(fields: Fields, number: int) -> int:
    """Return the number of a field, or 0 if it is missing."""
    found = fields.get(number)
    return found[-1] if found and isinstance(found[-1], int) else 0


def decode(data: bytes) -> Fields:
    """Decode one message. Values of fixed size stay bytes."""
    found: Fields = {}
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, wire = tag >> 3, tag & 7
        value: int | bytes
        if wire == _VARINT:
            value, at = _varint(data, at)
        elif wire == _LENGTH:
            size, at = _varint(data, at)
            value, at = data[at : at + size], at + size
        else:
            size = {_FIXED64: 8, _FIXED32: 4}[wire]
            value, at = data[at : at + size], at + size
        found.setdefault(number, []).append(value)
    return found


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & _SEVEN_BITS) << shift
        if byte < _MORE:
            return value, at
        shift += 7


def encode(fields: Fields) -> bytes:
    """Encode a message. Its fields are numbers and byte strings, not of fixed size."""
    out = bytearray()
    for number, values in fields.items():
        for value in values:
            if isinstance(value, int):
                out += _written(number << 3 | _VARINT) + _written(value)
            else:
                out += _written(number << 3 | _LENGTH) + _written(len(value)) + value
    return bytes(out)


def _written(number: int) -> bytes:
    out = bytearray()
    while number > _SEVEN_BITS:
        out.append(number & _SEVEN_BITS | _MORE)
        number >>= 7
    out.append(number)
    return bytes(out)
