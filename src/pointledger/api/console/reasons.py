"""Says in words what a refusal means and what to do: the texts under each `Reason`."""

import ast
from functools import cache
from inspect import getsource
from typing import NamedTuple

from pointledger.domain.commands.outcomes import CANCELLED, Reason


class Advice(NamedTuple):
    """What a reason means, and what to do. Backticks are left out."""

    meaning: str
    remedy: str


_CANCELLED = Advice(
    "The command was canceled before it was applied.", "Send a new one if it is still wanted."
)


def advice(reason: str | None) -> Advice | None:
    """Return the advice for a reason, or None if the word is not one."""
    if reason == CANCELLED:
        return _CANCELLED
    return _texts().get(reason or "")


@cache
def _texts() -> dict[str, Advice]:
    """Read the text below each member of `Reason`. Python keeps no docstrings of members."""
    body = ast.parse(getsource(Reason)).body[0]
    assert isinstance(body, ast.ClassDef), "it is a class"
    found = {}
    for member, text in zip(body.body, body.body[1:], strict=False):
        if isinstance(member, ast.Assign) and isinstance(text, ast.Expr):
            assert isinstance(member.targets[0], ast.Name) and isinstance(text.value, ast.Constant)
            meaning, _, remedy = str(text.value.value).replace("`", "").partition("\n\n")
            found[member.targets[0].id] = Advice(" ".join(meaning.split()), " ".join(remedy.split()))
    return found
