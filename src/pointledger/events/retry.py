"""Retries with backoff while the broker or the database is unavailable."""

from collections.abc import Callable

from pointledger.storage.errors import is_transient

_BACKOFF_SECONDS = (0.5, 1.0, 2.0, 5.0)  # between attempts


def run_with_backoff(
    step: Callable[[], None],
    stopping: Callable[[], bool],
    pause: Callable[[float], object],
    *,
    transient: tuple[type[Exception], ...],
    report: Callable[[Exception, float], None],
) -> None:
    """Call `step` until `stopping()` is true.

    On a transient error, report it, back off and retry. Re-raise every other error.
    """
    failures = 0
    while not stopping():
        try:
            step()
        except Exception as error:
            if not isinstance(error, transient) and not is_transient(error):
                raise
            seconds = _BACKOFF_SECONDS[min(failures, len(_BACKOFF_SECONDS) - 1)]
            failures += 1
            report(error, seconds)
            pause(seconds)
            continue
        failures = 0
