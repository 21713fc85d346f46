"""Matching: which rules grant for an event, and why the others do not.

A rule is asked, in this order, whether it holds at that moment (`window`), whether its condition is met
(`condition`), and how many points it wants; a field that it counts may be missing (`field`), an expression
may fail (`error`). Nothing of this depends on what another rule grants.

Then those that match go together, group by group (`stacking`):

| a group has ...            | who grants                                                                   |
| -------------------------- | ---------------------------------------------------------------------------- |
| an `exclusive` rule        | it alone, whatever the others' priority; of several, the one of highest      |
|                            | priority, then the oldest; also when it wants nothing                        |
| else, `best_of` rules      | of these the one that wants most; of equals, the one of highest priority,    |
|                            | then the oldest                                                              |
| and `stack` rules          | every one                                                                    |

What a rule wants is its award before any limit: a winner whose limit is reached still wins.
"""

from collections import defaultdict
from typing import Any, Literal, NamedTuple

from pointledger.domain.program.awards import PerUnit, Table
from pointledger.domain.program.context import Scene
from pointledger.domain.program.expressions import ExpressionFailed, evaluate
from pointledger.domain.program.rule import Rule

Skip = Literal["disabled", "window", "condition", "field", "error", "stacking"]


class Match(NamedTuple):
    """A rule of the event's type and what it wants to grant; or why it is skipped."""

    rule: Rule
    wanted: int = 0
    skipped: Skip | None = None
    because: str | None = None  # the field, CEL's word for the error, or the rule that won

    def as_data(self) -> dict[str, Any]:
        """Its line in the outcome's trace, where it was skipped."""
        data = {"rule_id": self.rule.id, "rule": self.rule.body.name, "rule_version": self.rule.version}
        return data | {"skipped": self.skipped} | ({"because": self.because} if self.because else {})


def matches(rules: list[Rule], scene: Scene) -> list[Match]:
    """Each rule's match, in the order of the rules."""
    found = [_match(rule, scene) for rule in rules]
    if len(found) > 1 and any(rule.body.stacking.mode != "stack" for rule in rules):
        return _stacked(found)
    return found


def _match(rule: Rule, scene: Scene) -> Match:
    body = rule.body
    if body.valid is not None and not body.valid.holds(scene):
        return Match(rule, skipped="window")
    try:
        if body.when is not None and not evaluate(body.when, "BOOL", scene.facts):
            return Match(rule, skipped="condition")
        wanted = body.award.points(scene)
    except ExpressionFailed as failed:
        return Match(rule, skipped="error", because=failed.cause)
    if wanted is None:
        base = body.award.base
        assert isinstance(base, PerUnit | Table), "only these count a field"
        return Match(rule, skipped="field", because=base.field)
    return Match(rule, wanted)


def _stacked(found: list[Match]) -> list[Match]:
    groups: dict[str | None, list[Match]] = defaultdict(list)
    for match in found:
        if not match.skipped:
            groups[match.rule.body.stacking.group].append(match)
    won_by = {match.rule.id: winner for group in groups.values() for match, winner in _losers(group)}
    return [
        match._replace(skipped="stacking", because=won_by[match.rule.id])
        if match.rule.id in won_by
        else match
        for match in found
    ]


def _losers(group: list[Match]) -> list[tuple[Match, str]]:
    """Who of a group does not grant, and the name of the rule that does instead."""
    exclusive = next((match for match in group if match.rule.body.stacking.mode == "exclusive"), None)
    if exclusive:
        return [(match, exclusive.rule.body.name) for match in group if match is not exclusive]
    rivals = [match for match in group if match.rule.body.stacking.mode == "best_of"]
    best = max(rivals, key=lambda match: match.wanted, default=None)  # the first of equals
    return [(match, best.rule.body.name) for match in rivals if best and match is not best]
