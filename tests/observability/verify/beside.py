"""Commands that are applied while something else goes on."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from pointledger import AnyCommand
from tests.ledger import Ledger


@contextmanager
def applying(ledger: Ledger, commands: Callable[[], Sequence[AnyCommand]]) -> Iterator[threading.Thread]:
    """A thread that applies such commands, again and again, until the block ends; nothing in it may fail."""
    enough = threading.Event()
    failed: list[Exception] = []

    def work() -> None:
        try:
            while not enough.is_set():
                ledger.apply(*commands())
        except Exception as error:
            failed.append(error)

    worker = threading.Thread(target=work)
    worker.start()
    try:
        yield worker
    finally:
        enough.set()
        worker.join()
    assert failed == []
