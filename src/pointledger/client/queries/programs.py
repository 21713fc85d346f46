"""Queries about a tenant's program: its rules with what they grant, and versions with who saved them."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from pointledger.client.given_ids import given_id
from pointledger.client.queries.base import Queries
from pointledger.client.queries.results import iso
from pointledger.domain.program.rule import Rule
from pointledger.domain.program.tenant import Tenant
from pointledger.errors import InvalidCommand
from pointledger.storage.database import read_only
from pointledger.storage.ledger import program
from pointledger.storage.queries import current, day_totals, versions
from pointledger.storage.queries.versions import Version

DAYS = 30  # of grants
MOST_DAYS = 366
PAGE = 20
MOST_VERSIONS = 100  # of a page, each with its whole text
_BEYOND_ANY_VERSION = 2**31 - 1

RuleState = Literal["active", "scheduled", "ended", "disabled"]


@dataclass(frozen=True, slots=True)
class RuleLine:
    """A rule's latest version, and what all its versions have granted lately."""

    rule: Rule
    """The latest version."""
    state: RuleState
    """`scheduled` until its validity begins, `ended` after it, `disabled` if it is switched off."""
    times: int
    """How often it has granted."""
    points: int
    """The points that it has granted."""


@dataclass(frozen=True, slots=True)
class SavedVersion:
    """A version of a rule or of a configuration."""

    version: int
    """Its number, from 1."""
    saved_at: str
    """When it was saved, in ISO 8601."""
    in_force_from: str | None
    """From when a rule's version counts. None: from the start, or it is a configuration."""
    content: dict[str, Any]
    """The rule or configuration as it was saved."""
    actor: str | None
    """The person or program that saved it. None: before the audit log began."""
    reason: str | None
    """Why it was saved."""


class ProgramQueries(Queries):
    """Queries about the programs in one database."""

    def rules(self, tenant_id: str, days: int = DAYS) -> list[RuleLine]:
        """Read the tenant's rules in the order of evaluation, also disabled ones, and what each granted on
        the last `days` local days, today included. Raises TenantMissing, and InvalidCommand."""
        if not 1 <= days <= MOST_DAYS:
            raise InvalidCommand(f"days: must be 1 to {MOST_DAYS}, not {days}")
        with read_only(self._database) as connection:
            tenant, now = program.tenant(connection, tenant_id), current.moment_of(connection)
            first = tenant.local_date(now) - timedelta(days=days - 1)
            reached = day_totals.mark(connection, tenant_id).reached
            starts_at = tenant.day_starts_at(first)
            granted = day_totals.grants(connection, tenant_id, reached, first, starts_at)
            rules = program.current_rules(connection, tenant_id)
        nothing = day_totals.Grants(0, 0)
        return [RuleLine(rule, _state(tenant, rule, now), *granted.get(rule.id, nothing)) for rule in rules]

    def rule_versions(
        self, tenant_id: str, rule_id: str, *, before: int | None = None, limit: int = PAGE
    ) -> list[SavedVersion]:
        """Read a page of the rule's versions, the latest first: those below `before`. Empty if the tenant has
        no such rule. Raises TenantMissing, and InvalidCommand for a malformed id."""
        wanted = given_id("rule_id", rule_id)
        with read_only(self._database) as connection:
            program.tenant(connection, tenant_id)
            found = versions.of_rule(connection, tenant_id, wanted, _below(before), _limited(limit))
        return [_saved(version) for version in found]

    def configurations(
        self, tenant_id: str, *, before: int | None = None, limit: int = PAGE
    ) -> list[SavedVersion]:
        """Read a page of the versions of the tenant's configuration, the latest first: those below `before`.
        Raises TenantMissing."""
        with read_only(self._database) as connection:
            program.tenant(connection, tenant_id)
            found = versions.of_tenant(connection, tenant_id, _below(before), _limited(limit))
        return [_saved(version) for version in found]


def _state(tenant: Tenant, rule: Rule, now: datetime) -> RuleState:
    """Return the rule's state now. Its validity is in the tenant's local time."""
    if not rule.body.enabled:
        return "disabled"
    valid = rule.body.valid
    if valid and valid.since and now < tenant.instant(datetime.fromisoformat(valid.since)):
        return "scheduled"
    if valid and valid.until and now >= tenant.instant(datetime.fromisoformat(valid.until)):
        return "ended"
    return "active"


def _saved(version: Version) -> SavedVersion:
    in_force_from = iso(version.in_force_from) if version.in_force_from else None
    return SavedVersion(
        version.version, iso(version.saved_at), in_force_from, version.content, version.actor, version.reason
    )


def _below(before: int | None) -> int:
    return _BEYOND_ANY_VERSION if before is None else min(before, _BEYOND_ANY_VERSION)


def _limited(limit: int) -> int:
    return max(1, min(limit, MOST_VERSIONS))
