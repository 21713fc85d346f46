"""Creates random histories of commands of every kind, chosen by the state of the model."""

import random
from datetime import UTC, datetime

from tests.model.accounts import LARGEST_FIGURE
from tests.model.histories import (
    Action,
    Cancel,
    History,
    Pause,
    PutConfig,
    PutRule,
    PutWallet,
    Round,
    Send,
)
from tests.model.model_run import ModelRun
from tests.model.moments import Timeline, start_of_history
from tests.model.random_commands import RandomCommands
from tests.model.random_programs import RandomPrograms

END = datetime(2026, 5, 1, tzinfo=UTC)  # histories end in the past, so they do not depend on the clock
_MOST_IN_A_ROUND = 12
_DATED = 0.7  # share of histories with backdated changes of their program
_RICH = 0.04  # share of histories with the largest figures


class RandomHistory:
    """Creates a history with this number of commands."""

    def __init__(self, chance: random.Random, commands: int) -> None:
        self._chance, self._commands = chance, commands
        zone = chance.choice(("Europe/Berlin", "America/Sao_Paulo", "Pacific/Apia", "UTC", "America/Havana"))
        self._start = start_of_history(chance, zone)
        self._programs = RandomPrograms(chance, self._start)
        self._model_run = ModelRun()
        self._label = 0
        self._is_dated = chance.random() < _DATED
        self._accepted: dict[int, Send] = {}
        self._erased: set[str] = set()

    def create(self) -> History:
        config = None if self._chance.random() < 0.02 else self._programs.config()
        rules = tuple(self._programs.rule(f"rule {nth}") for nth in range(self._chance.randrange(1, 6)))
        if config is None:
            rules = ()
        else:
            self._model_run.apply_action(PutConfig(config), self._start)
            for rule in rules:
                self._model_run.apply_action(PutRule(rule), self._start)
        self._config, self._rules = config, rules
        self._timeline = Timeline(self._chance, self._start, END)
        is_rich = self._chance.random() < _RICH
        self._random_commands = RandomCommands(self._chance, self._model_run, self._timeline, is_rich)
        rounds = []
        while self._label < self._commands:
            rounds.append(self._round())
        return History(config, rules, tuple(rounds))

    def _round(self) -> Round:
        before = tuple(self._actions())
        size = min(self._chance.randint(1, _MOST_IN_A_ROUND), self._commands - self._label)
        sends: list[Send] = []
        for _ in range(size):
            sends.append(self._send())
        self._random_commands.end_round()
        cancelled = [Cancel(sends[-1].label)] if self._chance.random() < 0.04 else []
        return Round(before, tuple(sends), tuple(cancelled))

    # --------------------------------------------------------------------------------------------- actions

    def _actions(self) -> list[Action]:
        if self._config is None:
            return []
        actions: list[Action] = []
        draw = self._chance.random()
        if draw < 0.1:
            self._config = self._programs.changed(dict(self._config))
            actions.append(PutConfig(self._config, self._saved_at))
        elif draw < 0.25 and self._rules:
            rule = self._programs.rule(self._chance.choice(self._rules)["name"])
            actions.append(PutRule(rule, self._saved_at))
        elif draw < 0.29:
            actions.append(Pause(on=self._chance.random() < 0.5))
        elif draw < 0.36:
            user = self._random_commands.user_with_wallet()
            status = self._chance.choice(("active", "frozen", "closed"))
            actions.append(PutWallet(user, status, self._chance.choice((0, 5, 100))))
        for action in actions:
            self._model_run.apply_action(action, self._timeline.now)
        return actions

    @property
    def _saved_at(self) -> datetime | None:
        """The time at which a version counts as saved: the history's current time, or None for the real time.

        All versions of a history use the same kind of time, so their order is that of their times.
        """
        return self._timeline.now if self._is_dated else None

    # -------------------------------------------------------------------------------------------- sends

    def _send(self) -> Send:
        if self._accepted and self._chance.random() < 0.03:
            return self._repeated()
        return self._new()

    def _new(self) -> Send:
        label, self._label = self._label, self._label + 1
        kind, user, fields, moment = self._random_commands.command()
        key = f"key {label}" if self._chance.random() < 0.12 else None
        actor = self._chance.choice(("service", "admin", "job")) if kind != "apply-rule" else "service"
        send = Send(label, kind, user, fields, moment, actor=actor, key=key)
        if kind == "erase-user":
            self._erased.add(user)
        self._accepted[label] = send
        self._random_commands.decide(send)
        return send

    def _repeated(self) -> Send:
        """Repeat a command by its id or its key, with the same or other content."""
        first = self._accepted[self._chance.choice(list(self._accepted))]
        # Redacted commands cannot be compared by content.
        if self._erased & {first.user, first.fields.get("to_user_id")}:
            return self._new()
        label, self._label = self._label, self._label + 1
        fields, at = dict(first.fields), first.at
        if self._chance.random() < 0.4 and "amount" in fields and isinstance(fields["amount"], int):
            fields["amount"] += 1 if fields["amount"] not in (-1, LARGEST_FIGURE) else -1
        by_key = first.key is not None and self._chance.random() < 0.6
        return Send(
            label,
            first.kind,
            first.user,
            fields,
            at,
            actor=first.actor,
            key=first.key,
            again=None if by_key else first.label,
        )
