"""Rate limits: buckets with portions, several API processes and concurrent requests."""

import asyncio

import redis.asyncio

from pointledger.api.auth.rate_limits import RateLimits

RATE, BURST = 10, 200  # in portions of 10


def granted(redis_url: str, *counts: int) -> list[int]:
    """Take `counts` tokens concurrently, one count per API process. Return the tokens granted to each."""

    async def take_all() -> list[int]:
        clients = [redis.asyncio.Redis.from_url(redis_url) for _ in counts]
        all_limits = [RateLimits(client, "test:rate", RATE, BURST) for client in clients]
        requests = [
            asyncio.gather(*(limits.take("till") for _ in range(count)))
            for limits, count in zip(all_limits, counts, strict=True)
        ]
        answers = [await one for one in requests]
        for client in clients:
            await client.aclose()
        return [answer.count(None) for answer in answers]

    return asyncio.run(take_all())


def test_112_a_burst_is_granted_completely(redis_url: str) -> None:
    assert granted(redis_url, BURST) == [BURST]


def test_112_api_processes_share_a_bucket(redis_url: str) -> None:
    assert sum(granted(redis_url, BURST, BURST)) <= BURST + RATE
