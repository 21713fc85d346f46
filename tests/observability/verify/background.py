"""Applies commands in the background of a test."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from pointledger import AnyCommand
from tests.ledger import Ledger


@contextmanager
def applying(ledger: Ledger, commands: Callable[[], Sequence[AnyCommand]]) -> Iterator[threading.Thread]:
    """Apply such commands in a thread, again and again, until the block ends. An error fails the test."""
    stop = threading.Event()
    failed: list[Exception] = []

    def work() -> None:
        try:
            while not stop.is_set():
                ledger.apply(*commands())
        except Exception as error:
            failed.append(error)

    worker = threading.Thread(target=work)
    worker.start()
    try:
        yield worker
    finally:
        stop.set()
        worker.join()
    assert failed == []
