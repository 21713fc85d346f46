"""refusals.md: every reason for which the ledger refuses, in order of precedence."""

from collections.abc import Iterator, Sequence
from enum import StrEnum

from docs.generate.decisions import reasons_of
from docs.generate.docstrings import attribute_docs
from docs.generate.markdown import anchor, code, heading, items, link, page, paragraphs, wrapped
from pointledger.api.schemas.status_codes import OF_REASON
from pointledger.domain.commands import KINDS, outcomes
from pointledger.domain.commands.outcomes import CANCELLED, Reason
from pointledger.domain.events.celery_rejections import TaskReject
from pointledger.domain.events.ingested import RejectReason

_INTRO = """
A refusal is an answer, not an error: the outcome's `state` is `refused`, and it is final. Its `reason` is one
of the words below, and its `message` says the particulars to people. The reasons stand in order of
precedence: an outcome has the first that holds."""
_BY_NAME = """
A message that another service sends by name through Celery may be no command at all. Its outcome is then
`refused` for the first of these reasons. The message is kept as a dead letter."""
_EVENTS = """
An event that another service sends may become no command at all. It has no outcome then. The event is kept as
a dead letter with the first of these reasons."""


def refusals_page() -> str:
    """The whole page."""
    kinds = {
        reason: [kind for kind, model in KINDS.items() if reason in reasons_of(model)] for reason in Reason
    }
    return page(
        "Refusal reasons",
        paragraphs(_INTRO),
        *(part for reason in Reason for part in _reason(reason, kinds[reason])),
        heading(2, CANCELLED),
        paragraphs(attribute_docs(outcomes)["CANCELLED"]),
        _status(CANCELLED),
        heading(2, "Messages by name that are no command"),
        paragraphs(_BY_NAME),
        items(_plain(TaskReject)),
        heading(2, "Events that are no command"),
        paragraphs(_EVENTS),
        items(_plain(RejectReason)),
    )


def _reason(reason: Reason, kinds: Sequence[str]) -> Iterator[str]:
    yield heading(2, reason.value)
    yield paragraphs(attribute_docs(Reason)[reason.name])
    yield _status(reason)
    named = ", ".join(link(code(kind), f"commands.md#{anchor(kind)}") for kind in kinds)
    yield wrapped(f"Commands: {named if len(kinds) < len(KINDS) else 'all'}.")


def _status(reason: str) -> str:
    return f"HTTP status: {OF_REASON[reason]}."


def _plain(reasons: type[StrEnum]) -> Iterator[str]:
    docs = attribute_docs(reasons)
    for reason in reasons:
        yield f"{code(reason.value)}: {' '.join(docs[reason.name].split())}"
