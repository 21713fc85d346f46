"""Dead letters: messages that name the tenant and are no commands, why, and a replay of one.

The filter is in the address.
"""

from typing import Literal, get_args

from starlette.responses import Response

from pointledger.api.console import problems
from pointledger.api.console.controls import Control, ask, reason_of, seen
from pointledger.api.console.pages.queue_now import forget
from pointledger.api.console.visit import PageRoute, Visit
from pointledger.ids import show_id
from pointledger.storage.queries.trouble import SizedDeadLetter

State = Literal["dead", "deferred", "replayed"]

_PAGE = 50  # two screens
_BEYOND = 2**63


def show(visit: Visit) -> Response:
    """List dead letters and deferred messages, the latest first."""
    state = _state(visit)
    before = _cursor(visit)
    found = visit.queries.dead_letters(visit.tenant.tenant_id, state, before=before, limit=_PAGE + 1)
    return visit.page(
        "dead_letters.html",
        dead_letters=[(each, show_id(each.task_id) if each.task_id else "") for each in found[:_PAGE]],
        states=get_args(State),
        state_wanted=state or "",
        first=visit.url("queue", "dead-letters", state=state) if before else "",
        next=visit.url("queue", "dead-letters", state=state, before=found[_PAGE - 1].id)
        if found[_PAGE:]
        else "",
        current="queue",
    )


def replaying(visit: Visit) -> Response:
    """Show what a replay would do, and ask for the reason. Another message than a dead one leads on."""
    found = _found(visit)
    return ask(visit, _replay(visit, found)) if found.can_be_replayed else _back(visit, found)


def replay(visit: Visit) -> Response:
    """Replay the message, unless it is replayed already, and lead to its task or to the list."""
    found = _found(visit)
    reason = reason_of(visit, lambda: _replay(visit, found))
    if isinstance(reason, Response):
        return reason
    is_same = found.attempts == _number(seen(visit, "attempts"))  # the failure that the person has seen
    if found.can_be_replayed and is_same:
        visit.console.control.replay(visit.tenant.tenant_id, found.id, visit.actor(reason))
        forget(visit)
    return _back(visit, found)


def _found(visit: Visit) -> SizedDeadLetter:
    number = _number(visit.path("number"))
    found = visit.queries.dead_letter(visit.tenant.tenant_id, number) if number else None
    if found is None:
        raise problems.not_found("There is no dead letter with this number.")
    return found


def _number(text: str) -> int:
    """Return a number of at most 18 digits; 0 for any other text."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else 0  # noqa: PLR2004


def _replay(visit: Visit, found: SizedDeadLetter) -> Control:
    every = visit.url("queue", "dead-letters")
    return Control(
        title=f"Replay dead letter {found.id}",
        about="Nothing has changed yet.",
        button="Replay the message",
        target=visit.url("queue", "dead-letters", f"{found.id}", "replay"),
        back=every,
        current="queue",
        above=(("Queue", visit.url("queue")), ("Dead letters", every)),
        facts=(
            ("From", found.producer or found.entry_point),
            ("Kind", found.kind or "–"),
            ("Seen", f"{found.attempts:,}"),
        ),
        sample=f"{found.reason}: {found.error}",
        notes=(
            "Put the cause right first: a message that is still no command is a dead letter again.",
            "A worker, or the ingest, reads it anew within seconds. It keeps its ids and keys, so what was "
            "accepted already is not accepted twice.",
            "Its age does not count against it.",
        ),
        seen={"attempts": f"{found.attempts}"},
    )


def _back(visit: Visit, found: SizedDeadLetter) -> Response:
    if found.task_id:
        return visit.redirect(visit.url("commands", show_id(found.task_id)))
    return visit.redirect(visit.url("queue", "dead-letters"))


def _state(visit: Visit) -> State | None:
    wanted = visit.query("state")
    for state in get_args(State):
        if wanted == state:
            return state  # type: ignore[no-any-return]  # one of the words
    if wanted:
        raise problems.problem(400, f"state: one of {', '.join(get_args(State))}.")
    return None


def _cursor(visit: Visit) -> int | None:
    text = visit.query("before")
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and 0 < int(text[:20]) < _BEYOND):
        raise problems.problem(400, "before: the number of a dead letter, as the link Older has it.")
    return int(text[:20])


ROUTES = (
    PageRoute("queue/dead-letters", "queue", show),
    PageRoute("queue/dead-letters/{number}/replay", "queue.change", replaying),
    PageRoute("queue/dead-letters/{number}/replay", "queue.change", replay, method="POST", waits=True),
)
