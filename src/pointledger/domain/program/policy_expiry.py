"""What a changed policy would do to lots that are there, where somebody asks for it.

Their age and what decided about them then are as recorded; the policy is today's: of the rule that granted
them, else of the tenant.
"""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from pointledger.domain.program.rule import Rule, Rules
from pointledger.domain.program.tenant import Tenant


class DatedLot(NamedTuple):
    """A lot whose expiry a policy has set. `rule`: id and version of the one that granted its points."""

    id: UUID
    expires_at: datetime | None
    changes: int
    points: int
    occurred_at: datetime
    rule: tuple[UUID, int] | None
    activates_at: datetime | None


def policy_expiry(tenant: Tenant, rules: Rules, lot: DatedLot, not_before: datetime) -> datetime | None:
    """When the lot is to expire by today's policy; None: never. What would expire sooner than now it does is
    given until `not_before`, or as long as it had."""
    by_policy = _by_policy(tenant, rules, lot)
    was = lot.expires_at
    if by_policy is None or (was is not None and by_policy >= was):
        return by_policy
    return max(by_policy, min(was, not_before) if was else not_before)


def _by_policy(tenant: Tenant, rules: Rules, lot: DatedLot) -> datetime | None:
    if lot.rule is None:
        return tenant.default_expiry(max(lot.activates_at or lot.occurred_at, lot.occurred_at))
    of_rule: list[Rule] = [rule for rule in rules.versions if rule.id == lot.rule[0]]
    granted_by = next(rule for rule in of_rule if rule.version == lot.rule[1])
    today = max(of_rule, key=lambda rule: rule.version)
    pending = granted_by.body.pending
    starts_at = tenant.days_later(lot.occurred_at, pending.days) if pending else lot.occurred_at
    return tenant.expires_at(starts_at, today.body.expiry)
