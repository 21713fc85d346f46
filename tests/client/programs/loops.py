"""Uses the client for asyncio under uvloop: `python loops.py`. It prints its results as JSON."""

import asyncio
import json
import os
from typing import Any

import uvloop

from pointledger import AsyncPointsClient, Earn, PointsClient, Settings
from pointledger.errors import ClientOfAnotherLoop

SECONDS = 40


def print_json(what: object) -> None:
    print(json.dumps(what), flush=True)


async def applied(client: AsyncPointsClient, user_id: str) -> bool:
    task_id = await client.enqueue(Earn(tenant_id="shop", user_id=user_id, amount=1))
    return (await client.wait(task_id, timeout=SECONDS)).state == "applied"


async def canceled(client: AsyncPointsClient, user_id: str) -> bool:
    """Give up at once. The command is accepted or not, and others' are not affected."""
    try:
        return await asyncio.wait_for(applied(client, user_id), 0.001)
    except TimeoutError:
        return True


async def child_is_refused(client: AsyncPointsClient) -> bool:
    if (pid := os.fork()) == 0:
        refused = False
        try:
            client.enqueue(Earn(tenant_id="shop", user_id="child", amount=1)).send(None)
        except ClientOfAnotherLoop:
            refused = True
        os._exit(0 if refused else 1)
    _, status = await asyncio.to_thread(os.waitpid, pid, 0)
    return os.waitstatus_to_exitcode(status) == 0


async def main() -> None:
    async with await AsyncPointsClient.connect() as client:
        users = [f"user-{number}" for number in range(200)]
        print_json({"tasks": all(await asyncio.gather(*(applied(client, user) for user in users)))})
        found: list[Any] = await asyncio.gather(
            *((canceled if number % 2 else applied)(client, user) for number, user in enumerate(users))
        )
        print_json({"canceled": all(found)})
        print_json({"child": await child_is_refused(client)})
        batch = await client.batch_earn("shop", [("anna", 1)] * 3, idempotency_key="k")
        print_json({"rows": len([outcome async for outcome in client.batch_outcomes(batch.batch_id)])})
    print_json({"loop": type(asyncio.get_running_loop()).__module__.partition(".")[0]})


if __name__ == "__main__":
    PointsClient(Settings()).close()  # both clients live in one process
    uvloop.run(main())
