"""Threads share a client, also those of an event loop."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from pointledger import Earn
from tests.ledger import Ledger
from tests.working import working

USERS = 100


def applied(ledger: Ledger, number: int) -> bool:
    task_id = ledger.client.enqueue(Earn(tenant_id="shop", user_id=f"user-{number}", amount=number + 1))
    is_applied = ledger.client.wait(task_id, timeout=60).state == "applied"
    return is_applied and ledger.client.account("shop", f"user-{number}")["balance"] == number + 1


def test_more_threads_than_connections_share_a_client(ledger: Ledger) -> None:
    ledger.tenant()
    with working(ledger), ThreadPoolExecutor(USERS) as pool:
        assert all(pool.map(lambda number: applied(ledger, number), range(USERS)))


def test_tasks_of_an_event_loop_use_a_client_in_threads(ledger: Ledger) -> None:
    ledger.tenant()

    async def main() -> list[bool]:
        calls = (asyncio.to_thread(applied, ledger, number) for number in range(USERS))
        return await asyncio.gather(*calls)

    with working(ledger):
        assert all(asyncio.run(main()))
