"""The whole system as processes of this machine: servers, workers, beat and, if wanted, the HTTP gateway.

Order up: Postgres and Valkey (unless their addresses are given), the tables, workers, beat, gateway. Order
down: the other way round. Everything ends with this process, however it ends.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO

from pointledger.embedded import EmbeddedServers
from pointledger.settings import Settings
from pointledger.storage.migrate import migrate

_HANDED_ON = (
    "database_url",
    "redis_url",
    "broker_url",
    "redis_prefix",
    "commands_queue",
    "result_url",
    "lanes",
    "batch_size",
    "http_issuer",
    "http_keys",
)
_USUAL_PORT = 8000
_STOP_SECONDS = 15  # a worker finishes its turn, a quarter of a second; then it is killed
_QUIET = ("--without-gossip", "--without-mingle", "--without-heartbeat")  # chatter that nobody listens to


class System:
    """`with System(root) as settings:` everything runs. `root` is the checkout; `data` takes the servers'
    data and everybody's logs, and is `root/.data` if not given."""

    def __init__(
        self,
        root: Path,
        *,
        data: Path | None = None,
        settings: Settings | None = None,
        workers: int = 2,
        beat: bool = True,
        gateway_for: str | None = None,
    ) -> None:
        self._root = root
        self._data = data or root / ".data"
        self._worker_count = workers
        self._with_beat = beat
        self._gateway_for = gateway_for
        self._servers: EmbeddedServers | None = None
        self._logs: list[IO[bytes]] = []
        self.workers: list[subprocess.Popen[bytes]] = []
        self.beat: subprocess.Popen[bytes] | None = None
        self.gateway: subprocess.Popen[bytes] | None = None
        self.gateway_url = ""
        self.settings = settings or Settings()

    def start_over(self) -> None:
        """Forgets what the embedded servers hold. Servers that are not ours stay as they are."""
        shutil.rmtree(EmbeddedServers(self._data).home, ignore_errors=True)
        shutil.rmtree(self._data, ignore_errors=True)

    def start(self) -> Settings:
        """Everything runs when it returns; the settings say where. Call it from the main thread."""
        if not (self.settings.database_url and self.settings.redis_url):
            self._servers = EmbeddedServers(self._data)
            urls = self._servers.up()
            results = {"result_url": self.settings.result_url or urls.redis_url}
            self.settings = self.settings.model_copy(update=urls.as_settings() | results)
        migrate(self.settings.owner, self.settings.lanes, self.settings.database)
        for number in range(1, self._worker_count + 1):
            self.workers.append(self.start_worker(number))
        if self._with_beat:
            self.beat = self._celery("beat", "-A", "schedules", "beat", "--loglevel=WARNING", "--pidfile=")
        if self._gateway_for:
            self._port = _free_port()
            self.gateway_url = f"http://127.0.0.1:{self._port}"
            self.start_gateway()
        return self.settings

    def __enter__(self) -> Settings:
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start_worker(self, number: int) -> subprocess.Popen[bytes]:
        """One more worker; the caller keeps what is returned, or lets it be stopped with the rest."""
        name = f"worker-{number}"
        return self._celery(
            name, "-A", "workers", "worker", "--loglevel=WARNING", f"--hostname={name}@%h", *_QUIET
        )

    def start_gateway(self) -> None:
        """The gateway, with a key of its own, or another one when it has ended."""
        assert self._gateway_for, "whose points are shown"
        from pointledger_demo.development_key import ISSUER, development_key  # noqa: PLC0415  of an extra

        key = development_key(self._data / "http", self._gateway_for)
        believed = {"http_issuer": ISSUER, "http_keys": str(key.keys.absolute())}
        self.settings = self.settings.model_copy(update=believed)
        self.token_file = key.token
        self.gateway = self._child("gateway", "pointledger", "serve", "--port", str(self._port))

    def stop(self) -> None:
        """Ends everything that this object started, beat first."""
        for process in [self.gateway, self.beat, *self.workers]:
            if process is not None and process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in [self.gateway, self.beat, *self.workers]:
            if process is None:
                continue
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if self._servers is not None:
            self._servers.down()
        for log in self._logs:
            log.close()

    def dead(self) -> list[int]:
        """The positions of workers that have ended."""
        return [position for position, worker in enumerate(self.workers) if worker.poll() is not None]

    def _celery(self, name: str, *arguments: str) -> subprocess.Popen[bytes]:
        return self._child(name, "celery", *arguments)

    def _child(self, name: str, *arguments: str) -> subprocess.Popen[bytes]:
        logs = self._data / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        log = (logs / f"{name}.log").open("ab")
        self._logs.append(log)
        return subprocess.Popen(  # noqa: S603  (our own interpreter and apps)
            [sys.executable, "-m", "pointledger_demo.child", *arguments],
            cwd=self._root,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C is for us; they are told in order
        )

    def _environment(self) -> dict[str, str]:
        given = {
            f"POINTLEDGER_{name.upper()}": str(value)
            for name in _HANDED_ON
            if (value := getattr(self.settings, name)) is not None
        }
        # They run as a role that owns nothing, and need not know how to become another.
        others = {name: value for name, value in os.environ.items() if name != "POINTLEDGER_OWNER_URL"}
        return others | given | {"C_FORCE_ROOT": "1"}


def _free_port() -> int:
    """The usual one, or any other where somebody listens there."""
    for port in (_USUAL_PORT, 0):
        with socket.socket() as trial, suppress(OSError):
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind(("127.0.0.1", port))
            return int(trial.getsockname()[1])
    raise AssertionError("some port is free")
