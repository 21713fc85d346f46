"""Rate limits: buckets with portions, several API processes and concurrent requests."""

import asyncio

import redis.asyncio

from pointledger.api.auth.rate_limits import RateLimits
from pointledger.messaging.contract import joined

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


def granted_to(redis_url: str, *names: str) -> list[int]:
    """Take a burst for each name, one after the other. Return the tokens granted to each."""

    async def take_all() -> list[int]:
        async with redis.asyncio.Redis.from_url(redis_url) as client:
            limits = RateLimits(client, "test:rate", RATE, BURST)
            return [[await limits.take(name) for _ in range(BURST)].count(None) for name in names]

    return asyncio.run(take_all())


def test_112_a_burst_is_granted_completely(redis_url: str) -> None:
    assert granted(redis_url, BURST) == [BURST]


def test_112_api_processes_share_a_bucket(redis_url: str) -> None:
    assert sum(granted(redis_url, BURST, BURST)) <= BURST + RATE


def test_a_user_of_one_tenant_has_no_bucket_of_another_tenants_user(redis_url: str) -> None:
    pairs = [
        ("a", "b:c"),
        ("a:b", "c"),
        ("a:b:c", ""),
        ("1", "1:1"),
        ("a/b", "c"),
        ("a", "b/c"),
    ]
    names = {joined(*pair) for pair in pairs}
    assert len(names) == len(pairs)
    assert granted_to(redis_url, *(joined(*pair) for pair in pairs)) == [BURST] * len(pairs)
