"""Retries with backoff while the broker or the database is unavailable."""

import time
from collections.abc import Callable

from pointledger.logs import Log, Outage
from pointledger.storage.errors import failure_of, may_pass, sqlstate

_BACKOFF_SECONDS = (0.5, 1.0, 2.0, 5.0)  # between attempts


def run_with_backoff(
    step: Callable[[], None],
    stopping: Callable[[], bool],
    pause: Callable[[float], object],
    *,
    outage: Outage,
    expected: tuple[type[Exception], ...],
    survives_bugs: bool = False,
) -> None:
    """Call `step` until `stopping()` is true. On an error that can pass, back off and retry.

    Database errors that can pass and `expected` errors begin an outage, which is logged once; the first
    success ends it. Every other error is a bug: it is raised, or logged with its traceback if
    `survives_bugs`.
    """
    failures = 0
    while not stopping():
        try:
            step()
        except Exception as error:
            is_expected = isinstance(error, expected) or may_pass(error)
            if not is_expected and not survives_bugs:
                raise
            detail = str(error) if isinstance(error, expected) else sqlstate(error)
            outage.noticed(error, bug=None if is_expected else error, detail=detail)
            pause(_BACKOFF_SECONDS[min(failures, len(_BACKOFF_SECONDS) - 1)])
            failures += 1
            continue
        failures = 0
        outage.over()


def retry_at_start(
    check: Callable[[], None],
    log: Log,
    stopping: Callable[[], bool] = lambda: False,
    pause: Callable[[float], object] = time.sleep,
) -> None:
    """Call `check` of the database until it returns, or `stopping()` is true: a process that starts waits for
    a Postgres that is away.

    An error that can pass begins an outage, whose log line has its message. Every other error is raised.
    """
    outage = Outage(log, "start", "database_is_away", "database_is_back")
    is_done, failures = False, 0
    while not is_done and not stopping():
        try:
            check()
        except Exception as error:
            if not may_pass(error):
                raise
            outage.noticed(error, detail=str(failure_of(error)))
            pause(_BACKOFF_SECONDS[min(failures, len(_BACKOFF_SECONDS) - 1)])
            failures += 1
        else:
            is_done = True
            outage.over()
