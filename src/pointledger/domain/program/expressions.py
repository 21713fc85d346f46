"""Compiles and evaluates expressions in CEL: a rule's condition (`when`) and the formula of an award.

CEL is pure and always terminates: no clock, no IO, at most 10,000 loop iterations, regular expressions
without backtracking. `cost.py` estimates what an evaluation costs. This module handles the pitfalls of the
engine:

| pitfall                                    | handling                                                    |
| ------------------------------------------ | ----------------------------------------------------------- |
| an error is a value with a truthy text     | a value counts only if it has the expected type             |
| `event.vip` has no type before it runs     | refused when the rule is saved: write `event.vip == true`   |
| a missing field of the event is an error   | `ExpressionFailed`: the rule is skipped and grants nothing  |
| a loop beyond its budget raises            | the same                                                    |
| compiling costs as much as 100 evaluations | compiled expressions are cached by their text               |
| passing all facts costs five times more    | only those whose name occurs in the text are passed         |
| `filter` and `map` copy what they collect  | `size(list.filter(...))` counts instead (`with_counts`)     |
"""

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator, Field, ValidationInfo, WithJsonSchema

from pointledger.domain.program.cost import Cost, estimate
from pointledger.domain.program.syntax_tree import Tree, tree_of, with_counts
from pointledger.domain.values.json_values import CHECKED_BEFORE

_NO_CONTROL_PATTERN = r"^[^\x00-\x08\x0b-\x1f]*$"  # the check of `_checked`
MAX_CHARACTERS = 2_000  # longer conditions belong in several rules
_CACHE_SIZE = 5_000  # compiled expressions, a few kilobytes each
_COST_STEP_BYTES = 256  # events are rounded up to this size for estimates, so that few sizes are cached
_ERROR_CHARACTERS = 200  # of the compiler's message

# The names in expressions. `event` is the event's metadata. The names below `now` and `account` are declared,
# so that saving a rule finds a misspelled one.
NOW = {"hour": "INT", "minute": "INT", "weekday": "INT", "date": "STRING"}
ACCOUNT = {
    "is_new": "BOOL",
    "balance": "INT",
    "frozen_balance": "INT",
    "pending_balance": "INT",
    "debt": "INT",
    "total_earned": "INT",
    "total_spent": "INT",
    "expired_points": "INT",
    "total_refunded": "INT",
    "total_clawed_back": "INT",
}

Wanted = Literal["BOOL", "INT"]
Facts = dict[str, Any]  # by full name: {"now.hour": 10, "event": {...}}


class ExpressionFailed(Exception):
    """An expression has no value. `cause` is CEL's error code and contains no event data."""

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause


class _Engine(NamedTuple):
    cel: Any
    environment: Any


class _Compiled(NamedTuple):
    program: Any
    type: Any  # of its value
    names: tuple[str, ...]  # of facts that it may read
    tree: Tree


@lru_cache(maxsize=1)
def _engine() -> _Engine:
    """Load CEL with the first expression, because producers evaluate none."""
    from cel_expr_python import cel  # noqa: PLC0415

    variables = {"event": cel.Type.Map(cel.Type.STRING, cel.Type.DYN)}
    for root, names in (("now", NOW), ("account", ACCOUNT)):
        variables |= {f"{root}.{name}": getattr(cel.Type, kind) for name, kind in names.items()}
    return _Engine(cel, cel.NewEnv(variables=variables))


@lru_cache(maxsize=_CACHE_SIZE)
def _compile(source: str, wanted: Wanted) -> _Compiled:
    """Compile an expression. Raises ValueError with the compiler's message."""
    cel, environment = _engine()
    try:
        program = environment.compile(source)
    except RuntimeError as error:
        raise ValueError(_first_error(str(error))) from None
    found = program.return_type()
    if found != getattr(cel.Type, wanted):
        hint = "; compare it, like event.vip == true" if wanted == "BOOL" else "; write int(...)"
        raise ValueError(f"it gives {found.name()}, not {wanted}{hint if found == cel.Type.DYN else ''}")
    serialized = program.serialize()
    counting = with_counts(serialized)
    if counting != serialized:
        program = environment.deserialize(counting)
    return _Compiled(program, found, _names_in(source), tree_of(counting))


