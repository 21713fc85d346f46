"""Striking a process at a failpoint, and what others do after that."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from pointledger import failpoints
from pointledger.observability.verify import audit
from pointledger.settings import Settings
from pointledger.storage.database import run
from pointledger.storage.errors import DATABASE_ERRORS, is_transient
from tests.ledger import Ledger
from tests.processes import state_of
from tests.waiting import wait_until

SECONDS = 30.0
FORM = os.environ.get("POINTLEDGER_TEST_FAILPOINTS", "short")
_AT_COMMITS = ("stop", "raise")
ACTIONS = ("kill", "stop", "raise", "raise:40P01", "sleep:0.01")

# Places that are passed only when something has gone wrong before.
FIRST = {
    "charge-commit": "before:decide=raise",
    "try-commit": "before:decide=raise",  # the first try is noted by the peek
    "abandon": "after:take-users=raise",
}

# Whoever is frozen loses what he holds soon, so that the test need not wait.
HURRY = {
    "lock_timeout_ms": 800,
    "statement_timeout_ms": 5_000,
    "idle_timeout_ms": 800,
    "lock_ttl_ms": 1_000,
    "backoff_seconds": (0.0,) * 5,
}

Deed = Callable[[Ledger, Any], object]

_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["tests.faults.striking"])


def names(place: str) -> list[str]:
    return [f"before:{place}", f"after:{place}"]


def words(places: Iterable[str]) -> list[str]:
    """Which are tried: `after:fence=kill`."""
    return [
        f"{name}={action}"
        for place in places
        for name in names(place)
        for action in ACTIONS
        if FORM != "short" or action == "kill" or (place.endswith("-commit") and action in _AT_COMMITS)
    ]


def do_armed(settings: Settings, deed: Deed, given: Any, armed: str, log: Path) -> None:
    """What the process does that is to be struck."""
    failpoints.arm(armed, str(log))
    with Ledger(settings) as ledger:
        deed(ledger, given)


def strike(settings: Settings, deed: Deed, given: Any, word: str, log: Path) -> Any:
    """Starts a process that is armed; returns when it has ended, or stands still."""
    place = word.partition(":")[2].partition("=")[0]
    armed = f"{FIRST.get(place, '')} {word}"
    process = _processes.Process(target=do_armed, args=(settings, deed, given, armed, log))
    process.start()
    wait_until(
        lambda: process.exitcode is not None or state_of(process.pid or 0) == "T", "it has ended, or stands"
    )
    assert word in log.read_text().split(), "it was struck where it was meant to be"
    assert (process.exitcode == -signal.SIGKILL) == ("=kill" in word)
    return process


def let_it_go_on(process: Any) -> None:
    """A zombie: what it was about to do has been done by others meanwhile."""
    if process.exitcode is None:
        os.kill(process.pid, signal.SIGCONT)
        process.join(SECONDS)
        assert process.exitcode is not None, "it ends"


def finish(ledger: Ledger) -> None:
    """What any other worker does in the end."""

    def nothing_waits() -> bool:
        try:
            ledger.drain()
        except DATABASE_ERRORS as error:
            assert is_transient(error)
        return ledger.counts("pending") == [0]

    wait_until(nothing_waits, "nothing waits", SECONDS)


def wrong(ledger: Ledger) -> list[Any]:
    """What the audit finds."""
    return [each for each in audit(ledger.database).as_json()["invariants"] if each["rows"]]


def ran_yesterday(ledger: Ledger, job: str) -> None:
    """As if a nightly job had last run yesterday: today's is due."""
    with ledger.database.begin() as connection:
        run(
            connection,
            """INSERT INTO job_runs (job, tenant_id, local_date, as_of, leased_until, finished_at)
               SELECT %(job)s, 'shop', day - 1, (day - 1)::timestamp AT TIME ZONE 'UTC', now(),
                      now() + interval '1 second'
               FROM (SELECT (now() AT TIME ZONE 'UTC')::date AS day)""",
            job=job,
        )
