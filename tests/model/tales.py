"""A short history with what is expected of it, written down command by command."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tests.model.histories import Act, History, PutConfig, PutRule, Ref, Round, Send, at

Expected = str | Mapping[str, Any]  # the reason of a refusal, or some of what an applied command tells


@dataclass
class Tale:
    """`name` begins with the acceptance case or the decision that it shows. Each command is sent when the one
    before it has been applied, unless they are sent `together`."""

    name: str
    config: Mapping[str, Any] = field(default_factory=dict)
    rules: tuple[Mapping[str, Any], ...] = ()
    expected: dict[int, Expected] = field(default_factory=dict)
    figures: dict[str, Mapping[str, int]] = field(default_factory=dict)  # in the end, by user
    _rounds: list[Round] = field(default_factory=list)
    _is_together: bool = False

    def do(
        self, kind: str, user: str, when: str | None = None, expected: Expected | None = None, **fields: Any
    ) -> Ref:
        """Sends a command; what stands for the entry that it makes."""
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
        """What follows is accepted with the command that was sent last, before any of it is applied."""
        self._is_together = True

    def separately(self) -> None:
        """What follows is sent when all before has been applied."""
        self._is_together = False

    def change(self, when: str, **config: Any) -> None:
        """The tenant's configuration changes."""
        self._act(PutConfig({**self.config, **config}, at(when)))

    def change_rule(self, when: str, **rule: Any) -> None:
        self._act(PutRule(rule, at(when)))

    def _act(self, act: Act) -> None:
        self._rounds.append(Round(before=(act,)))

    def ends(self, user: str, **figures: int) -> None:
        """What the user's account has in the end."""
        self.figures[user] = figures

    @property
    def history(self) -> History:
        return History(self.config, self.rules, tuple(self._rounds))


_MOMENTS = ("expires_at", "activates_at", "as_of", "expiring_before")
