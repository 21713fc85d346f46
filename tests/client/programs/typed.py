"""A service's program for type checkers, which is never run."""

import asyncio

from pointledger import AsyncPointsClient, Earn, Outcome, PointsClient, Settings
from pointledger.errors import DatabaseAway


def reward(client: PointsClient, user_id: str) -> int:
    try:
        task_id: str = client.enqueue(Earn(tenant_id="shop", user_id=user_id, amount=50))
        outcome: Outcome = client.wait(task_id, timeout=60)
    except DatabaseAway as error:
        maybe: bool = error.maybe_done
        return int(maybe)
    return 0 if outcome.data is None else int(outcome.data["balance"])


async def reward_in_a_loop(user_id: str) -> int:
    async with AsyncPointsClient(Settings()) as client:
        task_id: str = await client.enqueue(Earn(tenant_id="shop", user_id=user_id, amount=50))
        outcome: Outcome = await client.wait(task_id, timeout=10)
        async for each in client.batch_outcomes("01M7YS5T0G1V9RJ7Y6C6V2Q3XA"):
            print(each.state)
        seen: int = (await client.account("shop", user_id))["balance"]
    return seen if outcome.is_final else 0


print(asyncio.run(reward_in_a_loop("anna")))
with PointsClient.connect() as opened:
    print(reward(opened, "anna"))
