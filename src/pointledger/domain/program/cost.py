"""Estimates what an expression costs before it is evaluated: CPU time and memory, for an event of a given
size.

The estimate depends only on the expression and the size of the event, never on the clock, so every process
comes to the same verdict. It walks the syntax tree once and adds up what each node costs:

- A value has a size in bytes of its JSON, and a number of elements. Nothing in an event is larger than the
  event.
- A loop multiplies what is in it by the number of elements. All loops of one evaluation together have at most
  10,000 steps, because the engine gives up then.
- The elements of a list are together no larger than the list. So each amount has two bounds: the total over
  all steps, and the most at one step.
- Concatenation adds sizes. In a loop over a list of one element, whose value is doubled, they grow
  exponentially.

An evaluation takes at most 5 times its estimate (`tests/domain/test_cost_fuzz.py`), because the price of one
operation differs by what it finds. `prices.py` has the prices.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

from pointledger.domain.program import syntax_tree as tree
from pointledger.domain.program.prices import (
    BASE,
    CALL,
    CONVERTED,
    COPIED,
    COPIED_TEXT,
    ELEMENT,
    ENTRY,
    GROWN,
    LOOP,
    MOST,
    NODE,
    SELECT,
    STEP,
    UNKNOWN,
    Amount,
    Value,
    price_of,
)

_ELEMENT_BYTES = 2  # of the shortest element of a list: `1,`
_ENTRY_BYTES = 6  # of the shortest entry of a map: `"a":1,`
_BRACKETS = 2  # bytes that a list adds, and that separate its elements
_NUMBER_TEXT = 32  # bytes of a number or a moment as text, at most
_SCALAR = 8  # bytes of a number, as a key or an element of a list
_LOOP_STEPS = 10_000  # the engine's budget per evaluation

# Memory in bytes. The engine releases it after the evaluation, not before.
_TEXT_MEMORY, _ELEMENT_MEMORY, _ENTRY_MEMORY = 1.0, 32, 128
_GROWN_MEMORY = 18  # per pair of elements that `filter` and `map` collect
_OBJECT_MEMORY = 64  # per list or text

_SHOWN = {"@in": "in", "_[_]": "[]", "_?_:_": "?:", "!_": "!", "-_": "-"}


class Part(NamedTuple):
    """A part of an expression: what it is, its position in the source from 1, and how often it runs."""

    what: str = ""
    at: int = 1
    runs: int = 1

    def __str__(self) -> str:
        often = f", up to {self.runs:,} times" if self.runs > 1 else ""
        return f"{self.what}{often}, at character {self.at}"


class Cost(NamedTuple):
    """An estimate, with the part that takes most of the time, and the one that needs most of the memory."""

    microseconds: int
    memory_bytes: int
    slowest: Part = Part()
    largest: Part = Part()


@dataclass(slots=True)
class _Scope:
    """The variables in one loop, and what one step costs apart from the sizes of values."""

    runs: float
    variables: dict[str, Value]
    per_run: float = 0.0
    growing: str | None = None  # the list that a `filter` or `map` appends to
    appended: list[Value] = field(default_factory=list)


def estimate(checked: tree.Tree, event_bytes: int) -> Cost:
    """Estimate an expression's cost over an event whose metadata have this size as JSON."""
    return _Estimate(checked, event_bytes).cost()


