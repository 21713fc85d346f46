"""Runs a worker beside a test."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.ledger import Ledger

_POLL_SECONDS = 0.01


@contextmanager
def working(ledger: Ledger) -> Iterator[None]:
    """Apply commands until the block ends."""
    stop = threading.Event()

    def work() -> None:
        while not stop.wait(_POLL_SECONDS):
            for lane in ledger.waiting_lanes():
                ledger.engine.drain(lane)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(60)
        assert not thread.is_alive()
