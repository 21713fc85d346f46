"""Plays a history on the model alone, command by command, without a ledger."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from tests.model.accounts import Entry
from tests.model.deciding import Command, Outcome
from tests.model.histories import Action, Cancel, History, Pause, PutConfig, PutRule, PutWallet, Ref, Send
from tests.model.model import World

NOW = datetime(2026, 6, 1, tzinfo=UTC)  # the present: every command is accepted then
_PASSIVE = ("scheduled", "activation", "timeout")  # entries that the clock causes


class ModelRun:
    """A world, and the entries and outcomes of each command of a history."""

    def __init__(self) -> None:
        self.world = World("model")
        self.made: dict[int, list[Entry]] = {}
        self.outcomes: dict[int, Outcome] = {}

    def apply_action(self, action: Action, moment: datetime) -> None:
        """Apply an administrator's action, at its own moment or at this one."""
        match action:
            case PutConfig():
                self.world.put_config(action.config, action.at or moment)
            case PutRule():
                self.world.put_rule(action.rule, action.at or moment)
            case PutWallet():
                self.world.put_wallet(action.user, action.status, action.frozen)
            case Cancel() | Pause():
                pass  # a pause changes no outcome, and comparisons leave cancelled commands out

    def send(self, send: Send) -> Outcome:
        """Decide a command, and record its entries by its label: its own first, the sender's before the
        recipient's."""
        fields = self._resolved(send.fields)
        command = Command(f"{send.label}", send.kind, "model", send.user, fields, NOW, send.at)
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
        """Replace references by the model's ids."""
        if isinstance(value, Ref):
            entries = self.made.get(value.label, [])
            found: list[Any] = [lot for entry in entries for lot in entry.lots] if value.lot else entries
            return found[value.nth].id if value.nth < len(found) else "missing"
        if isinstance(value, Mapping):
            return {name: self._resolved(each) for name, each in value.items()}
        if isinstance(value, list | tuple):
            return [self._resolved(each) for each in value]
        return value


def run_model(history: History) -> ModelRun:
    """Play a whole history, its commands in the order of sending."""
    model_run = ModelRun()
    if history.config is not None:
        model_run.apply_action(PutConfig(history.config), NOW)
    for rule in history.rules:
        model_run.apply_action(PutRule(rule), NOW)
    for each in history.rounds:
        for action in each.before:
            model_run.apply_action(action, NOW)
        for send in each.sends:
            model_run.send(send)
        for action in each.after:
            model_run.apply_action(action, NOW)
    return model_run
