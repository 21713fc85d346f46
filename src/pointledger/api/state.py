"""The state that all requests of a process share: connections, threads and pending outcomes."""

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import ParamSpec, TypeVar

import redis.asyncio
import sqlalchemy as sa
from starlette.requests import Request

from pointledger.api import group_commit
from pointledger.api.auth.client_address import ClientAddresses
from pointledger.api.auth.rate_limits import RateLimits
from pointledger.api.auth.tokens import Tokens
from pointledger.api.cached import Cached
from pointledger.api.group_commit import GroupCommit
from pointledger.api.program import ProgramAdmin
from pointledger.api.queries import ApiQueries
from pointledger.api.slots import Slot, Slots
from pointledger.api.threads import Pool, Pools
from pointledger.api.turns import Party, Turns
from pointledger.api.waiting import OutcomeWaiter
from pointledger.client.acceptor import Acceptance
from pointledger.client.backlog import Backlog
from pointledger.client.batches import BatchAcceptor
from pointledger.messaging import redis_client
from pointledger.messaging.celery_app import producer_app
from pointledger.messaging.doorbell import Doorbells
from pointledger.settings import Settings
from pointledger.storage.database import bounded_engine_for, limited_queries

_REDIS_SECONDS = 0.5  # the longest that a request waits for Redis
_BURST_SECONDS = 2  # of a principal's rate
_UNAUTHENTICATED_BURST_SECONDS = 20  # of an address' rate

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Limits:
    """The rate limits by kind of caller."""

    users: RateLimits
    services: RateLimits
    unauthenticated: RateLimits  # requests without a valid token, by address


@dataclass(frozen=True, slots=True)
class Turn:
    """Whose request it is, its slot, and the pool of threads that serves its route."""

    tenant_id: str
    caller: str
    slot: Slot
    pool: Pool


@dataclass(frozen=True, slots=True)
class ApiState:
    """The state of one API process. Each request has a copy of its own, with its `turn`."""

    settings: Settings
    database: sa.Engine
    queries: ApiQueries
    batches: BatchAcceptor
    program: ProgramAdmin
    tokens: Tokens
    group_commit: GroupCommit
    waiting: OutcomeWaiter
    limits: Limits
    client_addresses: ClientAddresses
    readiness: Cached[bool]
    turns: Turns
    slots: Slots
    pools: Pools
    turn: Turn | None = None

    @property
    def slot(self) -> Slot:
        """Return the request's slot."""
        return self._turn.slot

    @property
    def _turn(self) -> Turn:
        assert self.turn is not None, "`guard` sets it for every route that needs a token"
        return self.turn

    async def run_in_thread(
        self, function: Callable[Parameters, Result], *args: Parameters.args, **kwargs: Parameters.kwargs
    ) -> Result:
        """Run a blocking function in a thread, when it is the caller's turn. Raises ShareTaken."""
        turn = self._turn
        return await self.pools[turn.pool].run(
            turn.tenant_id, turn.caller, turn.slot, lambda: function(*args, **kwargs)
        )

    async def take_turn(self) -> None:
        """Wait for a turn of the caller."""
        turn = self._turn
        await self.turns.take(Party(True, turn.tenant_id, turn.caller))

    def of_pool(self, pool: Pool) -> "ApiState":
        """Return this state with another pool of threads."""
        return replace(self, turn=replace(self._turn, pool=pool))


def state_of(request: Request) -> ApiState:
    """Return the request's copy of the state, or before `guard` has made it, that of the process."""
    api: ApiState = getattr(request.state, "api", None) or request.app.state.api
    return api


@asynccontextmanager
async def open_state(settings: Settings) -> AsyncIterator[ApiState]:
    """Connect to the servers that the settings name.

    It connects when it is first asked: `starting` has checked the database. Raises NotConfigured.
    """
    tokens = Tokens(settings)
    database = bounded_engine_for(settings)
    client = redis_client.connect(settings)
    doorbells = Doorbells(client, producer_app(settings), settings)
    redis_requests = _redis(settings, _REDIS_SECONDS)
    acceptance = Acceptance(database, doorbells, settings, Backlog(database, settings))
    queries = ApiQueries(limited_queries(database, settings.http_query_seconds))
    with (
        ThreadPoolExecutor(group_commit.AT_ONCE, "accept") as accept_threads,
        ThreadPoolExecutor(group_commit.ALONE_AT_ONCE, "accept-alone") as accept_alone_thread,
        ThreadPoolExecutor(1, "readiness") as readiness_thread,
        Pools() as pools,
    ):
        try:
            async with _open_waiter(settings, queries) as waiting:
                yield ApiState(
                    settings=settings,
                    database=database,
                    queries=queries,
                    batches=BatchAcceptor(database, acceptance, settings),
                    program=ProgramAdmin(database, settings),
                    tokens=tokens,
                    group_commit=GroupCommit(acceptance, accept_threads, accept_alone_thread),
                    waiting=waiting,
                    limits=_limits(redis_requests, settings),
                    client_addresses=ClientAddresses(settings),
                    readiness=Cached(queries.ping, readiness_thread),
                    turns=Turns(),
                    slots=Slots(settings.http_concurrency),
                    pools=pools,
                )
        finally:
            await redis_requests.aclose()
            doorbells.close()
            database.dispose()


@asynccontextmanager
async def _open_waiter(settings: Settings, queries: ApiQueries) -> AsyncIterator[OutcomeWaiter]:
    client = _redis(settings, None)  # a subscription can be silent for long, so no timeout
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(1, "outcomes") as thread:
        waiter = OutcomeWaiter(
            client, settings, lambda ids: loop.run_in_executor(thread, queries.results, ids)
        )
        waiter.start()
        try:
            yield waiter
        finally:
            await waiter.stop()
            await client.aclose()


def _limits(client: redis.asyncio.Redis, settings: Settings) -> Limits:
    def limits(kind: str, rate: int, burst_seconds: int) -> RateLimits:
        return RateLimits(client, f"{settings.redis_prefix}:rate:{kind}", rate, burst_seconds * rate)

    return Limits(
        users=limits("user", settings.http_user_rate, _BURST_SECONDS),
        services=limits("service", settings.http_service_rate, _BURST_SECONDS),
        unauthenticated=limits("stranger", settings.http_stranger_rate, _UNAUTHENTICATED_BURST_SECONDS),
    )


def _redis(settings: Settings, seconds: float | None) -> redis.asyncio.Redis:
    return redis_client.connect_asyncio(settings, seconds, _REDIS_SECONDS)
