"""Injects a fault into a process at a failpoint, and lets other processes finish its work."""

import os
import signal
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from pointledger import failpoints
from pointledger.observability.verify import verify
from pointledger.settings import Settings
from pointledger.storage.database import run
from pointledger.storage.errors import DATABASE_ERRORS, is_transient
from tests import forked
from tests.ledger import Ledger
from tests.processes import state_of
from tests.waiting import wait_until

SECONDS = 60.0
FORM = os.environ.get("POINTLEDGER_TEST_FAILPOINTS", "short")
_AT_COMMITS = ("stop", "raise")
ACTIONS = ("kill", "stop", "raise", "raise:40P01", "sleep:0.01")

# Places that a process passes only after another fault.
FIRST = {
    "failure-commit": "before:decide=raise",
    "attempt-commit": "before:decide=raise",  # the peek notes the first attempt
    "return-lanes": "after:acquire-users=raise",
}

# A stalled process loses its locks soon, so that the test need not wait.
SHORT_TIMEOUTS = {
    "lock_timeout_ms": 800,
    "statement_timeout_ms": 5_000,
    "idle_timeout_ms": 800,
    "lock_ttl_ms": 1_000,
    "backoff_seconds": (0.0,) * 5,
}

Action = Callable[[Ledger, Any], object]


def names(place: str) -> list[str]:
    return [f"before:{place}", f"after:{place}"]


def faults_at(places: Iterable[str]) -> list[str]:
    """Return the faults to inject at these places, like `after:lock-lanes=kill`."""
    return [
        f"{name}={action}"
        for place in places
        for name in names(place)
        for action in ACTIONS
        if FORM != "short" or action == "kill" or (place.endswith("-commit") and action in _AT_COMMITS)
    ]


def run_armed(settings: Settings, action: Action, given: Any, armed: str, log: Path) -> None:
    """Run the action in a process with armed failpoints."""
    failpoints.arm(armed, str(log))
    with Ledger(settings) as ledger:
        action(ledger, given)


def inject(settings: Settings, action: Action, given: Any, word: str, log: Path) -> Any:
    """Start an armed process, and return when it has ended or is stopped."""
    place = word.partition(":")[2].partition("=")[0]
    armed = f"{FIRST.get(place, '')} {word}"
    process = forked.start(run_armed, settings, action, given, armed, log)
    wait_until(
        lambda: process.exitcode is not None or state_of(process.pid or 0) == "T",
        "the process has ended or is stopped",
    )
    assert word in log.read_text().split(), "the fault was injected at its place"
    assert (process.exitcode == -signal.SIGKILL) == ("=kill" in word)
    return process


def resume(process: Any) -> None:
    """Continue a stopped process, whose work other processes have done meanwhile."""
    if process.exitcode is None:
        os.kill(process.pid, signal.SIGCONT)
        process.join(SECONDS)
        assert process.exitcode is not None, "the process ends"


def finish(ledger: Ledger) -> None:
    """Apply all pending commands, as another worker does."""

    def nothing_is_pending() -> bool:
        try:
            ledger.drain()
        except DATABASE_ERRORS as error:
            assert is_transient(error)
        return ledger.counts("pending") == [0]

    wait_until(nothing_is_pending, "nothing is pending", SECONDS)


def violations(ledger: Ledger) -> list[Any]:
    """Return the violated invariants."""
    return [each for each in verify(ledger.database).as_json()["invariants"] if each["rows"]]


def ran_yesterday(ledger: Ledger, job: str) -> None:
    """Record that a nightly job last ran yesterday, so that today's run is due."""
    with ledger.database.begin() as connection:
        run(
            connection,
            """INSERT INTO job_runs (job, tenant_id, local_date, as_of, leased_until, finished_at)
               SELECT %(job)s, 'shop', day - 1, (day - 1)::timestamp AT TIME ZONE 'UTC', now(),
                      now() + interval '1 second'
               FROM (SELECT (now() AT TIME ZONE 'UTC')::date AS day)""",
            job=job,
        )
