"""Computes the expiry of existing lots under a changed policy.

The age of a lot and its grant are as recorded. The policy is today's: of the rule that granted the points,
else of the tenant.
"""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from pointledger.domain.program.rules import Rules
from pointledger.domain.program.tenant import Tenant


class DatedLot(NamedTuple):
    """A lot whose expiry comes from a policy. `rule` is id and version of the granting rule."""

    id: UUID
    expires_at: datetime | None
    changes: int
    points: int
    occurred_at: datetime
    rule: tuple[UUID, int] | None
    activates_at: datetime | None


def policy_expiry(tenant: Tenant, rules: Rules, lot: DatedLot, not_before: datetime) -> datetime | None:
    """Return the lot's expiry under today's policy; None means never.

    An earlier expiry than the current one is delayed to `not_before`, but not beyond the current one.
    """
    by_policy = _by_policy(tenant, rules, lot)
    current = lot.expires_at
    if by_policy is None or (current is not None and by_policy >= current):
        return by_policy
    return max(by_policy, min(current, not_before) if current else not_before)


def _by_policy(tenant: Tenant, rules: Rules, lot: DatedLot) -> datetime | None:
    if lot.rule is None:
        return tenant.default_expiry(max(lot.activates_at or lot.occurred_at, lot.occurred_at))
    granted_by, today = rules.version(*lot.rule), rules.latest(lot.rule[0])
    assert granted_by is not None, "versions of rules are never deleted"
    pending = granted_by.body.pending
    starts_at = tenant.days_later(lot.occurred_at, pending.days) if pending else lot.occurred_at
    return tenant.expires_at(starts_at, today.body.expiry)
