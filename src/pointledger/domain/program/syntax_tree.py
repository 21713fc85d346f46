"""Reads the syntax tree of a compiled expression, and replaces one costly pattern in it.

CEL's Python package exposes no syntax tree, but an expression serializes to the message
`cel.expr.CheckedExpr`. It is in the wire format of protocol buffers, whose numbers of fields never change.
The macros `all`, `exists`, `exists_one`, `filter` and `map` are expanded in it: each is a loop with a
result that grows step by step.
"""

from typing import NamedTuple

from pointledger.domain.program.wire import Fields, decode, encode, message, messages, number_of

# Numbers of fields and kinds of nodes in cel/expr/syntax.proto and checked.proto.
_TYPES, _ROOT, _SOURCE = 3, 4, 5
_POSITIONS = 4
_ID, CONSTANT, IDENTIFIER, SELECT, CALL, LIST, STRUCT, LOOP = 2, 3, 4, 5, 6, 7, 8, 9
_INT64, _TEXT, _BYTES = 3, 6, 7  # of constants
_DYNAMIC, _PRIMITIVE, _LIST_TYPE, _MAP_TYPE, _TYPE_PARAMETER = 1, 3, 6, 7, 10
_STRING_TYPES = (5, 6)  # STRING and BYTES of the primitive types
_TARGET, _FUNCTION, _ARGUMENTS = 1, 2, 3  # of calls
_ENTRIES, _MAP_KEY, _VALUE = 2, 3, 4  # of maps, and of their entries
_RANGE, _ACCUMULATOR, _START, _STEP, _RESULT = 2, 3, 4, 6, 7  # of loops

Kind = str  # "dyn", "text", "list", "map" or "scalar"


class Type(NamedTuple):
    """What the checker knows of a value: its kind, and the kind of a list's elements."""

    kind: Kind
    element: Kind = "dyn"


class Tree(NamedTuple):
    """A checked expression."""

    root: bytes  # a node
    types: dict[int, Type]  # by node id
    positions: dict[int, int]  # of a node in the source, in characters from 0, by node id


class Node(NamedTuple):
    """One node: its kind is CONSTANT, IDENTIFIER, ... and `fields` are those of its kind."""

    id: int
    kind: int
    fields: Fields


class Loop(NamedTuple):
    """An expanded macro. Nodes are encoded."""

    variable: str
    range: bytes
    accumulator: str
    start: bytes
    condition: bytes
    step: bytes
    result: bytes


def tree_of(serialized: bytes) -> Tree:
    """Read a serialized expression: the message, wrapped in an `Any`."""
    checked = decode(message(decode(serialized), 2))
    types = {number_of(entry, 1): _type_of(message(entry, 2)) for entry in messages(checked, _TYPES)}
    source = decode(message(checked, _SOURCE))
    positions = {number_of(entry, 1): number_of(entry, 2) for entry in messages(source, _POSITIONS)}
    return Tree(message(checked, _ROOT), types, positions)


def node_of(encoded: bytes) -> Node:
    fields = decode(encoded)
    kind = next((kind for kind in range(CONSTANT, LOOP + 1) if kind in fields), CONSTANT)
    return Node(number_of(fields, _ID), kind, decode(message(fields, kind)))


def constant_text(fields: Fields) -> bytes | None:
    """Return a constant's text or bytes, or None for other constants."""
    found = fields.get(_TEXT) or fields.get(_BYTES)
    return found[-1] if found and isinstance(found[-1], bytes) else None


def name_of(fields: Fields) -> str:
    """Return the name of an identifier."""
    return message(fields, 1).decode()


def selected(fields: Fields) -> tuple[bytes, str, bool]:
    """Return a selection's operand, its field, and whether it only tests the field's presence."""
    return message(fields, 1), message(fields, 2).decode(), bool(number_of(fields, 3))


def called(fields: Fields) -> tuple[str, list[bytes]]:
    """Return the name of a call's function, and its arguments; the object of a method is the first."""
    arguments = [*fields.get(_TARGET, []), *fields.get(_ARGUMENTS, [])]
    return message(fields, _FUNCTION).decode(), [each for each in arguments if isinstance(each, bytes)]


def elements_of(fields: Fields) -> list[bytes]:
    """Return the elements of a list."""
    return [each for each in fields.get(1, []) if isinstance(each, bytes)]


def is_message(node: Node) -> bool:
    """Return whether a map is a message of protocol buffers, like `google.protobuf.ListValue{...}`."""
    return node.kind == STRUCT and bool(message(node.fields, 1))


def entries_of(fields: Fields) -> list[bytes]:
    """Return the keys and values of a map."""
    return [
        message(entry, number)
        for entry in messages(fields, _ENTRIES)
        for number in (_MAP_KEY, _VALUE)
        if number in entry
    ]


