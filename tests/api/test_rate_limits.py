"""Rate limits: prices, buckets with portions, several API processes and concurrent requests."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import redis.asyncio

from pointledger.api.auth import permissions, prices
from pointledger.api.auth.rate_limits import RateLimits
from pointledger.messaging.contract import joined
from pointledger.settings import Settings
from tests.api.environment import ApiEnvironment, http_settings, open_api
from tests.api.issuer import Issuer

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


def taken(redis_url: str, *costs: int) -> list[int | None]:
    """Take tokens for these costs, one after the other."""

    async def take_all() -> list[int | None]:
        client = redis.asyncio.Redis.from_url(redis_url)
        limits = RateLimits(client, "test:rate", RATE, BURST)
        answers = [await limits.take("till", cost) for cost in costs]
        await client.aclose()
        return answers

    return asyncio.run(take_all())


@pytest.mark.parametrize("where", ["with Redis", "without Redis"])
def test_a_dear_request_takes_all_its_tokens_or_none(redis_url: str, where: str) -> None:
    url = redis_url if where == "with Redis" else "redis://127.0.0.1:1/0"
    first, second, third, fourth = taken(url, 150, 100, 40, BURST)
    assert first is None
    assert second == 5, "50 are missing, and 10 come per second"
    assert third is None, "the one that was refused took nothing"
    assert fourth in (18, 19)


# ------------------------------------------------------------------------------------------------- prices


def test_every_route_that_needs_a_token_has_a_price() -> None:
    guarded = {route for route, permission in permissions.TABLE.items() if permission}
    assert set(prices.TABLE) == guarded
    assert all(price.tokens >= 1 for price in prices.TABLE.values())


@pytest.mark.parametrize(
    ("path", "query", "tokens"),
    [
        ("/points/{user_id}", {}, 1),
        ("/points/{user_id}/transactions", {}, 1),
        ("/points/{user_id}/transactions", {"page_size": "100", "page": "1000000000"}, 5),
        ("/points/{user_id}/transactions", {"type": "earn"}, 5),
        ("/points/{user_id}/stats", {}, 12),
        ("/admin/points/transactions", {"page_size": "100", "page": "1000"}, 50 + 4 + 99),
        ("/admin/points/transactions", {"type": "earn", "page_size": "x", "page": "-1"}, 250),
        ("/admin/audit", {"page_size": "9" * 30, "page": "1"}, 50),
    ],
)
def test_a_request_is_priced_by_what_it_asks_for(path: str, query: dict[str, str], tokens: int) -> None:
    assert prices.TABLE["GET", path].of(query) == tokens


@pytest.fixture
def slow_api(settings: Settings, issuer: Issuer, tmp_path: Path) -> Iterator[ApiEnvironment]:
    """An API whose services and administrators have 100 tokens a second, and can save 200."""
    with open_api(http_settings(settings, issuer, tmp_path, http_service_rate=100), issuer) as api:
        api.ledger.tenant()
        yield api


def batch(api: ApiEnvironment, token: str, count: int, key: str) -> httpx.Response:
    rows = {"items": [{"user_id": f"u{number}", "amount": 1} for number in range(count)]}
    return api.post("/admin/points/batch-earn", token, rows, key=key)


def test_a_batch_pays_for_its_rows(slow_api: ApiEnvironment) -> None:
    api = slow_api
    assert batch(api, api.till, 150, "first").status_code == 202
    refused = batch(api, api.till, 180, "second")
    assert refused.status_code == 429
    assert 1 <= int(refused.headers["retry-after"]) <= 2
    assert (
        "costs 180 rate tokens; this caller gets 100 per second and can save 200" in refused.json()["message"]
    )
    assert api.post("/points/anna/earn", api.till, {"amount": 1}).status_code == 200
    assert api.ledger.rows("SELECT count(*) FROM journal")[0][0] == 151, "the refused batch left nothing"


def test_a_batch_with_more_rows_than_a_bucket_can_hold_is_possible(slow_api: ApiEnvironment) -> None:
    api = slow_api
    assert batch(api, api.admin, 500, "large").status_code == 202
    refused = batch(api, api.admin, 500, "again")
    assert refused.status_code == 429
    assert "costs 200 rate tokens" in refused.json()["message"]
