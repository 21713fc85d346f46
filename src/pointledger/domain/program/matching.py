"""Determines which rules grant points for an event, and why the others are skipped.

Each rule is checked in this order: its validity (`window`), what it would cost (`cost`), its condition
(`condition`), and its award. A field that the award counts can be missing (`field`), and an expression can
fail (`error`). Only the cost depends on other rules: on those before it (`budget.py`).

Then the matching rules of each group are combined (`stacking`):

| the group has         | rules that grant                                                                  |
| --------------------- | --------------------------------------------------------------------------------- |
| an `exclusive` rule   | only this rule, over any priority, also if its award is 0; of several |
|                       | `exclusive` rules, the one of highest priority, then the oldest                   |
| else: `best_of` rules | the one of them with the highest award; of equals, the one of highest priority,   |
|                       | then the oldest                                                                   |
| and `stack` rules     | all of them                                                                       |

The comparison uses awards before any limit: a rule whose limit is reached still wins.
"""

from collections import defaultdict
from typing import Any, Literal, NamedTuple

from pointledger.domain.program.awards import PerUnit, Table
from pointledger.domain.program.budget import Budget
from pointledger.domain.program.context import EvaluationContext
from pointledger.domain.program.expressions import ExpressionFailed, evaluate
from pointledger.domain.program.rule import Rule
from pointledger.domain.program.rules import EventRules

Skip = Literal["disabled", "window", "cost", "condition", "field", "error", "stacking"]


class Match(NamedTuple):
    """A rule of the event's type with its award before limits, or the reason why it is skipped."""

    rule: Rule
    wanted: int = 0
    skipped: Skip | None = None
    detail: str | None = None  # the limit of cost, the field, CEL's error code, or the rule that won

    def as_data(self) -> dict[str, Any]:
        """Return the outcome's line about a skipped rule."""
        data = {"rule_id": self.rule.id, "rule": self.rule.body.name, "rule_version": self.rule.version}
        return data | {"skipped": self.skipped} | ({"detail": self.detail} if self.detail else {})


def matches(rules: EventRules, context: EvaluationContext) -> list[Match]:
    """Match each rule with the event, in the order of the rules."""
    found = [_match(rule, context, rules.budget) for rule in rules]
    return found if rules.all_stack else _stacked(found)


def _match(rule: Rule, context: EvaluationContext, budget: Budget | None) -> Match:
    body = rule.body
    if body.valid is not None and not body.valid.holds(context):
        return Match(rule, skipped="window")
    if budget is not None and (excess := budget.excess(body.expressions, context)):
        return Match(rule, skipped="cost", detail=excess)
    try:
        if body.when is not None and not evaluate(body.when, "BOOL", context.facts):
            return Match(rule, skipped="condition")
        wanted = body.award.points(context)
    except ExpressionFailed as failed:
        return Match(rule, skipped="error", detail=failed.cause)
    if wanted is None:
        base = body.award.base
        assert isinstance(base, PerUnit | Table), "only these count a field"
        return Match(rule, skipped="field", detail=base.field)
    return Match(rule, wanted)


def _stacked(found: list[Match]) -> list[Match]:
    groups: dict[str | None, list[Match]] = defaultdict(list)
    for match in found:
        if not match.skipped:
            groups[match.rule.body.stacking.group].append(match)
    won_by = {match.rule.id: winner for group in groups.values() for match, winner in _losers(group)}
    return [
        match._replace(skipped="stacking", detail=won_by[match.rule.id]) if match.rule.id in won_by else match
        for match in found
    ]


def _losers(group: list[Match]) -> list[tuple[Match, str]]:
    """Return the matches of a group that do not grant, each with the name of the rule that wins."""
    exclusive = next((match for match in group if match.rule.body.stacking.mode == "exclusive"), None)
    if exclusive:
        return [(match, exclusive.rule.body.name) for match in group if match is not exclusive]
    rivals = [match for match in group if match.rule.body.stacking.mode == "best_of"]
    best = max(rivals, key=lambda match: match.wanted, default=None)  # the first of equals
    return [(match, best.rule.body.name) for match in rivals if best and match is not best]
