"""Finds users in a lane."""

from itertools import count

from pointledger.domain.commands.records import lane_of


def user_in(lane: int, tenant_id: str, lanes: int) -> str:
    """Return the id of a user of the tenant in this lane."""
    return next(user for user in map(str, count()) if lane_of(tenant_id, user, lanes) == lane)