def loop_of(fields: Fields) -> Loop:
    variable, accumulator = (message(fields, number).decode() for number in (1, _ACCUMULATOR))
    start, condition, step, result = (message(fields, number) for number in (_START, 5, _STEP, _RESULT))
    return Loop(variable, message(fields, _RANGE), accumulator, start, condition, step, result)


def with_counts(serialized: bytes) -> bytes:
    """Replace each `size(list.filter(...))` and `size(list.map(...))` by a loop that counts.

    The engine copies the whole list for each element that it appends, so 8,000 elements would take a second.
    Counting has the same value and the same errors, and takes a millisecond.
    """
    if b"size" not in serialized:
        return serialized
    outer = decode(serialized)
    checked = decode(message(outer, 2))
    root = message(checked, _ROOT)
    counting = _counting(root)
    if counting == root:
        return serialized
    return encode(outer | {2: [encode(checked | {_ROOT: [counting]})]})


def _counting(encoded: bytes) -> bytes:
    """Replace the pattern in this node and below."""
    fields = decode(encoded)
    kind = next((kind for kind in range(SELECT, LOOP + 1) if kind in fields), None)
    if kind is None:
        return encoded
    inner = decode(message(fields, kind))
    if kind == CALL:
        function, arguments = called(inner)
        if function == "size" and len(arguments) == 1 and (counter := _counter_of(arguments[0])):
            return _counting(counter)
    nested: Fields = {}
    for number, values in inner.items():
        is_node = number in _NODES[kind]
        nested[number] = [_counting(v) if is_node and isinstance(v, bytes) else v for v in values]
        if kind == STRUCT and number == _ENTRIES:
            nested[number] = [_counting_entry(v) for v in values if isinstance(v, bytes)]
    return encoded if nested == inner else encode(fields | {kind: [encode(nested)]})


_NODES = {SELECT: (1,), CALL: (1, 3), LIST: (1,), STRUCT: (), LOOP: (2, 4, 5, 6, 7)}  # the fields with nodes


def _counting_entry(entry: bytes) -> bytes:
    fields = decode(entry)
    nodes: Fields = {
        number: [_counting(message(fields, number))] for number in (_MAP_KEY, _VALUE) if number in fields
    }
    return encode(fields | nodes)


def _counter_of(encoded: bytes) -> bytes | None:
    """Return the loop that counts what a `filter` or `map` would collect, or None for other nodes."""
    node = node_of(encoded)
    if node.kind != LOOP:
        return None
    loop = loop_of(node.fields)
    start = node_of(loop.start)
    if start.kind != LIST or start.fields:
        return None  # it does not begin with an empty list
    step = _appending_one(loop.step, loop.accumulator)
    if step is None:
        return None
    fields = node.fields | {_START: [_integer(start.id, 0)], _STEP: [step]}
    return encode(decode(encoded) | {LOOP: [encode(fields)]})


def _appending_one(encoded: bytes, accumulator: str) -> bytes | None:
    """Replace `accumulator + [x]` by `accumulator + 1`, also in the branch of a condition.

    The value that `map` computes must not be lost with its errors, so a map counts only if x is a variable.
    """
    fields = decode(encoded)
    if CALL not in fields:
        return None
    call = decode(message(fields, CALL))
    function, arguments = called(call)
    if function == "_?_:_":
        appended = _appending_one(arguments[1], accumulator)
        if appended is None:
            return None
        return encode(fields | {CALL: [encode(call | {_ARGUMENTS: [arguments[0], appended, arguments[2]]})]})
    if function != "_+_":
        return None
    known, added = (node_of(each) for each in arguments)
    if known.kind != IDENTIFIER or name_of(known.fields) != accumulator or added.kind != LIST:
        return None
    if [node_of(each).kind for each in elements_of(added.fields)] != [IDENTIFIER]:
        return None
    return encode(fields | {CALL: [encode(call | {_ARGUMENTS: [arguments[0], _integer(added.id, 1)]})]})


def _integer(node_id: int, value: int) -> bytes:
    return encode({_ID: [node_id], CONSTANT: [encode({_INT64: [value]})]})


def _type_of(encoded: bytes) -> Type:
    fields = decode(encoded)
    if _DYNAMIC in fields or _TYPE_PARAMETER in fields:
        return Type("dyn")
    if _PRIMITIVE in fields:
        return Type("text" if fields[_PRIMITIVE][0] in _STRING_TYPES else "scalar")
    if _LIST_TYPE in fields:
        element = decode(message(fields, _LIST_TYPE)).get(1)
        kind = _type_of(element[0]).kind if element and isinstance(element[0], bytes) else "dyn"
        return Type("list", kind)
    return Type("map" if _MAP_TYPE in fields else "scalar")
