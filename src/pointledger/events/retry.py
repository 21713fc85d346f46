"""Retries with backoff while the broker or the database is unavailable."""

from collections.abc import Callable

from pointledger.logs import Outage
from pointledger.storage.errors import may_pass, sqlstate

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
