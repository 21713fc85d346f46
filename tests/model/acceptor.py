"""Models acceptance: repetitions get the first outcome, and reused ids and keys are refused."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pointledger import AnyCommand, Outcome
from pointledger.ids import show_id
from tests.model.actions import REUSED, Played
from tests.model.compare import Difference
from tests.model.coverage import Coverage


@dataclass(slots=True)
class AcceptorModel:
    """The acceptance of one tenant. Keys are unique per actor and kind."""

    _by_id: dict[str, Any] = field(default_factory=dict)
    _by_key: dict[tuple[str, str, str], tuple[Any, str]] = field(default_factory=dict)
    _firsts: dict[str, str] = field(default_factory=dict)

    def accept(self, task_id: str, kind: str, actor: str, key: str | None, content: Any) -> str:
        """Return the id of the command that counts: its own, the first one's, or REUSED.

        `content` is everything that was sent, except the id and the extensions.
        """
        if task_id in self._by_id:
            return self._firsts[task_id] if self._by_id[task_id] == content else REUSED
        first = task_id
        if key is not None:
            before, first = self._by_key.setdefault((actor, kind, key), (content, task_id))
            if before != content:
                return REUSED
        self._by_id[task_id] = content
        self._firsts[task_id] = first
        return first


def acceptance_of(command: AnyCommand) -> tuple[str, str, str, str | None, str]:
    """Return the fields that decide acceptance."""
    content = command.model_dump_json(exclude={"id", "extensions"})
    key = command.idempotency_key or getattr(command, "event_id", None)
    return show_id(command.id), command.kind, command.actor, key, content


def compare_acceptance(
    played: Played, outcomes: Mapping[str, Outcome], coverage: Coverage
) -> Iterator[Difference]:
    """Yield where the acceptance of the ledger and of the model differ.

    A repetition under its own id gets the outcome of the first command.
    """
    acceptor = AcceptorModel()
    for sent in played.sent.values():
        own_id = show_id(sent.command.id)
        first = acceptor.accept(*acceptance_of(sent.command))
        coverage.acceptance(first == REUSED, first != own_id)
        ledger, model = (_outcome_of(answer, outcomes) for answer in (sent.answer, first))
        if ledger != model:
            yield Difference(f"acceptance of command {sent.send.label}", ledger, model)


def _outcome_of(answer: str, outcomes: Mapping[str, Outcome]) -> Any:
    if answer == REUSED:
        return REUSED
    outcome = outcomes[answer]
    return outcome.state, outcome.reason, outcome.data