class _Estimate:
    def __init__(self, checked: tree.Tree, event_bytes: int) -> None:
        self._tree = checked
        self._event_bytes = event_bytes
        self._scopes: list[_Scope] = []
        self._sized = 0.0  # nanoseconds that depend on the sizes of values
        self._memory = 0.0
        self._slowest = 0.0, Part()
        self._largest = 0.0, Part()

    def cost(self) -> Cost:
        size = Amount(self._event_bytes, self._event_bytes)
        event = Value(size, size.scaled(1 / _ENTRY_BYTES), tree.Type("map"))
        outermost = _Scope(1, {"event": event})
        self._charge(outermost, tree.Node(0, 0, {}), "the event", BASE, CONVERTED * self._event_bytes)
        self._scopes.append(outermost)
        self._visit(self._tree.root, outermost)
        rest, nanoseconds = float(_LOOP_STEPS), self._sized + outermost.per_run
        for loop in sorted(self._scopes[1:], key=lambda loop: -loop.per_run):
            runs = min(loop.runs, rest)
            nanoseconds += runs * loop.per_run
            rest -= runs
        return Cost(-int(-nanoseconds // 1000), int(self._memory), self._slowest[1], self._largest[1])

    def _charge(
        self,
        scope: _Scope,
        node: tree.Node,
        what: str,
        per_run: float,
        sized: float = 0.0,
        memory: float = 0.0,
    ) -> None:
        scope.per_run += per_run
        self._sized = min(self._sized + sized, MOST)
        self._memory = min(self._memory + memory, MOST)
        part = Part(what, self._tree.positions.get(node.id, 0) + 1, int(scope.runs))
        self._slowest = max(self._slowest, (per_run * scope.runs + sized, part))
        self._largest = max(self._largest, (memory, part))

    def _visit(self, encoded: bytes, scope: _Scope) -> Value:
        node = tree.node_of(encoded)
        match node.kind:
            case tree.CONSTANT:
                value = self._constant(node, scope)
            case tree.IDENTIFIER:
                self._charge(scope, node, "a variable", NODE)
                value = scope.variables.get(tree.name_of(node.fields)) or _small(scope)
            case tree.SELECT:
                value = self._select(node, scope)
            case tree.CALL:
                value = self._call(node, scope)
            case tree.LOOP:
                value = self._loop(node, scope)
            case _:
                value = self._built(node, scope)
        found = self._tree.types.get(node.id)
        if found is None:
            return value
        return _small(scope) if found.kind == "scalar" else value._replace(type=found)

    def _constant(self, node: tree.Node, scope: _Scope) -> Value:
        self._charge(scope, node, "a constant", NODE)
        text = tree.constant_text(node.fields)
        if text is None:
            return _small(scope)
        return Value(_constant_amount(scope, len(text)), Amount(0, 0), tree.Type("text"), text)

    def _select(self, node: tree.Node, scope: _Scope) -> Value:
        operand, _, is_test = tree.selected(node.fields)
        value = self._visit(operand, scope)
        self._charge(scope, node, "a field", SELECT)
        return _small(scope) if is_test else _inside(value)

    def _built(self, node: tree.Node, scope: _Scope) -> Value:
        """A list or a map in the expression, or a message of protocol buffers, whose copies have no price."""
        is_list = node.kind == tree.LIST
        if tree.is_message(node):
            self._charge(scope, node, "a message", UNKNOWN)
        parts = tree.elements_of(node.fields) if is_list else tree.entries_of(node.fields)
        size = _constant_amount(scope, _BRACKETS)
        for part in parts:
            size = size.plus(self._visit(part, scope).size).plus(_constant_amount(scope, _BRACKETS))
        price, memory = (ELEMENT, _ELEMENT_MEMORY) if is_list else (ENTRY, _ENTRY_MEMORY)
        memory_bytes = (_OBJECT_MEMORY + memory * len(parts)) * scope.runs
        self._charge(scope, node, "a list", CALL + price * len(parts), memory=memory_bytes)
        return Value(size, _constant_amount(scope, len(parts)), tree.Type("list" if is_list else "map"))

    def _loop(self, node: tree.Node, outer: _Scope) -> Value:
        loop = tree.loop_of(node.fields)
        over = self._visit(loop.range, outer)
        start = self._visit(loop.start, outer)
        self._charge(outer, node, "a loop", LOOP)
        collects = tree.node_of(loop.start).kind == tree.LIST
        inner = self._entered(loop, over, start, outer, collects=collects)
        self._charge(inner, node, "a loop", STEP)
        self._visit(loop.condition, inner)
        self._visit(loop.step, inner)
        if not collects:
            result = start
        else:
            grown = over.items.times(over.items)
            grown_bytes = _GROWN_MEMORY * grown.total
            self._charge(outer, node, "filter or map", 0, GROWN * grown.total, memory=grown_bytes)
            sizes = inner.appended[0].size if inner.appended else over.size
            size = Amount(sizes.total, min(sizes.total, sizes.most * max(over.items.most, 1)))
            result = Value(size.plus(over.items.scaled(2)), over.items, tree.Type("list"))
        known = outer.variables
        outer.variables = known | {loop.accumulator: result}
        found = self._visit(loop.result, outer)
        outer.variables = known
        return found

    def _entered(
        self, loop: tree.Loop, over: Value, start: Value, outer: _Scope, *, collects: bool
    ) -> _Scope:
        """Return the scope in a loop. What is outside of it occurs at each of its steps."""
        runs = min(over.items.total, _LOOP_STEPS)

        def lifted(amount: Amount) -> Amount:
            total = min(amount.most * runs, amount.total * over.items.most)
            return Amount(min(total, MOST), amount.most)

        variables = {
            name: value._replace(size=lifted(value.size), items=lifted(value.items))
            for name, value in outer.variables.items()
        }
        size = over.size.least(Amount(over.size.most * runs, over.size.most))
        element = Value(size, size.scaled(1 / _ELEMENT_BYTES), tree.Type(over.type.element))
        variables[loop.variable] = element
        variables[loop.accumulator] = start
        inner = _Scope(runs, variables, growing=loop.accumulator if collects else None)
        self._scopes.append(inner)
        return inner

    def _call(self, node: tree.Node, scope: _Scope) -> Value:
        function, arguments = tree.called(node.fields)
        if function == "_+_" and self._appends(arguments[0], scope):
            added = self._visit(arguments[1], scope)
            scope.appended.append(added)
            self._charge(scope, node, "filter or map", CALL)
            return added
        values = [self._visit(argument, scope) for argument in arguments]
        if function == "_?_:_":
            self._charge(scope, node, "?:", CALL)
            return _either(values[1], values[2])
        if function == "_[_]":
            self._charge(scope, node, "[]", SELECT)
            return _inside(values[0])
        if function == "_+_":
            return self._added(node, scope, *values)
        per_run, sized = price_of(function, values)
        what = _SHOWN.get(function, function.strip("_"))
        is_copy = function in ("string", "bytes")
        memory = values[0].size.total + _NUMBER_TEXT * scope.runs if is_copy else 0
        self._charge(scope, node, what, per_run, sized, memory)
        return _copy(values[0], scope) if is_copy or function == "dyn" else _small(scope)

    @staticmethod
    def _appends(encoded: bytes, scope: _Scope) -> bool:
        if scope.growing is None:
            return False
        node = tree.node_of(encoded)
        return node.kind == tree.IDENTIFIER and tree.name_of(node.fields) == scope.growing

    def _added(self, node: tree.Node, scope: _Scope, left: Value, right: Value) -> Value:
        """Numbers are added, texts and lists are concatenated. A value of the event may be any of them."""
        kinds = {left.type.kind, right.type.kind}
        if "scalar" in kinds:
            self._charge(scope, node, "+", CALL)
            return _small(scope)
        size, items = left.size.plus(right.size), left.items.plus(right.items)
        if "text" in kinds:
            copied, memory = size.total * COPIED_TEXT, size.total * _TEXT_MEMORY
        else:
            copied = items.total * COPIED
            memory = items.total * _ELEMENT_MEMORY
        self._charge(scope, node, "+", CALL * 2, copied, memory + _OBJECT_MEMORY * scope.runs)
        return Value(size, items, tree.Type("dyn"))


def _constant_amount(scope: _Scope, each: float) -> Amount:
    return Amount(each * scope.runs, each)


def _small(scope: _Scope) -> Value:
    """A number, a boolean or a moment: no operation costs more for a larger one."""
    return Value(_constant_amount(scope, _SCALAR), Amount(0, 0), tree.Type("scalar"))


def _copy(value: Value, scope: _Scope) -> Value:
    """A value as text."""
    return value._replace(size=value.size.plus(_constant_amount(scope, _NUMBER_TEXT)))


def _inside(value: Value) -> Value:
    """A field or an element."""
    return Value(value.size, value.size.scaled(1 / _ELEMENT_BYTES), tree.Type(value.type.element))


def _either(one: Value, other: Value) -> Value:
    return Value(one.size.greatest(other.size), one.items.greatest(other.items), one.type)
