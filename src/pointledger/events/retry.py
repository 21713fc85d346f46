"""Patience: what a process that carries messages does while broker or database is away."""

from collections.abc import Callable

from pointledger.storage.errors import is_transient

_AWAY_SECONDS = (0.5, 1.0, 2.0, 5.0)  # between tries


def go_on(
    step: Callable[[], None],
    stopping: Callable[[], bool],
    pause: Callable[[float], object],
    *,
    passing: tuple[type[Exception], ...],
    tell: Callable[[Exception, float], None],
) -> None:
    """Steps until `stopping`. Over what is `passing`, or befalls a transaction without anybody's fault, it
    pauses for some seconds, longer each time, which it tells; all else it raises."""
    tries = 0
    while not stopping():
        try:
            step()
        except Exception as error:
            if not isinstance(error, passing) and not is_transient(error):
                raise
            seconds = _AWAY_SECONDS[min(tries, len(_AWAY_SECONDS) - 1)]
            tries += 1
            tell(error, seconds)
            pause(seconds)
            continue
        tries = 0
