"""Defines when beat sends tasks.

It sends the nightly jobs every minute, because each tenant has its own midnight. Most of these tasks find
no run.
"""

from datetime import timedelta
from typing import Any

from pointledger.messaging import contract

RING_EVERY = timedelta(seconds=2)  # a lost doorbell delays a command by two to four seconds
ACTIVATE_EVERY = timedelta(minutes=1)  # each command activates the due points of its account itself
ERASURES_EVERY = timedelta(minutes=1)  # the law allows a month
NIGHTLY_EVERY = timedelta(minutes=1)  # after a tenant's midnight
SUM_UP_EVERY = timedelta(minutes=1)  # queries add the entries of the last minutes themselves
VERIFY_EVERY = timedelta(seconds=3)  # a person waits; each message is a second of work
HOLDS_EVERY = timedelta(seconds=15)  # each command releases the due holds of its account itself


def timetable() -> dict[str, dict[str, Any]]:
    """Return beat's schedule.

    Messages expire after a minute or two, so they do not pile up without workers, and clocks that differ by
    seconds lose none.
    """
    return {
        "ring-waiting-lanes": _entry(contract.RING_TASK, RING_EVERY),
        "expire-points": _entry(contract.EXPIRE_POINTS_TASK, NIGHTLY_EVERY),
        "activate-points": _entry(contract.ACTIVATE_POINTS_TASK, ACTIVATE_EVERY),
        "release-holds-due": _entry(contract.RELEASE_HOLDS_TASK, HOLDS_EVERY),
        "send-expiry-reminders": _entry(contract.SEND_EXPIRY_REMINDERS_TASK, NIGHTLY_EVERY),
        "finish-erasures": _entry(contract.FINISH_ERASURES_TASK, ERASURES_EVERY),
        "reset-daily-limits": _entry(contract.RESET_LIMITS_TASK, NIGHTLY_EVERY),
        "sum-up-days": _entry(contract.SUM_UP_DAYS_TASK, SUM_UP_EVERY),
        "verify": _entry(contract.VERIFY_TASK, VERIFY_EVERY),
    }


def _entry(task: str, every: timedelta) -> dict[str, Any]:
    seconds = every.total_seconds()
    lives = max(60.0, 2 * seconds)
    return {
        "task": task,
        "schedule": seconds,
        "options": {"expires": lives, "queue": contract.PERIODIC_QUEUE},
    }
