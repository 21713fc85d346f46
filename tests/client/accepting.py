"""Helpers for tests of acceptance: commands, the journal, and concurrent calls."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

from pointledger import Earn
from pointledger.ids import show_id
from pointledger.messaging.contract import LANES_QUEUE
from tests.ledger import Ledger

THREAD_SECONDS = 30  # far more than any thread takes, so that a deadlock fails the test


def earn(amount: int = 5, user_id: str = "anna", **more: Any) -> Earn:
    return Earn(**{"tenant_id": "shop", "user_id": user_id, "amount": amount, **more})


def in_journal(ledger: Ledger) -> list[str]:
    """Return the task ids in the order of application."""
    return [show_id(row[0]) for row in ledger.rows("SELECT id FROM journal ORDER BY seq")]


def rings(ledger: Ledger) -> int:
    """Return the number of doorbells in the broker."""
    return int(ledger.redis.llen(f"{ledger.settings.redis_prefix}:{LANES_QUEUE}"))


def at_once(*calls: Callable[[], Any]) -> list[Any]:
    """Run the calls at once, each in its own thread, and return their results or exceptions."""
    barrier = Barrier(len(calls))

    def run(call: Callable[[], Any]) -> Any:
        barrier.wait(THREAD_SECONDS)
        try:
            return call()
        except Exception as error:
            return error

    with ThreadPoolExecutor(len(calls)) as pool:
        futures = [pool.submit(run, call) for call in calls]
        return [future.result(THREAD_SECONDS) for future in futures]


def accept_both(ledger: Ledger, one: list[Earn], other: list[Earn]) -> list[Any]:
    """Run two calls at once."""
    return at_once(lambda: ledger.client.accept(one), lambda: ledger.client.accept(other))
