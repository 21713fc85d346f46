"""Reads the versions of rules that a batch needs, however many versions there are.

For each tenant a process remembers when each version came into force, and reads only what was added since. It
reads and checks the bodies of those versions that are in force at the moments of a batch's events, of the
latest versions, and of those that granted what a batch reverses.
"""

from bisect import bisect_right
from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from pointledger.domain.program.rule import Rule, rule_as_saved
from pointledger.domain.program.rules import Rules, Timeline
from pointledger.storage.database import rows

_CACHED_BODIES = 20_000  # some kilobytes each, for a thousand tenants with twenty rules
_CACHED_HEADS = 500_000  # some 100 bytes each
_CACHED_RULES = 5_000  # of combinations of versions: one per tenant, unless its events are of the past

VersionId = tuple[UUID, int]  # of a rule, and of its version

# One transaction at a time saves rules of a tenant, so versions are only added at the end of this order.
_ADDED = """
SELECT name, rule_id, version, in_force_from FROM rule_versions WHERE tenant_id = %(tenant)s
ORDER BY saved_at, version OFFSET %(known)s LIMIT %(more)s"""

_BODIES = """
SELECT v.rule_id, v.version, v.in_force_from, v.body
FROM unnest(%(names)b::text[], %(versions)b::int[]) AS wanted (name, version)
JOIN rule_versions v ON v.tenant_id = %(tenant)s AND v.name = wanted.name COLLATE "C"
                    AND v.version = wanted.version"""


class _Heads:
    """When each version of a tenant's rules came into force; without their bodies."""

    def __init__(self) -> None:
        self.count = 0
        self.names: dict[UUID, str] = {}  # in the order in which the rules were first saved
        self._moments: dict[UUID, dict[int, datetime | None]] = {}  # by version
        self._timelines: dict[UUID, tuple[list[int], Timeline]] = {}  # versions in ascending order
        self._changes: list[datetime] = []

    def extend(self, added: list[Any]) -> None:
        """Add versions in the order of saving."""
        for row in added:
            self._moments.setdefault(row.rule_id, {})[row.version] = row.in_force_from
            self.names[row.rule_id] = row.name
        self.count += len(added)
        for rule_id in {row.rule_id for row in added}:
            versions = sorted(self._moments[rule_id])
            timeline = Timeline([self._moments[rule_id][version] for version in versions])
            self._timelines[rule_id] = versions, timeline
        self._changes = sorted({row.in_force_from for row in added if row.in_force_from} | set(self._changes))

    def has(self, row: Any) -> bool:
        return row.version in self._moments.get(row.rule_id, ())

    def needed(self, moments: Iterable[datetime]) -> frozenset[VersionId]:
        """Return each rule's version in force at each of these moments, and its latest one."""
        representatives = {bisect_right(self._changes, moment): moment for moment in moments}
        found = {(rule_id, versions[-1]) for rule_id, (versions, _) in self._timelines.items()}
        for moment in representatives.values():  # one for all moments between two changes
            for rule_id, (versions, timeline) in self._timelines.items():
                if (place := timeline.place(moment)) is not None:
                    found.add((rule_id, versions[place]))
        return frozenset(found)


class RuleVersions:
    """Reads and caches the versions of rules in one database."""

    def __init__(self) -> None:
        self._heads: dict[str, _Heads] = {}
        self._bodies: dict[tuple[str, VersionId], Rule] = {}
        self._rules: dict[tuple[str, int, frozenset[VersionId]], Rules] = {}

    def rules(
        self,
        connection: sa.Connection,
        tenant_id: str,
        count: int,
        moments: Iterable[datetime],
        others: Iterable[VersionId] = (),
    ) -> Rules:
        """Return the first `count` saved versions as far as these moments need them, and `others`.

        Raises InvalidRule for a needed version that a newer program saved.
        """
        heads = self._known(connection, tenant_id, count)
        needed = heads.needed(moments) | {each for each in others if each[0] in heads.names}
        key = tenant_id, count, needed
        if key not in self._rules:
            found = self._read(connection, tenant_id, heads, needed)
            order = {rule_id: place for place, rule_id in enumerate(heads.names)}
            found.sort(key=lambda rule: (order[rule.id], rule.version))
            _make_room(self._rules, _CACHED_RULES)
            self._rules[key] = Rules(tuple(found))
        return self._rules[key]

    def _known(self, connection: sa.Connection, tenant_id: str, count: int) -> _Heads:
        heads = self._heads.get(tenant_id)
        if heads is not None and heads.count == count:
            return heads
        if sum(each.count for each in self._heads.values()) >= _CACHED_HEADS:
            self._heads.clear()
        added = _added(connection, tenant_id, heads.count, count) if heads and heads.count < count else []
        if heads is None or heads.count > count or any(heads.has(row) for row in added):
            # The order is another one than before if the database's clock was set back.
            heads, added = _Heads(), _added(connection, tenant_id, 0, count)
        heads.extend(added)
        self._heads[tenant_id] = heads
        return heads

    def _read(
        self, connection: sa.Connection, tenant_id: str, heads: _Heads, needed: frozenset[VersionId]
    ) -> list[Rule]:
        missing = [each for each in needed if (tenant_id, each) not in self._bodies]
        found = [self._bodies[tenant_id, each] for each in needed if (tenant_id, each) in self._bodies]
        _make_room(self._bodies, _CACHED_BODIES)
        if missing:
            names, versions = [heads.names[rule_id] for rule_id, _ in missing], [each[1] for each in missing]
            for row in rows(connection, _BODIES, tenant=tenant_id, names=names, versions=versions):
                rule = Rule(row.rule_id, row.version, row.in_force_from, rule_as_saved(row.body))
                self._bodies[tenant_id, (rule.id, rule.version)] = rule
                found.append(rule)
        return found


def _added(connection: sa.Connection, tenant_id: str, known: int, count: int) -> list[Any]:
    return list(rows(connection, _ADDED, tenant=tenant_id, known=known, more=count - known))


def _make_room(cache: dict[Any, Any], most: int) -> None:
    if len(cache) >= most:
        cache.clear()