def _names_in(source: str) -> tuple[str, ...]:
    """Return the facts that an expression may read: those whose words all occur in its text."""
    names = ["event", *(f"now.{name}" for name in NOW), *(f"account.{name}" for name in ACCOUNT)]
    return tuple(name for name in names if all(word in source for word in name.split(".")))


def _first_error(error: str) -> str:
    """Return the compiler's first error in one line, without codes and source excerpt."""
    first = error.splitlines()[0]
    for noise in ("INVALID_ARGUMENT: ", "CANCELLED: ", "ERROR: ", "<input>:", "-1:-1: "):
        first = first.replace(noise, "")
    for tail in (" (in container '')", " [INVALID_ARGUMENT]", " [CANCELLED]"):
        first = first.replace(tail, "")
    return first.encode("unicode_escape").decode()[:_ERROR_CHARACTERS]


def cost_of(source: str, wanted: Wanted, event_bytes: int) -> Cost:
    """Estimate what an evaluation costs over an event of this size. An expression that does not compile is
    free: it fails before it runs."""
    return _cost(source, wanted, -(-event_bytes // _COST_STEP_BYTES) * _COST_STEP_BYTES)


@lru_cache(maxsize=_CACHE_SIZE)
def _cost(source: str, wanted: Wanted, event_bytes: int) -> Cost:
    try:
        compiled = _compile(source, wanted)
    except ValueError:
        return Cost(0, 0)
    return estimate(compiled.tree, event_bytes if "event" in compiled.names else 0)


def evaluate(source: str, wanted: Wanted, facts: Callable[[Iterable[str]], Facts]) -> bool | int:
    """Evaluate an expression. `facts` returns the values of the given names.

    Raises ExpressionFailed.
    """
    try:
        program, expected, names, _ = _compile(source, wanted)
    except ValueError:  # another version of the engine compiled it when it was saved
        raise ExpressionFailed("COMPILATION") from None
    try:
        value = program.eval(data=facts(names))
    except RuntimeError as error:
        raise ExpressionFailed(_code(str(error))) from None
    found = value.value()
    if wanted == "BOOL" and isinstance(found, bool):  # asking for the type takes longer
        return found
    if value.type() != expected:
        is_error = value.type() == _engine().cel.Type.ERROR
        raise ExpressionFailed(_code(str(found)) if is_error else "TYPE")
    integer: int = found
    return integer


def _code(error: str) -> str:
    """Return CEL's error code, like NOT_FOUND. The rest of the message may quote the event."""
    code = error.partition(":")[0]
    return code if code.isascii() and code.replace("_", "").isupper() else "ERROR"


def _checked(wanted: Wanted) -> Callable[[str, ValidationInfo], str]:
    def check(source: str, info: ValidationInfo) -> str:
        if info.context is not CHECKED_BEFORE:
            if any(ord(character) < ord(" ") and character not in "\n\t" for character in source):
                raise ValueError("control characters are not allowed here")
            _compile(source, wanted)
        return source

    return check


def _schema(gives: str, example: str) -> WithJsonSchema:
    """Describe an expression. JSON schema has no CEL, so only the format names the result's type."""
    bounds = {"minLength": 1, "maxLength": MAX_CHARACTERS, "pattern": _NO_CONTROL_PATTERN}
    return WithJsonSchema({"type": "string", "format": f"cel-{gives}", **bounds, "examples": [example]})


_Source = Annotated[str, Field(min_length=1, max_length=MAX_CHARACTERS)]
Condition = Annotated[
    _Source, AfterValidator(_checked("BOOL")), _schema("bool", "event.amount_minor >= 1000")
]
Formula = Annotated[_Source, AfterValidator(_checked("INT")), _schema("int", "event.amount_minor / 100")]
