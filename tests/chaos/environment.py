"""The environment of a run: Postgres, Valkey and a broker of events, every process of the system, and a link
of the proxy on each connection between them."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO

import psycopg
import sqlalchemy as sa
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from pointledger.domain.program.rule import rule_from
from pointledger.domain.program.tenant import tenant_from
from pointledger.settings import Settings
from pointledger.storage.database import engine_for, rows
from pointledger.storage.errors import DATABASE_ERRORS
from pointledger.storage.ledger import program as programs
from pointledger.storage.migrate import migrate
from pointledger_demo.development_key import ISSUER, development_key
from tests.chaos.entry_points import API, BULK, BY_NAME, LIBRARY, PRODUCERS, QUEUE
from tests.chaos.events_broker import opened_events
from tests.chaos.load import BULK_CONFIG, RULES, TENANT, TENANT_CONFIG
from tests.chaos.node import Node
from tests.chaos.proxy import Link, Proxy
from tests.chaos.servers import Servers
from tests.ports import free_port

ROOT = Path(__file__).parents[2]
STOP_SECONDS = 30.0
ERASURE_KEY = "chaos" * 8
BATCH_SIZE = 100  # far below the default, so that a burst of bulk commands fills many batches
_WORKERS = 2
_LIBRARY_CLIENTS = 2
_BULK_SHARE = 0.25  # of the rate: a burst of the second tenant every ten seconds
_QUIET = ("--loglevel=WARNING", "--without-gossip", "--without-mingle", "--without-heartbeat")


_WAITING = """
SELECT (SELECT count(*) FROM pending) + (SELECT count(*) FROM outbox WHERE sent_at IS NULL)"""


class Environment:
    """All servers and processes, in one folder. Only the main thread may start servers."""

    def __init__(
        self,
        folder: Path,
        *,
        seed: int,
        rate: float,
        small_disk: bool = False,
        with_rabbitmq: bool = False,
    ) -> None:
        self._proxy = Proxy()
        self._links: list[Link] = []
        self._logs: list[IO[bytes]] = []
        self.servers = Servers(folder, self._point_links, small_disk=small_disk, with_rabbitmq=with_rabbitmq)
        self.home = self.servers.home
        (self.home / "logs").mkdir(exist_ok=True)
        self.servers.ports["api"] = free_port()  # the API keeps it through all its lives
        self.servers.start()
        # The run's own connections, which no fault touches.
        own = self.node("environment", [])
        self.settings = self.settings_by(own)
        self.database: sa.Engine = engine_for(self.settings.database)
        self.redis = Redis.from_url(
            self.settings.redis, decode_responses=True, socket_timeout=2, retry=Retry(NoBackoff(), 0)
        )
        self.events = opened_events(self.servers.rabbitmq, self.settings)
        self._put_program()
        self._key = development_key(self.home / "api", TENANT)
        self._api_link = self.link("clients, api", "api")
        self._make_nodes()
        own_rate, bulk_rate = rate * (1 - _BULK_SHARE), rate * _BULK_SHARE
        loads = [
            *[(LIBRARY, own_rate / _LIBRARY_CLIENTS)] * _LIBRARY_CLIENTS,
            (f"{API},{QUEUE},{BY_NAME}", rate / 10),
            (BULK, bulk_rate),
        ]
        self.clients = [self._client(number, seed, *load) for number, load in enumerate(loads, 1)]

    def _make_nodes(self) -> None:
        child = ["-m", "pointledger_demo.supervised"]
        worker = [*child, "celery", "--quiet", "-A", "workers", "worker", *_QUIET]
        beat = [*child, "celery", "-A", "schedules", "beat", "--loglevel=WARNING", "--pidfile="]
        port = f"{self.servers.ports['api']}"
        serve = [*child, "pointledger", "serve", "--port", port, "--admin-port", "0"]
        self.workers = [self.node(f"worker-{number}", worker) for number in range(1, _WORKERS + 1)]
        self.beat = self.node("beat", beat)
        self.relays = [self.node(f"relay-{number}", [*child, "pointledger", "relay"]) for number in (1, 2)]
        self.ingest = self.node("ingest", [*child, "pointledger", "ingest"])
        self.api = self.node("api", serve)

    def __enter__(self) -> "Environment":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.resume_all()
        for node in reversed(self.nodes):
            node.end(signal.SIGTERM, STOP_SECONDS)
        self.database.dispose()
        self.redis.close()
        self.events.close()
        self.servers.stop(STOP_SECONDS)
        self._proxy.stop()
        for log in self._logs:
            log.close()

    def resume_all(self) -> None:
        """Heal every link, and continue every server that is stopped."""
        self.servers.resume()
        for link in self._links:
            link.heal()

    # ----------------------------------------------------------------------------------------- servers

    def _point_links(self, server: str, port: int) -> None:
        for link in self._links:
            if link.leads_to == server:
                link.port_of_server = port

    def point_at_valkey(self, port: int) -> None:
        """Lead every connection to Valkey to this port from now on, and break those that exist."""
        for link in self._links:
            if link.leads_to == "valkey":
                link.port_of_server = port
                link.reset()

    def link(self, name: str, server: str) -> Link:
        """Make a link to a server."""
        link = Link(self._proxy, name, self.servers.ports[server], leads_to=server)
        self._links.append(link)
        return link

    def query(self, sql: str) -> list[tuple[int, ...]]:
        """Return the rows of a statement, or none if Postgres is unavailable."""
        try:
            with self.database.connect() as connection:
                return [tuple(row) for row in connection.execute(sa.text(sql))]
        except DATABASE_ERRORS:
            return []

    def as_owner(self, *statements: str) -> bool:
        """Run statements as a superuser, past the proxy. Return whether Postgres was available."""
        try:
            with psycopg.connect(self.servers.owner_url, autocommit=True, connect_timeout=2) as connection:
                for statement in statements:
                    connection.execute(statement)
        except psycopg.Error:
            return False
        return True

    def settings_by(self, node: Node) -> Settings:
        """Return settings that lead through the node's links."""
        head, _, name = self.servers.database_url.rpartition("/")
        redis_url = f"redis://127.0.0.1:{node.redis.port}/0"
        return Settings(
            database_url=f"{head.rpartition(':')[0]}:{node.database.port}/{name}",
            redis_url=redis_url,
            broker_url=redis_url,
            events_url=self.servers.events_url(node.events.port),
        )

    def waiting(self) -> int:
        """Return how many messages wait for the ingest, or else how many commands and events in Postgres.

        A message becomes a command before it is acknowledged, so the messages are counted first. Postgres is
        asked before RabbitMQ's command line, which takes seconds.
        """
        queue = self.settings.ingest_queue
        return (
            self.events.ready(queue)
            or self._waiting_in_postgres()
            or self.events.unacknowledged(queue)
            or self._waiting_in_postgres()
        )

    def _waiting_in_postgres(self) -> int:
        with self.database.connect() as connection:
            return int(rows(connection, _WAITING)[0][0])

    def _put_program(self) -> None:
        migrate(self.servers.owner_url, self.settings.lanes, self.servers.database_url)
        if self.servers.small_disk:
            assert self.as_owner(*self.servers.small_disk.move("journal", "entries"))
        with self.database.begin() as connection:
            for config in (TENANT_CONFIG, BULK_CONFIG):
                programs.put_tenant(connection, tenant_from(config))
            for rule in RULES:
                programs.put_rule(connection, TENANT_CONFIG["tenant_id"], rule_from(rule))

    # --------------------------------------------------------------------------------------- processes

    @property
    def failpoints_log(self) -> Path:
        """Where failpoints note the faults that they inject."""
        return self.home / "failpoints"

    def journal(self, number: int) -> Path:
        return self.home / f"client-{number}.journal"

    @property
    def journals(self) -> list[Path]:
        return [self.journal(number) for number in range(1, len(self.clients) + 1)]

    @property
    def worker_logs(self) -> list[Path]:
        return sorted((self.home / "logs").glob("worker-*.log"))

    @property
    def nodes(self) -> list[Node]:
        return [node for nodes in self.kinds.values() for node in nodes]

    @property
    def kinds(self) -> dict[str, list[Node]]:
        """All processes by kind. Clients come last, because they need the others."""
        return {
            "worker": self.workers,
            "beat": [self.beat],
            "relay": self.relays,
            "ingest": [self.ingest],
            "api": [self.api],
            "client": self.clients,
        }

    def node(self, name: str, command: Sequence[str]) -> Node:
        """Return a process with links of its own. It is not started yet."""
        database, redis, events = (
            self.link(f"{name}, {server}", server) for server in ("postgres", "valkey", "events")
        )
        return Node(name, list(command), database, redis, events)

    def _client(self, number: int, seed: int, entry_points: str, rate: float) -> Node:
        words = [f"{number}", f"{seed}", f"{self.journal(number)}", f"{rate}", entry_points]
        return self.node(f"client-{number}", ["-m", "tests.chaos.client", *words])

    def finish(self, client: Node) -> None:
        """Let a client end when it has settled what is ambiguous. Start it first if it is dead."""
        if not client.is_alive:
            self.start(client)
        client.resume()
        assert client.process
        assert client.process.stdin
        client.process.stdin.close()

    def start(self, node: Node, *, log: Path | None = None) -> None:
        """Start the process, or start it again."""
        settings = self.settings_by(node)
        sink = (log or self.home / "logs" / f"{node.name}.log").open("ab")
        self._logs.append(sink)
        given = {
            "POINTLEDGER_DATABASE_URL": settings.database,
            "POINTLEDGER_REDIS_URL": settings.redis,
            "POINTLEDGER_BROKER_URL": settings.broker,
            "POINTLEDGER_EVENTS_URL": settings.events,
            "POINTLEDGER_BATCH_SIZE": f"{BATCH_SIZE}",
            "POINTLEDGER_INGEST_KEYS": PRODUCERS,
            "POINTLEDGER_HTTP_ISSUER": ISSUER,
            "POINTLEDGER_HTTP_KEYS": str(self._key.keys),
            "CHAOS_API_URL": f"http://127.0.0.1:{self._api_link.port}",
            "CHAOS_TOKEN": str(self._key.token),
            "POINTLEDGER_ERASURE_KEY": ERASURE_KEY,
            "POINTLEDGER_FAILPOINTS_LOG": str(self.failpoints_log),
            # F11: no process starts with a Valkey that evicts, and here it is made to while others start
            "POINTLEDGER_ALLOW_UNSAFE": '["redis-eviction"]',
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "src")]),
            "C_FORCE_ROOT": "1",
        }
        node.process = subprocess.Popen(
            [sys.executable, *node.command],
            cwd=ROOT,
            env=os.environ | given | node.environment,
            stdin=subprocess.PIPE,  # a client ends when its input ends, so also when this process ends
            stdout=sink,
            stderr=sink,
            start_new_session=True,
        )
        node.is_armed = bool(node.environment.get("POINTLEDGER_FAILPOINTS"))
        node.environment = {}
        node.lives += 1
