"""Waiting for a condition, with a bound: tests do not sleep and hope."""

import threading
import time
from collections.abc import Callable

_LOOK_SECONDS = 0.02


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 60.0) -> None:
    """Returns when the condition holds; fails, saying what was waited for, when it does not in time."""
    give_up_at = time.monotonic() + seconds
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < give_up_at, f"not within {seconds} s: {what}"
        pause.wait(_LOOK_SECONDS)
