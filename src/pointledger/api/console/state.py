"""The state that all requests to the console share. It has connections and threads of its own.

So pages never take a thread or a connection from the HTTP API beside which they are served.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from redis.asyncio import Redis

from pointledger.api.auth.client_address import ClientAddresses
from pointledger.api.auth.rate_limits import RateLimits
from pointledger.api.console.configuration import Configuration, configuration_of
from pointledger.api.console.oidc import Provider
from pointledger.api.console.render import Renderer
from pointledger.api.console.session import Sessions
from pointledger.api.console.shared import Shared
from pointledger.api.program import ProgramAdmin
from pointledger.client.acceptor import Acceptance
from pointledger.client.client import PointsClient
from pointledger.client.connections import connected
from pointledger.client.control import Control
from pointledger.client.export_log import ExportLog
from pointledger.client.goodwill import Goodwill
from pointledger.client.queries.console import ConsoleQueries
from pointledger.messaging import redis_client
from pointledger.observability.pulse import Pulse
from pointledger.settings import Settings
from pointledger.storage.database import limited_queries

_REDIS_SECONDS = 0.5  # the longest that a request waits for Redis
_BURST_SECONDS = 4  # of a session's rate: a page and its parts
_STRANGER_BURST_SECONDS = 20  # of an address' rate: many people may share one
_READS_AT_ONCE = 6  # with the writes and the loops of the client, fewer than the pool's 15 connections
_WRITES_AT_ONCE = 4  # each waits for its outcome; the fifth waits for a thread

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class ConsoleState:
    """The state of the console in one process."""

    settings: Settings
    configuration: Configuration
    provider: Provider
    sessions: Sessions
    renderer: Renderer
    client: PointsClient
    acceptance: Acceptance
    queries: ConsoleQueries
    pulse: Pulse
    shared: Shared
    program: ProgramAdmin
    export_log: ExportLog
    control: Control
    goodwill: Goodwill
    by_session: RateLimits
    by_address: RateLimits
    client_addresses: ClientAddresses
    reads: ThreadPoolExecutor
    writes: ThreadPoolExecutor

    async def run(self, threads: ThreadPoolExecutor, function: Callable[[], Result]) -> Result:
        """Run a blocking function in one of these threads."""
        return await asyncio.get_running_loop().run_in_executor(threads, function)


@asynccontextmanager
async def open_state(settings: Settings) -> AsyncIterator[ConsoleState]:
    """Open the state. It connects when it is first asked. Raises ConsoleNotConfigured, NotConfigured."""
    configuration = configuration_of(settings)
    provider = Provider(configuration)
    own = connected(settings)
    queries_only = limited_queries(own.database, settings.http_query_seconds)
    counters = redis_client.connect(settings)
    redis = redis_client.connect_asyncio(settings, _REDIS_SECONDS, _REDIS_SECONDS)
    limits = partial(_rate_limits, redis, settings.redis_prefix)
    with (
        ThreadPoolExecutor(_READS_AT_ONCE, "console-reads") as reads,
        ThreadPoolExecutor(_WRITES_AT_ONCE, "console-writes") as writes,
        PointsClient(settings, lambda _: own) as client,
    ):
        try:
            yield ConsoleState(
                settings=settings,
                configuration=configuration,
                provider=provider,
                sessions=Sessions(configuration, settings.console_hours, redis, settings.redis_prefix),
                renderer=Renderer(),
                client=client,
                acceptance=own.acceptance,
                queries=ConsoleQueries(queries_only),
                pulse=Pulse(queries_only, counters, settings),
                shared=Shared(),
                program=ProgramAdmin(own.database, settings),
                export_log=ExportLog(own.database, settings),
                control=own.control,
                goodwill=Goodwill(own.database, settings),
                by_session=limits("session", settings.console_rate, _BURST_SECONDS),
                by_address=limits("stranger", settings.http_stranger_rate, _STRANGER_BURST_SECONDS),
                client_addresses=ClientAddresses(settings),
                reads=reads,
                writes=writes,
            )
        finally:
            counters.close()
            await redis.aclose()
            await provider.close()


def _rate_limits(redis: Redis, prefix: str, kind: str, rate: int, burst_seconds: int) -> RateLimits:
    return RateLimits(redis, f"{prefix}:rate:console-{kind}", rate, rate * burst_seconds)
