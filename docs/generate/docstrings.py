"""Docstrings of attributes: the text below a name in a class or module, which Python itself forgets."""

import ast
import inspect
import textwrap
from types import ModuleType


def attribute_docs(owner: type | ModuleType) -> dict[str, str]:
    """The text below each assigned name, by name, in the order of the source."""
    tree: ast.AST = ast.parse(textwrap.dedent(inspect.getsource(owner)))
    body = tree.body[0] if isinstance(owner, type) and isinstance(tree, ast.Module) else tree
    assert isinstance(body, ast.ClassDef | ast.Module), "a class or a module"
    found = {}
    for statement, following in zip(body.body, body.body[1:], strict=False):
        name = _assigned(statement)
        if name and isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
            found[name] = inspect.cleandoc(str(following.value.value))
    return found


def _assigned(statement: ast.stmt) -> str | None:
    if isinstance(statement, ast.Assign):
        target: ast.expr = statement.targets[0]
    elif isinstance(statement, ast.AnnAssign):
        target = statement.target
    else:
        return None
    return target.id if isinstance(target, ast.Name) else None
