"""Which kinds of command may be refused for which reasons, read from the decisions' source.

A decision refuses by returning a `Refused`, its own or a guard's. So the reasons of a function are those in
what it returns, and those of the functions whose results it returns.
"""

import ast
import inspect
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from types import FunctionType, ModuleType
from typing import Any

from pointledger.domain import decisions
from pointledger.domain.commands import AnyCommand
from pointledger.domain.commands.outcomes import Reason
from pointledger.domain.decisions import decide as deciding

_PACKAGE = decisions.__name__
_MEMBERS = {f"{Reason.__name__}.{reason.name}": reason for reason in Reason}


@cache
def reasons_of(command: type[AnyCommand]) -> list[Reason]:
    """For which reasons a command of this kind may be refused, in order of precedence."""
    found = _reasons_of(_decision_of(command)) | _reasons_returned(_first_part(), deciding)
    return [reason for reason in Reason if reason in found]


def _first_part() -> list[ast.stmt]:
    """What `decide` does before it looks at the kind, which is the last thing that it does."""
    *before, last = _body_of(deciding.decide)
    assert f"{deciding.dispatch.__name__}(" in ast.unparse(last), "decide ends with the dispatch"
    return before


def _decision_of(command: type[AnyCommand]) -> FunctionType:
    """The function that `dispatch` calls for this kind."""
    (match,) = (part for part in _body_of(deciding.dispatch) if isinstance(part, ast.Match))
    for case in match.cases:
        pattern, (deed, *_) = case.pattern, case.body
        if isinstance(pattern, ast.MatchClass) and isinstance(pattern.cls, ast.Name):
            if getattr(deciding, pattern.cls.id) is not command:
                continue
            assert isinstance(deed, ast.Return), "a case returns a decision"
            assert isinstance(deed.value, ast.Call), "a case calls a decision"
            assert isinstance(deed.value.func, ast.Name), "a case calls a decision by its name"
            function = getattr(deciding, deed.value.func.id)
            assert isinstance(function, FunctionType), "a decision is a function"
            return function
    raise AssertionError(f"dispatch has no case for {command.__name__}")


@cache
def _reasons_of(function: FunctionType) -> frozenset[Reason]:
    module = inspect.getmodule(function)
    assert module, "a function stands in a module"
    return _reasons_returned(_body_of(function), module)


def _reasons_returned(body: list[ast.stmt], module: ModuleType) -> frozenset[Reason]:
    assigned = _assignments(body)
    found: set[Reason] = set()
    seen: set[str] = set()
    waiting = [part.value for part in _walk(body) if isinstance(part, ast.Return) and part.value]
    while waiting:
        for name in _names(waiting.pop()):
            called = getattr(module, name, None) if name not in assigned else None
            if isinstance(called, FunctionType) and called.__module__.startswith(_PACKAGE):
                found |= _reasons_of(called)
            if name in _MEMBERS:
                found.add(_MEMBERS[name])
            if name not in seen:
                seen.add(name)
                waiting += assigned.get(name, [])
    return frozenset(found)


def _assignments(body: list[ast.stmt]) -> Mapping[str, list[ast.expr]]:
    """What is assigned to each name."""
    found: dict[str, list[ast.expr]] = {}
    for part in _walk(body):
        match part:
            case ast.Assign(targets=targets, value=value):
                for target in targets:
                    for name in ast.walk(target):
                        if isinstance(name, ast.Name):
                            found.setdefault(name.id, []).append(value)
            case ast.NamedExpr(target=ast.Name(id=name), value=value):
                found.setdefault(name, []).append(value)
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                found.setdefault(name, []).append(value)
            case _:
                pass
    return found


def _names(expression: ast.expr) -> Iterator[str]:
    """The names whose values may become a part of the expression's. A condition's do not."""
    if isinstance(expression, ast.Name):
        yield expression.id
    elif isinstance(expression, ast.Attribute):
        if isinstance(expression.value, ast.Name):
            yield f"{expression.value.id}.{expression.attr}"
        yield from _names(expression.value)
    elif isinstance(expression, ast.IfExp):
        yield from _names(expression.body)
        yield from _names(expression.orelse)
    elif not isinstance(expression, ast.comprehension):
        for part in ast.iter_child_nodes(expression):
            inner = part.value if isinstance(part, ast.keyword) else part
            if isinstance(inner, ast.expr):
                yield from _names(inner)


def _walk(body: list[ast.stmt]) -> Iterator[ast.AST]:
    for part in body:
        yield from ast.walk(part)


def _body_of(function: Callable[..., Any]) -> list[ast.stmt]:
    definition = ast.parse(inspect.getsource(function)).body[0]
    assert isinstance(definition, ast.FunctionDef), "the source of a function"
    return definition.body
