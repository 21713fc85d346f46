"""The door: repetitions get the first outcome, an id or a key with other content is refused."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pointledger import AnyCommand, Outcome
from pointledger.ids import show_id
from tests.model.acts import REUSED, Played
from tests.model.compare import Difference
from tests.model.coverage import Coverage


@dataclass(slots=True)
class Door:
    """The door of one tenant. Keys are unique per actor and kind."""

    _by_id: dict[str, Any] = field(default_factory=dict)
    _by_key: dict[tuple[str, str, str], tuple[Any, str]] = field(default_factory=dict)
    _firsts: dict[str, str] = field(default_factory=dict)

    def accept(self, task_id: str, kind: str, actor: str, key: str | None, content: Any) -> str:
        """The id of the command that answers: its own, the first one's, or REUSED. `content`: all that was
        sent but the id and what came with it for others to read."""
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


def at_door(command: AnyCommand) -> tuple[str, str, str, str | None, str]:
    """What the door looks at."""
    content = command.model_dump_json(exclude={"id", "extensions"})
    key = command.idempotency_key or getattr(command, "event_id", None)
    return show_id(command.id), command.kind, command.actor, key, content


def at_the_door(played: Played, outcomes: Mapping[str, Outcome], coverage: Coverage) -> Iterator[Difference]:
    """Where the ledger's door and the model's do not agree. A repetition under an id of its own is told the
    first one's outcome."""
    door = Door()
    for sent in played.sent.values():
        own_id = show_id(sent.command.id)
        first = door.accept(*at_door(sent.command))
        coverage.door(first == REUSED, first != own_id)
        ledger, model = (_told(answer, outcomes) for answer in (sent.answer, first))
        if ledger != model:
            yield Difference(f"the door says of command {sent.send.label}", ledger, model)


def _told(answer: str, outcomes: Mapping[str, Outcome]) -> Any:
    if answer == REUSED:
        return REUSED
    outcome = outcomes[answer]
    return outcome.state, outcome.reason, outcome.data
