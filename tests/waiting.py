"""Waits for a condition with a time-out, because tests do not sleep."""

import threading
import time
from collections.abc import Callable

_POLL_SECONDS = 0.02


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 60.0) -> None:
    """Return when the condition holds. Fail with `what` if it does not hold in time."""
    give_up_at = time.monotonic() + seconds
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < give_up_at, f"not within {seconds} s: {what}"
        pause.wait(_POLL_SECONDS)
