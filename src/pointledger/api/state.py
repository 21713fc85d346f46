"""What all requests of a process share: connections, threads, and those who wait."""

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

import redis.asyncio
import sqlalchemy as sa
from starlette.requests import Request

from pointledger.api import group_commit
from pointledger.api.auth.client_address import Callers
from pointledger.api.auth.rate_limits import Buckets
from pointledger.api.auth.tokens import Tokens
from pointledger.api.group_commit import Accepting
from pointledger.api.program import Programme
from pointledger.api.queries import GatewayLookups
from pointledger.api.waiting import Waiting
from pointledger.client.acceptor import Acceptance
from pointledger.client.backlog import Backlog
from pointledger.client.batches import BatchDoor
from pointledger.errors import NotConfigured
from pointledger.messaging import redis_client
from pointledger.messaging.celery_app import producer_app
from pointledger.messaging.doorbell import Doorbells
from pointledger.observability.doctor import require_safe
from pointledger.observability.metrics import Exporter
from pointledger.settings import Settings
from pointledger.storage.database import engine_for
from pointledger.storage.migrate import require_current

_ASKING_THREADS = 8  # with those that accept and the one that looks: less than the pool has connections
_REDIS_SECONDS = 0.5  # a request waits no longer for Redis
_BURST_SECONDS = 2  # of what a principal may ask
_STRANGERS_BURST_SECONDS = 20

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Gateway:
    """One process' gateway."""

    settings: Settings
    database: sa.Engine
    lookups: GatewayLookups
    batches: BatchDoor
    programme: Programme
    tokens: Tokens
    accepting: Accepting
    waiting: Waiting
    users: Buckets
    services: Buckets
    strangers: Buckets  # those whose tokens are not believed, by address
    callers: Callers
    exporter: Exporter
    threads: ThreadPoolExecutor

    async def ask(
        self, question: Callable[Parameters, Result], *args: Parameters.args, **kwargs: Parameters.kwargs
    ) -> Result:
        """Runs what blocks in a thread."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.threads, lambda: question(*args, **kwargs))


def gateway_of(request: Request) -> Gateway:
    """The gateway that serves a request."""
    gateway: Gateway = request.app.state.gateway
    return gateway


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Gateway]:
    """A gateway on the servers that the settings name. Raises NotConfigured, DatabaseNotMigrated,
    LaneCountDiffers, UnsafeConfiguration, and what the database raises when it is away."""
    tokens = Tokens(settings)
    database = engine_for(settings.database, pgbouncer=settings.pgbouncer)
    await asyncio.to_thread(require_current, database, settings.lanes)
    await asyncio.to_thread(require_safe, database, settings)
    client = redis_client.connect(settings)
    doorbells = Doorbells(client, producer_app(settings), settings)
    asked = _redis(settings, _REDIS_SECONDS)
    heard = _redis(settings, None)  # silence is no fault of a subscription
    acceptance = Acceptance(database, doorbells, settings, Backlog(database, settings))
    lookups = GatewayLookups(database)
    with (
        ThreadPoolExecutor(group_commit.AT_ONCE, "accept") as accept_threads,
        ThreadPoolExecutor(1, "look") as look_thread,
        ThreadPoolExecutor(_ASKING_THREADS, "ask") as ask_threads,
    ):
        loop = asyncio.get_running_loop()
        waiting = Waiting(
            heard, settings, lambda ids: loop.run_in_executor(look_thread, lookups.answers, ids)
        )
        waiting.start()
        try:
            yield Gateway(
                settings=settings,
                database=database,
                lookups=lookups,
                batches=BatchDoor(database, acceptance, settings),
                programme=Programme(database),
                tokens=tokens,
                accepting=Accepting(acceptance.accept_each, accept_threads),
                waiting=waiting,
                users=_buckets(asked, settings, "user", settings.http_user_rate, _BURST_SECONDS),
                services=_buckets(asked, settings, "service", settings.http_service_rate, _BURST_SECONDS),
                strangers=_buckets(
                    asked, settings, "stranger", settings.http_stranger_rate, _STRANGERS_BURST_SECONDS
                ),
                callers=Callers(settings),
                exporter=Exporter(database, client, settings),
                threads=ask_threads,
            )
        finally:
            await waiting.stop()
            await asked.aclose()
            await heard.aclose()
            doorbells.close()
            database.dispose()


def _buckets(
    client: redis.asyncio.Redis, settings: Settings, kind: str, rate: int, burst_seconds: int
) -> Buckets:
    return Buckets(client, f"{settings.redis_prefix}:rate:{kind}", rate, burst_seconds * rate)


def _redis(settings: Settings, seconds: float | None) -> redis.asyncio.Redis:
    try:
        return redis.asyncio.Redis.from_url(
            settings.redis,
            decode_responses=True,
            socket_timeout=seconds,
            socket_connect_timeout=_REDIS_SECONDS,
            socket_keepalive=True,
        )
    except ValueError:
        raise NotConfigured("POINTLEDGER_REDIS_URL is not like redis://host:6379/0") from None
