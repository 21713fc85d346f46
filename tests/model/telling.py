"""Tells a history to the model alone, command by command, without a ledger."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from tests.model.accounts import Entry
from tests.model.deciding import Command, Outcome
from tests.model.histories import Act, Cancel, History, Pause, PutConfig, PutRule, PutWallet, Ref, Send
from tests.model.model import World

NOW = datetime(2026, 6, 1, tzinfo=UTC)  # what is taken for the present: every command is accepted then
_PASSIVE = ("scheduled", "activation", "timeout")  # what time did, and no command


class Teller:
    """A world, and what each command of a history has made in it."""

    def __init__(self) -> None:
        self.world = World("told")
        self.made: dict[int, list[Entry]] = {}
        self.outcomes: dict[int, Outcome] = {}

    def act(self, act: Act, moment: datetime) -> None:
        """What an administrator does; `moment`: when it is done, unless the act says so itself."""
        match act:
            case PutConfig():
                self.world.put_config(act.config, act.at or moment)
            case PutRule():
                self.world.put_rule(act.rule, act.at or moment)
            case PutWallet():
                self.world.put_wallet(act.user, act.status, act.frozen)
            case Cancel() | Pause():
                pass  # what waits is told when it goes on, and what is withdrawn never

    def send(self, send: Send) -> Outcome:
        """Decides a command, and notes its entries by its label: its own first, a sender's before a
        recipient's."""
        fields = self._resolved(send.fields)
        command = Command(f"{send.label}", send.kind, "told", send.user, fields, NOW, send.at)
        self.outcomes[send.label] = self.world.decide(command)
        made = []
        for user in {send.user, fields.get("to_user_id")}:
            account = self.world.accounts.get(str(user))
            for entry in reversed(account.entries if account else []):
                if entry.command != command.id:
                    break
                made.append(entry)
        made.sort(key=lambda e: (e.subtype in _PASSIVE, e.subtype == "transfer_in", e.seq))
        self.made[send.label] = made
        return self.outcomes[send.label]

    def _resolved(self, value: Any) -> Any:
        """The model's own ids in the place of references."""
        if isinstance(value, Ref):
            entries = self.made.get(value.label, [])
            found: list[Any] = [lot for entry in entries for lot in entry.lots] if value.lot else entries
            return found[value.nth].id if value.nth < len(found) else "missing"
        if isinstance(value, Mapping):
            return {name: self._resolved(each) for name, each in value.items()}
        if isinstance(value, list | tuple):
            return [self._resolved(each) for each in value]
        return value


def told(history: History) -> Teller:
    """All of a history, its commands in the order in which they are sent."""
    teller = Teller()
    if history.config is not None:
        teller.act(PutConfig(history.config), NOW)
    for rule in history.rules:
        teller.act(PutRule(rule), NOW)
    for each in history.rounds:
        for act in each.before:
            teller.act(act, NOW)
        for send in each.sends:
            teller.send(send)
        for act in each.after:
            teller.act(act, NOW)
    return teller
