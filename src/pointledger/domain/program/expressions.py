"""Expressions in CEL: what a rule asks of an event (`when`) and how it reckons points (a formula).

CEL is pure and always ends: no clock, no IO, at most 10,000 turns of a loop, regular expressions without
backtracking. What its engine would let slip by is caught here:

| trap                                         | what is done                                              |
| -------------------------------------------- | --------------------------------------------------------- |
| an error is a value, whose text is truthy    | a value counts only if it is of the type that was asked   |
| `event.vip` has no type until it is run      | refused at save: write `event.vip == true`                |
| a field that the event lacks is an error     | `ExpressionFailed`: the rule is skipped, nothing granted  |
| a loop beyond its budget raises              | the same                                                  |
| compiling costs a hundred evaluations        | what was compiled is kept, by its text                    |
| handing over all facts costs five times more | a root that the text does not name is not handed over     |
"""

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator, Field, ValidationInfo, WithJsonSchema

from pointledger.domain.values.json_values import CHECKED_BEFORE

_NO_CONTROL_PATTERN = r"^[^\x00-\x08\x0b-\x1f]*$"  # as `_checked` has it
MAX_CHARACTERS = 2_000  # a rule that needs more is several rules
_KEPT = 5_000  # compiled expressions, some kilobytes each
_TOLD_CHARACTERS = 200  # of what the compiler says

# What an expression may speak of. `event` is the event's metadata; the others are spelled out, so that a
# misspelled one is found when the rule is saved.
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
Facts = dict[str, Any]  # of one root, by full name: {"now.hour": 10, ...} or {"event": {...}}


class ExpressionFailed(Exception):
    """An expression came to no value. `cause` is CEL's word for it and tells nothing of the event."""

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause


class _Engine(NamedTuple):
    cel: Any
    environment: Any


class _Compiled(NamedTuple):
    program: Any
    roots: tuple[str, ...]  # that it names


@lru_cache(maxsize=1)
def _engine() -> _Engine:
    """Loaded with the first expression: producers, who have none, need not carry it."""
    from cel_expr_python import cel  # noqa: PLC0415

    variables = {"event": cel.Type.Map(cel.Type.STRING, cel.Type.DYN)}
    for root, names in (("now", NOW), ("account", ACCOUNT)):
        variables |= {f"{root}.{name}": getattr(cel.Type, kind) for name, kind in names.items()}
    return _Engine(cel, cel.NewEnv(variables=variables))


@lru_cache(maxsize=_KEPT)
def _compile(source: str, wanted: Wanted) -> _Compiled:
    """Raises ValueError with what the compiler says."""
    cel, environment = _engine()
    try:
        program = environment.compile(source)
    except RuntimeError as error:
        raise ValueError(_told(str(error))) from None
    found = program.return_type()
    if found != getattr(cel.Type, wanted):
        hint = "; compare it, like event.vip == true" if wanted == "BOOL" else "; write int(...)"
        raise ValueError(f"it gives {found.name()}, not {wanted}{hint if found == cel.Type.DYN else ''}")
    return _Compiled(program, tuple(root for root in ("event", "now", "account") if root in source))


def _told(error: str) -> str:
    """The compiler's first finding in a line, without its codes and its picture of the place."""
    first = error.splitlines()[0]
    for noise in ("INVALID_ARGUMENT: ", "CANCELLED: ", "ERROR: ", "<input>:", "-1:-1: "):
        first = first.replace(noise, "")
    for tail in (" (in container '')", " [INVALID_ARGUMENT]", " [CANCELLED]"):
        first = first.replace(tail, "")
    return first.encode("unicode_escape").decode()[:_TOLD_CHARACTERS]


def evaluate(source: str, wanted: Wanted, facts: Callable[[Iterable[str]], Facts]) -> bool | int:
    """The expression's value; `facts` gives what is known under the roots that it names.

    Raises ExpressionFailed.
    """
    try:
        program, roots = _compile(source, wanted)
    except ValueError:  # it compiled when it was saved, by another version of the engine
        raise ExpressionFailed("COMPILATION") from None
    cel = _engine().cel
    try:
        value = program.eval(data=facts(roots))
    except RuntimeError as error:
        raise ExpressionFailed(_code(str(error))) from None
    if value.type() != getattr(cel.Type, wanted):
        raise ExpressionFailed(_code(str(value.value())) if value.type() == cel.Type.ERROR else "TYPE")
    found: bool | int = value.value()
    return found


def _code(error: str) -> str:
    """CEL's word for an error, like NOT_FOUND. What follows it may quote the event."""
    code = error.partition(":")[0]
    return code if code.isascii() and code.replace("_", "").isupper() else "ERROR"


def _checked(wanted: Wanted) -> Callable[[str, ValidationInfo], str]:
    def check(source: str, info: ValidationInfo) -> str:
        if info.context is not CHECKED_BEFORE:
            if any(ord(letter) < ord(" ") and letter not in "\n\t" for letter in source):
                raise ValueError("control characters are not allowed here")
            _compile(source, wanted)
        return source

    return check


def _schema(gives: str, example: str) -> WithJsonSchema:
    """JSON schema knows no CEL: what compiles, and to which type, is left to the format's name."""
    bounds = {"minLength": 1, "maxLength": MAX_CHARACTERS, "pattern": _NO_CONTROL_PATTERN}
    return WithJsonSchema({"type": "string", "format": f"cel-{gives}", **bounds, "examples": [example]})


_Source = Annotated[str, Field(min_length=1, max_length=MAX_CHARACTERS)]
Condition = Annotated[
    _Source, AfterValidator(_checked("BOOL")), _schema("bool", "event.amount_minor >= 1000")
]
Formula = Annotated[_Source, AfterValidator(_checked("INT")), _schema("int", "event.amount_minor / 100")]
