"""Defines which version of each rule is in force at a moment.

The first version of a rule is always in force, so that it applies to last year's events. A later version is
in force from the moment when it was saved.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

from pointledger.domain.program.budget import budget_for
from pointledger.domain.program.rule import Rule

_ALWAYS = datetime.min.replace(tzinfo=UTC)
_CACHED_CHOICES = 1_000  # of event types and moments: more only if very many events are of the past


class Timeline:
    """When the versions of one rule came into force."""

    def __init__(self, in_force_from: Sequence[datetime | None]) -> None:
        """`in_force_from` has a moment per version, in ascending order of versions."""
        # The latest version whose moment has come is in force. So a version's moment is the least of its
        # own and all later ones, and the moments ascend even if the database's clock was set back.
        self._moments = [moment or _ALWAYS for moment in in_force_from]
        for place in range(len(self._moments) - 2, -1, -1):
            self._moments[place] = min(self._moments[place], self._moments[place + 1])

    def place(self, moment: datetime) -> int | None:
        """Return the place of the version in force, from 0, or None: there is none yet."""
        return bisect_right(self._moments, moment) - 1 if self._moments[0] <= moment else None


class EventRules(list[Rule]):
    """The enabled rules for an event. `budget` is None if no event makes them cost too much.

    `all_stack`: each matching rule grants, also beside others.
    """

    def __init__(self, rules: Iterable[Rule]) -> None:
        super().__init__(rules)
        self.budget = budget_for([rule.body.worst_cost for rule in self])
        self.all_stack = all(rule.body.stacking.mode == "stack" for rule in self)


@dataclass(frozen=True, slots=True)
class Rules:
    """Versions of a tenant's rules, in the order in which they were saved: all of them, or those that a batch
    needs. The value can be cached until a rule changes."""

    versions: tuple[Rule, ...] = ()
    _by_id: dict[UUID, list[Rule]] = field(default_factory=dict, init=False, compare=False, repr=False)
    _timelines: dict[UUID, Timeline] = field(default_factory=dict, init=False, compare=False, repr=False)
    _changes: list[datetime] = field(default_factory=list, init=False, compare=False, repr=False)
    _chosen: dict[tuple[str, int], EventRules] = field(
        default_factory=dict, init=False, compare=False, repr=False
    )  # the enabled rules, by event type and the number of changes before

    def __post_init__(self) -> None:
        for rule in self.versions:  # the oldest rule first, because it grants first among equals
            self._by_id.setdefault(rule.id, []).append(rule)
        for rule_id, versions in self._by_id.items():
            versions.sort(key=lambda rule: rule.version)
            self._timelines[rule_id] = Timeline([rule.in_force_from for rule in versions])
        self._changes.extend(sorted({rule.in_force_from for rule in self.versions if rule.in_force_from}))

    def for_event(self, event_type: str, effective_at: datetime) -> EventRules:
        """Return the enabled rules for an event type, each in the version in force then.

        The rule of highest priority is first; of equals, the oldest.
        """
        # Between two changes the result is the same for any moment.
        key = event_type, bisect_right(self._changes, effective_at)
        if key not in self._chosen:
            if len(self._chosen) >= _CACHED_CHOICES:
                self._chosen.clear()
            found = self.in_force(event_type, effective_at)
            self._chosen[key] = EventRules(rule for rule in found if rule.body.enabled)
        return self._chosen[key]

    def in_force(self, event_type: str, effective_at: datetime) -> list[Rule]:
        """Return the rules for an event type like `for_event`, including disabled ones."""
        matching = []
        for rule_id, timeline in self._timelines.items():
            place = timeline.place(effective_at)
            if place is not None and (rule := self._by_id[rule_id][place]).body.event_type == event_type:
                matching.append(rule)
        return sorted(matching, key=lambda rule: -rule.body.priority)

    def version(self, rule_id: UUID, number: int) -> Rule | None:
        """Return one version of a rule, or None."""
        return next((rule for rule in self._by_id.get(rule_id, []) if rule.version == number), None)

    def latest(self, rule_id: UUID) -> Rule:
        """Return the latest version of a rule. Raises KeyError for an unknown rule."""
        return self._by_id[rule_id][-1]
