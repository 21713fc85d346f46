"""Expressions that try to be expensive, and events as large as an event can be."""

from typing import Any

import orjson
from hypothesis import strategies as st

from pointledger.domain.values.json_values import METADATA_BYTES


def _filled(part: Any, name: str, rest: dict[str, Any]) -> dict[str, Any]:
    """An event of the largest size, whose field `name` is a list of as many of these parts as fit."""
    room = METADATA_BYTES - len(orjson.dumps({**rest, name: []}))
    return {**rest, name: [part] * (room // (len(orjson.dumps(part)) + 1))}


_SMALL: dict[str, Any] = {"l": [1, 2], "t": "ab", "m": {"a": 1}, "o": [{"a": 1, "l": [1]}], "n": 7}
_THIRD = METADATA_BYTES // 3 - 40


def _with(**fields: Any) -> dict[str, Any]:
    event = {**_SMALL, **fields}
    assert len(orjson.dumps(event)) <= METADATA_BYTES
    return event


EVENTS: dict[str, dict[str, Any]] = {
    "numbers": _filled(1, "l", _SMALL),
    "texts": _filled("a", "l", _SMALL),
    "empty texts": _filled("", "l", _SMALL),
    "lists": _filled([1], "l", _SMALL),
    "objects": _filled({"a": 1}, "o", _SMALL),
    "objects with lists": _filled({"a": 1, "l": [1, 1]}, "o", _SMALL),
    "long texts": _filled("a" * 500, "l", _SMALL),
    "one long text": _with(t="a" * (METADATA_BYTES - 100)),
    "text and numbers": _with(t="a" * _THIRD, l=[1] * (_THIRD // 2)),
    "wide letters": _with(t="é" * (METADATA_BYTES // 2 - 100)),
    "a large map": _with(m={f"{number}": number for number in range(METADATA_BYTES // 11 - 50)}),
    "numbers in all": _with(l=[1] * (_THIRD // 2), o=[{"a": 1}] * (_THIRD // 9)),
    "small": _SMALL,
}

_INTEGERS = st.sampled_from(
    ["0", "1", "7", "event.n", "int(event.n)", "now.hour", "size(event.l)", "size(event.t)"]
)
_TEXTS = st.sampled_from(
    ["'a'", "'ab'", "''", "'" + "a" * 60 + "'", "event.t", "now.date", "string(event.n)"]
)
_LISTS = st.sampled_from(["event.l", "event.o", "[1, 2, 3]", "['a', 'ab', 'b']", "event.m", "[event.l]"])
_PATTERNS = st.sampled_from(["a", "^b", "a.*b", "[a-z]{3,9}$", "(a|b)*c", "(.*a){9}b", "(a?){30}b", "\\\\d+"])
_MACROS = st.sampled_from(["all", "exists", "exists_one"])


@st.composite
def _loop(draw: st.DrawFn, depth: int, names: tuple[str, ...]) -> str:
    name = f"x{len(names)}"
    body = draw(conditions(depth - 1, (*names, name)))
    return f"{draw(_ranges(depth - 1, names))}.{draw(_MACROS)}({name}, {body})"


@st.composite
def _counted(draw: st.DrawFn, depth: int, names: tuple[str, ...]) -> str:
    name = f"x{len(names)}"
    body = draw(conditions(depth - 1, (*names, name)))
    return f"{draw(_ranges(depth - 1, names))}.filter({name}, {body}).size() > 0"


def _values(names: tuple[str, ...]) -> st.SearchStrategy[str]:
    """Anything: a field, a variable of a loop, or a part of it."""
    own = [each for name in names for each in (name, f"{name}.a", f"{name}.l")]
    return st.sampled_from(
        [*own, *own, "event.n", "event.t", "event.l", "event.m", "event.x", "event.o[0].a"]
    )


@st.composite
def _ranges(draw: st.DrawFn, depth: int, names: tuple[str, ...]) -> str:
    lists = st.one_of(_LISTS, _values(names), _LISTS)
    if depth <= 0 or draw(st.integers(0, 3)):
        return draw(lists)
    one, other = draw(lists), draw(lists)
    mapped = f"{one}.map(y, {draw(st.sampled_from(['y', '[y]', 'y + y', '1']))})"
    return draw(
        st.sampled_from([f"({one} + {other})", f"[{one} + {other}]", f"{one}.filter(y, true)", mapped])
    )


def _calls(depth: int, names: tuple[str, ...]) -> st.SearchStrategy[str]:
    value = st.one_of(_values(names), _INTEGERS, _TEXTS)
    text = st.one_of(_TEXTS, _values(names))
    lists = _ranges(depth, names)
    return st.one_of(
        st.builds("{} {} {}".format, value, st.sampled_from(["==", "!=", "<", ">="]), value),
        st.builds("{} in {}".format, value, lists),
        st.builds("({} + {}) != {}".format, value, value, value),
        st.builds("{} * {} / 3 > {}".format, value, value, _INTEGERS),
        st.builds("{}.{}({})".format, text, st.sampled_from(["contains", "startsWith", "endsWith"]), text),
        st.builds("{}.matches('{}')".format, text, _PATTERNS),
        st.builds("size({}) > {}".format, st.one_of(lists, text), _INTEGERS),
        st.builds("string({}) + {} != {}".format, value, text, text),
        st.builds("{{{}: {}}} == {{{}: {}}}".format, text, value, text, value),
        st.builds("[{}, {}, {}] == {}".format, value, value, value, lists),
        st.builds("timestamp({}).getHours('Europe/Berlin') < {}".format, text, _INTEGERS),
        st.builds("double({}) > 1.5".format, value),
        st.builds("has(event.{})".format, st.sampled_from(["n", "x"])),
        st.builds("type({}) == int".format, value),
    )


def conditions(depth: int, names: tuple[str, ...] = ()) -> st.SearchStrategy[str]:
    """Conditions with at most this many levels of loops and operators. `names` are the variables of loops."""
    if depth <= 0:
        return _calls(0, names)
    inner = conditions(depth - 1, names)
    return st.one_of(
        _loop(depth, names),
        _loop(depth, names),
        _counted(depth, names),
        _calls(depth, names),
        st.builds("({} && {})".format, inner, inner),
        st.builds("({} || {})".format, inner, inner),
        st.builds("({} ? {} : {})".format, inner, inner, inner),
        st.builds("!({})".format, inner),
    )
