"""A worker beside what a test does."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.ledger import Ledger

_LOOK_SECONDS = 0.01


@contextmanager
def working(ledger: Ledger) -> Iterator[None]:
    """Within the block commands are applied."""
    stop = threading.Event()

    def work() -> None:
        while not stop.wait(_LOOK_SECONDS):
            for lane in ledger.waiting_lanes():
                ledger.engine.drain(lane)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(20)
        assert not thread.is_alive()
