"""How often one may ask, by the bucket: drawn on in portions, by several gateways, by many at once."""

import asyncio

import redis.asyncio

from pointledger.api.auth.rate_limits import Buckets

RATE, BURST = 10, 200  # in portions of 10


def taken(redis_url: str, *counts: int) -> list[int]:
    """How many of so many who ask at once get a token, at each of as many gateways as there are counts."""

    async def ask() -> list[int]:
        clients = [redis.asyncio.Redis.from_url(redis_url) for _ in counts]
        every = [Buckets(client, "test:rate", RATE, BURST) for client in clients]
        asked = [
            asyncio.gather(*(buckets.take("till") for _ in range(count)))
            for buckets, count in zip(every, counts, strict=True)
        ]
        answers = [await one for one in asked]
        for client in clients:
            await client.aclose()
        return [answer.count(None) for answer in answers]

    return asyncio.run(ask())


def test_112_as_many_as_lie_in_the_bucket_may_ask_at_once(redis_url: str) -> None:
    assert taken(redis_url, BURST) == [BURST]


def test_112_gateways_share_a_bucket(redis_url: str) -> None:
    assert sum(taken(redis_url, BURST, BURST)) <= BURST + RATE
