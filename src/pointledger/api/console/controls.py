"""What a person does to the queue in two steps: the page says what would happen, then a reason confirms it.

It becomes no command (`actions` has those), so no idempotency key protects it. Instead the form carries what
the person has seen, like the moment since when a tenant is paused or up to which commands had died. A second
click finds that this is so no longer, and does nothing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from starlette.responses import Response

from pointledger.api.console import problems
from pointledger.api.console.actions import reason_error
from pointledger.api.console.visit import Visit


@dataclass(frozen=True, slots=True)
class Control:
    """The page of a control. `target` is where its form goes, `back` where *Cancel* leads."""

    title: str
    about: str
    button: str
    target: str
    back: str
    current: str
    """The place in the navigation."""
    above: tuple[tuple[str, str], ...] = ()
    """The pages above this one: their words and addresses."""
    facts: tuple[tuple[str, str], ...] = ()
    """What it is about: labels and values."""
    notes: tuple[str, ...] = ()
    """What will happen, in sentences."""
    sample: str = ""
    """A text as it is, like the error of commands that would be retried."""
    seen: Mapping[str, str] = field(default_factory=dict)
    """Hidden fields: what the person has seen."""
    is_grave: bool = False
    """Whether something stops, so that its button warns."""


def ask(visit: Visit, control: Control, *, done: str = "", wrong: str = "", status: int = 200) -> Response:
    """Show the page. `done` says what was done already, `wrong` what is wrong with the form."""
    reason = visit.form.get("reason") or visit.query("reason")
    return visit.page(
        "control.html", status, control=control, done=done, wrong=wrong, reason=reason,
        current=control.current,
    )  # fmt: skip


def reason_of(visit: Visit, control: Callable[[], Control]) -> str | Response:
    """Return the reason of the form, or the page that asks for a better one. `control` makes that page."""
    reason = visit.form.get("reason", "").strip()
    if wrong := reason_error(reason):
        return ask(visit, control(), wrong=wrong, status=422)
    return reason


def seen(visit: Visit, name: str) -> str:
    """Return a hidden field of the form. Raises ConsoleProblem without it."""
    text = visit.form.get(name)
    if text is None:
        raise problems.problem(400, f"{name}: the form must have it. Open the form anew.", visit.here)
    return text
