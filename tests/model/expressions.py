"""Parses and evaluates the small part of CEL that the model's rules use, without CEL.

Comparisons, arithmetic on integers, `&&`, `||`, `!`, `has(event.x)`, `int(x)`, fields of `event`, `now` and
`account`, integers, texts in single quotes, `true` and `false`.
"""

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

_TOKEN = re.compile(r"\s*(?:(\d+)|('[^']*')|([A-Za-z_][\w.]*)|(&&|\|\||[<>=!]=|[-+*/%<>!()]))")
_LARGEST = 2**63 - 1  # CEL's integers have 64 bits
_PRECEDENCE: tuple[tuple[str, ...], ...] = (
    ("||",),
    ("&&",),
    ("<", "<=", ">", ">=", "==", "!="),
    ("+", "-"),
    ("*", "/", "%"),
)

Context = Mapping[str, Mapping[str, Any]]
Node = Callable[[Context], Any]


class ExpressionError(Exception):
    """CEL reports an error: a missing field, mismatched types, an overflow."""


@lru_cache(maxsize=10_000)
def compiled(text: str) -> Node:
    """Return a function that evaluates the expression in a context, or raises ExpressionError."""
    tokens = [match.group().strip() for match in _TOKEN.finditer(text)]
    assert "".join(tokens) == re.sub(r"\s+(?=([^']*'[^']*')*[^']*$)", "", text), (
        f"not in the supported part of CEL: {text}"
    )
    node, rest = _binary(tokens, 0)
    assert not rest, f"not in the supported part of CEL: {text}"
    return node


def _binary(tokens: list[str], level: int) -> tuple[Node, list[str]]:
    if level == len(_PRECEDENCE):
        return _unary(tokens)
    left, rest = _binary(tokens, level + 1)
    while rest and rest[0] in _PRECEDENCE[level]:
        right, after = _binary(rest[1:], level + 1)
        left, rest = _operation(rest[0], left, right), after
    return left, rest


def _unary(tokens: list[str]) -> tuple[Node, list[str]]:
    first, rest = tokens[0], tokens[1:]
    if first == "!":
        node, rest = _unary(rest)
        return (lambda context: not _typed(node(context), bool)), rest
    if first == "-":
        node, rest = _unary(rest)
        return (lambda context: _integer(-_typed(node(context), int))), rest
    if first == "(":
        node, rest = _binary(rest, 0)
        return node, rest[1:]
    if first == "has":
        root, _, name = rest[1].partition(".")
        return (lambda context: name in context[root]), rest[3:]
    if first == "int":
        node, rest = _binary(rest[1:], 0)
        return (lambda context: _int_of(node(context))), rest[1:]
    return _leaf(first), rest


def _leaf(token: str) -> Node:
    if token in ("true", "false"):
        return lambda _: token == "true"
    if token.isdigit():
        return lambda _: int(token)
    if token.startswith("'"):
        return lambda _: token[1:-1]
    root, _, name = token.partition(".")
    return lambda context: _field(context[root], name)


def _field(fields: Mapping[str, Any], name: str) -> Any:
    if name not in fields:
        raise ExpressionError(name)
    return fields[name]


def _operation(sign: str, left: Node, right: Node) -> Node:
    if sign in ("&&", "||"):
        return lambda context: _logical(sign == "||", left, right, context)
    if sign in ("==", "!="):
        return lambda context: _equal(left(context), right(context)) == (sign == "==")
    if sign in ("<", "<=", ">", ">="):
        return lambda context: _compared(sign, left(context), right(context))
    return lambda context: _calculated(sign, left(context), right(context))


def _logical(decides: bool, left: Node, right: Node, context: Context) -> bool:
    """Evaluate && or ||. Either side may decide alone, even if the other is an error."""
    error: ExpressionError | None = None
    for node in (left, right):
        try:
            if _typed(node(context), bool) == decides:
                return decides
        except ExpressionError as found:
            error = found
    if error:
        raise error
    return not decides


def _equal(left: Any, right: Any) -> bool:
    return type(left) is type(right) and left == right


def _compared(sign: str, left: Any, right: Any) -> bool:
    if type(left) is not type(right) or left is None:
        raise ExpressionError("types differ")
    return bool({"<": left < right, "<=": left <= right, ">": left > right, ">=": left >= right}[sign])


def _calculated(sign: str, left: Any, right: Any) -> Any:
    if sign == "+" and isinstance(left, str) and isinstance(right, str):
        return left + right
    one, other = _typed(left, int), _typed(right, int)
    if sign in "/%":
        if other == 0:
            raise ExpressionError("division by zero")
        quotient = abs(one) // abs(other) * (1 if (one < 0) == (other < 0) else -1)
        return _integer(quotient if sign == "/" else one - other * quotient)
    return _integer({"+": one + other, "-": one - other, "*": one * other}[sign])


def _typed(value: Any, kind: type) -> Any:
    if type(value) is not kind:  # True is an int in Python, not in CEL
        raise ExpressionError(f"no {kind.__name__}: {value!r}")
    return value


def _integer(value: int) -> int:
    if not -_LARGEST - 1 <= value <= _LARGEST:
        raise ExpressionError("overflow")
    return value


def _int_of(value: Any) -> int:
    if isinstance(value, str) and re.fullmatch(r"-?\d+", value):
        return _integer(int(value))
    return int(_typed(value, int))
