"""The timetable. The nightly jobs are asked for every minute, because midnight is each tenant's own: most
of these asks find nothing to do."""

from datetime import timedelta
from typing import Any

from pointledger.messaging import contract

RING_EVERY = timedelta(seconds=2)  # the longest that a lost doorbell delays a command, and half as much again
ACTIVATE_EVERY = timedelta(minutes=1)  # whoever needs the points sooner makes them available
ERASURES_EVERY = timedelta(minutes=1)  # the law gives a month
NIGHTLY_EVERY = timedelta(minutes=1)  # after a tenant's midnight
HOLDS_EVERY = timedelta(
    seconds=15
)  # holds that time out are few, and seen at once by whoever needs the points


def timetable() -> dict[str, dict[str, Any]]:
    """Beat's schedule. A message that nobody took within minutes expires: no pile while workers are away,
    and no loss while the clocks of beat and worker differ by seconds."""
    return {
        "ring-waiting-lanes": _entry(contract.RING_TASK, RING_EVERY),
        "expire-points": _entry(contract.EXPIRE_POINTS_TASK, NIGHTLY_EVERY),
        "activate-points": _entry(contract.ACTIVATE_POINTS_TASK, ACTIVATE_EVERY),
        "release-holds-due": _entry(contract.RELEASE_HOLDS_TASK, HOLDS_EVERY),
        "tell-expiring": _entry(contract.TELL_EXPIRING_TASK, NIGHTLY_EVERY),
        "finish-erasures": _entry(contract.FINISH_ERASURES_TASK, ERASURES_EVERY),
        "reset-daily-limits": _entry(contract.RESET_LIMITS_TASK, NIGHTLY_EVERY),
    }


def _entry(task: str, every: timedelta) -> dict[str, Any]:
    seconds = every.total_seconds()
    lives = max(60.0, 2 * seconds)
    return {
        "task": task,
        "schedule": seconds,
        "options": {"expires": lives, "queue": contract.PERIODIC_QUEUE},
    }
