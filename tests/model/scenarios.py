"""Short histories with their expected outcomes, command by command."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tests.model.histories import Action, History, PutConfig, PutRule, Ref, Round, Send, at

Expected = str | Mapping[str, Any]  # the reason of a refusal, or part of an outcome's data


@dataclass
class Scenario:
    """A history and its expected outcomes. `name` begins with its acceptance case or decision.

    Each command is sent after the one before it is applied, unless they are sent `together`.
    """

    name: str
    config: Mapping[str, Any] = field(default_factory=dict)
    rules: tuple[Mapping[str, Any], ...] = ()
    expected: dict[int, Expected] = field(default_factory=dict)
    figures: dict[str, Mapping[str, int]] = field(default_factory=dict)  # at the end, by user
    _rounds: list[Round] = field(default_factory=list)
    _is_together: bool = False

    def do(
        self, kind: str, user: str, when: str | None = None, expected: Expected | None = None, **fields: Any
    ) -> Ref:
        """Send a command, and return a reference to its entry."""
        label = sum(len(each.sends) for each in self._rounds)
        made = {name: at(value) if name in _MOMENTS else value for name, value in fields.items()}
        send = Send(label, kind, user, made, at(when) if when else None)
        if self._is_together and self._rounds:
            self._rounds[-1] = replace(self._rounds[-1], sends=(*self._rounds[-1].sends, send))
        else:
            self._rounds.append(Round(sends=(send,)))
        self.expected[label] = {} if expected is None else expected
        return Ref(label)

    def together(self) -> None:
        """Accept the following commands together with the last one, before any is applied."""
        self._is_together = True

    def separately(self) -> None:
        """Send the following commands one by one again."""
        self._is_together = False

    def change(self, when: str, **config: Any) -> None:
        """Change the tenant's configuration."""
        self._add_action(PutConfig({**self.config, **config}, at(when)))

    def change_rule(self, when: str, **rule: Any) -> None:
        self._add_action(PutRule(rule, at(when)))

    def _add_action(self, action: Action) -> None:
        self._rounds.append(Round(before=(action,)))

    def ends(self, user: str, **figures: int) -> None:
        """Set the expected figures of the user's account at the end."""
        self.figures[user] = figures

    @property
    def history(self) -> History:
        return History(self.config, self.rules, tuple(self._rounds))


_MOMENTS = ("expires_at", "activates_at", "as_of", "expiring_before")
