"""Shrinks a history in which the ledger and the model differ: fewer commands, rules, fields and points.

It plays many shorter candidates side by side, and continues with the first that differs in the same way.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pointledger import command_from
from pointledger.domain.program.rule import rule_from
from pointledger.domain.program.tenant import tenant_from
from pointledger.errors import LedgerError
from tests.model.compare import Difference
from tests.model.histories import History, PutConfig, PutRule, Round, Send
from tests.model.system import payload

_AT_ONCE = 40  # candidates in a group
_MOST_GROUPS = 150  # a bound, because shrinking ends when nothing shorter differs
_NEEDED = ("name", "event_type", "kind", "points", "base", "award", "tenant_id")

Differing = Callable[[Sequence[History]], Sequence[list[Difference]]]


def shrunk(history: History, differences: list[Difference], differing: Differing) -> History:
    """Return the shortest history found that differs in the same way.

    `differing` plays histories and returns the differences of each.
    """
    wanted = signature(differences)
    for _ in range(_MOST_GROUPS):
        candidates = (each for each in _shorter(history) if is_valid(each))
        for group in _groups(candidates):
            found = differing(group)
            still = [
                each for each, what in zip(group, found, strict=True) if what and signature(what) == wanted
            ]
            if still:
                history = still[0]
                break
        else:
            return history
    return history


def signature(differences: list[Difference]) -> str:
    """Return where a difference is, without labels, users and numbers."""
    return re.sub(r"\d+|\b(ann|ben|cem|dee|zoe)\b", "", differences[0].where)


def is_valid(history: History) -> bool:
    """Whether the ledger accepts everything in the history."""
    try:
        for action in (action for each in history.rounds for action in (*each.before, *each.after)):
            if isinstance(action, PutConfig):
                tenant_from({"tenant_id": "t", **action.config})
            if isinstance(action, PutRule):
                rule_from(dict(action.rule))
        if history.config is not None:
            tenant_from({"tenant_id": "t", **history.config})
        for rule in history.rules:
            rule_from(dict(rule))
        for send in history.sends():
            command_from(send.kind, payload(send, "t", {}))
    except (LedgerError, KeyError, TypeError):
        return False
    return True


def _groups(candidates: Iterator[History]) -> Iterator[list[History]]:
    group: list[History] = []
    for each in candidates:
        group.append(each)
        if len(group) == _AT_ONCE:
            yield group
            group = []
    if group:
        yield group


def _shorter(history: History) -> Iterator[History]:
    yield from _with_fewer_sends(history)
    yield from _with_fewer_actions(history)
    yield from _in_fewer_rounds(history)
    for nth in range(len(history.rules)):
        yield replace(history, rules=history.rules[:nth] + history.rules[nth + 1 :])
    if history.config:
        for config in _simpler(history.config):
            yield replace(history, config=config)
    for nth, rule in enumerate(history.rules):
        for simpler in _simpler(rule):
            yield replace(history, rules=(*history.rules[:nth], simpler, *history.rules[nth + 1 :]))
    yield from _with_simpler_actions(history)
    yield from _with_simpler_sends(history)


def _with_fewer_sends(history: History) -> Iterator[History]:
    labels = [send.label for send in history.sends()]
    size = len(labels) // 2
    while size:
        for start in range(0, len(labels), size):
            dropped = set(labels[start : start + size])
            rounds = (
                replace(each, sends=tuple(send for send in each.sends if send.label not in dropped))
                for each in history.rounds
            )
            yield replace(history, rounds=tuple(each for each in rounds if each != Round()))
        size //= 2


def _with_fewer_actions(history: History) -> Iterator[History]:
    for nth, each in enumerate(history.rounds):
        for place in ("before", "after"):
            actions = getattr(each, place)
            for dropped in range(len(actions)):
                yield _with_round(
                    history, nth, replace(each, **{place: actions[:dropped] + actions[dropped + 1 :]})
                )


def _in_fewer_rounds(history: History) -> Iterator[History]:
    for nth in range(len(history.rounds) - 1):
        first, second = history.rounds[nth : nth + 2]
        joined = Round(first.before + second.before, first.sends + second.sends, first.after + second.after)
        yield replace(history, rounds=(*history.rounds[:nth], joined, *history.rounds[nth + 2 :]))


def _with_round(history: History, nth: int, changed: Round) -> History:
    rounds = (*history.rounds[:nth], changed, *history.rounds[nth + 1 :])
    return replace(history, rounds=tuple(each for each in rounds if each != Round()))


def _with_simpler_actions(history: History) -> Iterator[History]:
    for nth, each in enumerate(history.rounds):
        for place, action in enumerate(each.before):
            if isinstance(action, PutConfig):
                changed: list[Any] = [replace(action, config=config) for config in _simpler(action.config)]
            elif isinstance(action, PutRule):
                changed = [replace(action, rule=rule) for rule in _simpler(action.rule)]
            else:
                continue
            for simpler in changed:
                before = (*each.before[:place], simpler, *each.before[place + 1 :])
                yield _with_round(history, nth, replace(each, before=before))


def _with_simpler_sends(history: History) -> Iterator[History]:
    for nth, each in enumerate(history.rounds):
        for place, send in enumerate(each.sends):
            for simpler in _simpler_sends(send):
                sends = (*each.sends[:place], simpler, *each.sends[place + 1 :])
                yield _with_round(history, nth, replace(each, sends=sends))


def _simpler_sends(send: Send) -> Iterator[Send]:
    for plain in ({"key": None}, {"actor": "service"}, {"again": None}):
        if any(getattr(send, name) != value for name, value in plain.items()):
            yield replace(send, **plain)
    if send.at is not None and (send.at.minute or send.at.second or send.at.microsecond):
        yield replace(send, at=send.at.replace(minute=0, second=0, microsecond=0))
    for fields in _simpler(send.fields):
        yield replace(send, fields=fields)


def _simpler(value: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the mapping without one of its parts, or with a simpler one."""
    for name, part in value.items():
        if name not in _NEEDED:
            yield {other: each for other, each in value.items() if other != name}
        for simpler in _simpler_value(part):
            yield {**value, name: simpler}


def _simpler_value(part: Any) -> Iterator[Any]:
    if isinstance(part, Mapping):
        yield from _simpler(part)
    if isinstance(part, list | tuple):
        for nth in range(len(part)):
            yield [*part[:nth], *part[nth + 1 :]]
        for nth, each in enumerate(part):
            for simpler in _simpler_value(each):
                yield [*part[:nth], simpler, *part[nth + 1 :]]
    if type(part) is int and part > 1:
        yield from sorted({1, part // 10, part // 2, part - 1} - {0, part})
