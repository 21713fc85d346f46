"""What operations of expressions cost, by the sizes of their operands.

The prices are measured on one core of a small cloud machine (`tests/domain/test_cost_fuzz.py` checks them).
Where an operation's real price depends on what it finds, the price is that of a common bad case.
"""

from typing import NamedTuple

from pointledger.domain.program.pattern_cost import Steps, pattern_steps, unknown_steps
from pointledger.domain.program.syntax_tree import Kind, Type

MOST = 1e15  # sizes and times beyond are all alike

# Prices in nanoseconds.
BASE = 2_500  # the call and its result
CONVERTED = 25  # per byte of the event, which each evaluation converts to CEL's values
NODE = 12  # a variable or a constant
SELECT = 50
CALL = 25
ELEMENT = 18  # of a list that the expression builds
ENTRY = 60  # of a map that it builds
STEP, LOOP = 35, 250  # of a loop
_COMPARED_TEXT = 0.05  # per byte of the smaller one
_COMPARED = 12  # the same for lists and maps, which are compared element by element
_FOUND = 12  # per element that `in` compares
_CONTAINED = 0.015  # per byte of both texts, multiplied
_SCANNED = 0.5  # per byte: counting code points, parsing numbers and moments
COPIED_TEXT, COPIED = 0.3, 18  # per byte of a text, per element of a list
GROWN = 10  # per pair of elements: `filter` and `map` copy the list for each element that they append
_PATTERN, _PATTERN_STEP, _MATCHED = 1_200, 350, 6  # per pattern, its step, and step times byte
_CLOCK = 250  # a field of a moment in a time zone
_UNKNOWN_ZONE = 40_000  # the zone's name comes from the event: looked up in files
UNKNOWN = 1e9  # what has no price here

_LOGIC = {"_&&_", "_||_", "!_", "@not_strictly_false", "bool"}
_ARITHMETIC = {"-_", "_-_", "_*_", "_/_", "_%_", "type", "dyn"}
_EQUALITIES = {"_==_", "_!=_"}
_OF_TEXTS = {"_<_", "_<=_", "_>_", "_>=_", "startsWith", "endsWith"}  # or of numbers, never of lists
_PARSERS = {"int", "uint", "double", "timestamp", "duration"}


class Amount(NamedTuple):
    """The sum of a quantity over all runs of a piece of the expression, and its most in one run."""

    total: float
    most: float

    def plus(self, other: "Amount") -> "Amount":
        return Amount(min(self.total + other.total, MOST), min(self.most + other.most, MOST))

    def times(self, other: "Amount") -> "Amount":
        total = min(self.total * other.most, self.most * other.total)
        return Amount(min(total, MOST), min(self.most * other.most, MOST))

    def least(self, other: "Amount") -> "Amount":
        return Amount(min(self.total, other.total), min(self.most, other.most))

    def greatest(self, other: "Amount") -> "Amount":
        return Amount(min(self.total + other.total, MOST), max(self.most, other.most))

    def scaled(self, factor: float) -> "Amount":
        return Amount(min(self.total * factor, MOST), min(self.most * factor, MOST))


class Value(NamedTuple):
    """A bound on a value: bytes as JSON, and elements. `text` is that of a constant."""

    size: Amount
    items: Amount
    type: Type
    text: bytes | None = None


def price_of(function: str, values: list[Value]) -> tuple[float, float]:
    """Return what one call costs, and what the sizes of all its arguments cost together."""
    if function in _LOGIC | _ARITHMETIC:
        return CALL, 0
    if function in _OF_TEXTS:
        return CALL, _COMPARED_TEXT * values[0].size.least(values[1].size).total
    if function in _EQUALITIES:
        return CALL, _compared(values[0].size, values[1].size, {value.type.kind for value in values})
    match function:
        case "@in":
            element = values[1].type.element
            kinds = {values[0].type.kind, "dyn" if element == "dyn" else element}
            deep = _compared(values[1].size, values[1].size, kinds)
            return CALL, _FOUND * values[1].items.total + deep
        case "contains":
            both = values[0].size.times(values[1].size)
            return CALL * 2, _CONTAINED * both.total + 0.03 * values[0].size.total
        case "matches":
            return _matched(values[0], values[1])
        case "size":
            return CALL * 2, 0 if values[0].type.kind in ("list", "map") else _SCANNED * values[0].size.total
        case "string" | "bytes":
            return CALL * 3, COPIED_TEXT * values[0].size.total
        case _:
            pass
    if function in _PARSERS:
        return CALL * 4, _SCANNED * values[0].size.total
    if function.startswith("get"):
        is_unknown = len(values) > 1 and values[1].text is None
        return _UNKNOWN_ZONE if is_unknown else _CLOCK, 0
    return UNKNOWN, 0


def _compared(one: Amount, other: Amount, kinds: set[Kind]) -> float:
    if "scalar" in kinds:
        return 0
    return (_COMPARED_TEXT if "text" in kinds else _COMPARED) * one.least(other).total


def _matched(text: Value, pattern: Value) -> tuple[float, float]:
    steps: Steps = unknown_steps(pattern.size.most) if pattern.text is None else pattern_steps(pattern.text)
    compiled = _PATTERN + _PATTERN_STEP * steps.compiled
    return compiled, _MATCHED * steps.matched * text.size.total
