"""Runs the whole system as processes of this machine: servers, workers, beat and, on request, the HTTP API.

It starts Postgres and Valkey (unless the settings name them), migrates, then starts workers, beat and the
API with the console. It stops them in reverse order. All of them end with this process, even if it is killed.
"""

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING

from pydantic import SecretStr

from pointledger.embedded import EmbeddedServers
from pointledger.embedded.private_files import PRIVATE_UMASK, make_private_folder, open_private
from pointledger.settings import Settings
from pointledger.storage.migrate import migrate

if TYPE_CHECKING:
    from pointledger_demo.console import DemoProvider

_PASSED_SETTINGS = (
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
    "console_issuer",
    "console_client_id",
    "console_client_secret",
    "console_url",
    "console_key",
)
_DEFAULT_PORT = 8000
_ADMIN_PORT = 9101
_PROVIDER_PORT = 8011
_OTHER_PORTS = range(10_000, 32_768)
_PORT_TRIES = 100
_API_START_SECONDS = 30.0  # it takes two
_POLL_SECONDS = 0.1
_STOP_SECONDS = 15  # then it is killed; a worker needs a quarter of a second to finish its time slice


class ProcessGroup:
    """All processes of the system, for the length of `with ProcessGroup(root) as settings:`.

    `root` is the checkout. `data` is the folder for the servers' data and all logs; default `root/.data`.
    Without `usual_ports`, the API and the console get free ones, beside a `./dev run`.
    """

    def __init__(
        self,
        root: Path,
        *,
        data: Path | None = None,
        settings: Settings | None = None,
        workers: int = 2,
        beat: bool = True,
        api_for: str | None = None,
        usual_ports: bool = True,
    ) -> None:
        self._root = root
        self._data = data or root / ".data"
        self._worker_count = workers
        self._with_beat = beat
        self._api_for = api_for
        self._usual_ports = usual_ports
        self._servers: EmbeddedServers | None = None
        self._logs: list[IO[bytes]] = []
        self._claims: list[socket.socket] = []
        self.workers: list[subprocess.Popen[bytes]] = []
        self.beat: subprocess.Popen[bytes] | None = None
        self.api: subprocess.Popen[bytes] | None = None
        self._provider: DemoProvider | None = None
        self.api_url = ""
        self.metrics_url = ""
        self.settings = settings or Settings()

    def delete_data(self) -> None:
        """Delete the embedded servers' data. Servers that the settings name keep theirs."""
        shutil.rmtree(EmbeddedServers(self._data).home, ignore_errors=True)
        shutil.rmtree(self._data, ignore_errors=True)

    def start(self) -> Settings:
        """Start everything and return settings that name the servers. Call it from the main thread."""
        if not (self.settings.database_url and self.settings.redis_url):
            self._servers = EmbeddedServers(self._data)
            urls = self._servers.up()
            results = {"result_url": self.settings.result_url or urls.redis_url}
            self.settings = self.settings.model_copy(update=urls.as_settings() | results)
        migrate(self.settings.owner, self.settings.lanes, self.settings.database)
        for number in range(1, self._worker_count + 1):
            self.workers.append(self.start_worker(number))
        if self._with_beat:
            self.beat = self.start_command("beat")
        if self._api_for:
            usual = (_DEFAULT_PORT, _ADMIN_PORT, _PROVIDER_PORT) if self._usual_ports else (None,) * 3
            (self._port, claim), (self._admin_port, admin_claim), (self._provider_port, provider_claim) = (
                _claim_port(port) for port in usual
            )
            self._claims += [claim, admin_claim, provider_claim]
            self.api_url = f"http://127.0.0.1:{self._port}"
            self.metrics_url = f"http://127.0.0.1:{self._admin_port}/metrics"
            self._start_provider(self._api_for)
            self.start_api()
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
        """Start another worker. `stop` ends it only if the caller adds it to `workers`."""
        return self._child(f"worker-{number}", "pointledger", "worker")

    def start_command(self, name: str, *options: str) -> subprocess.Popen[bytes]:
        """Start a command that runs until it is stopped, like `relay`. The caller stops it."""
        return self._child(name, "pointledger", name, *options)

    def _start_provider(self, tenant_id: str) -> None:
        """Start the provider at which people log in to the console."""
        from pointledger_demo.console import DemoProvider, console_settings  # noqa: PLC0415  of an extra

        self._provider = DemoProvider(self._provider_port, self.api_url, tenant_id)
        given = console_settings(self._data / "console", self._provider_port, self.api_url)
        self.settings = self.settings.model_copy(update=given)

    def start_api(self) -> None:
        """Start the API and the console with a development key. Call it again when they have ended."""
        assert self._api_for, "the API needs a tenant"
        from pointledger_demo.development_key import ISSUER, development_key  # noqa: PLC0415  of an extra

        key = development_key(self._data / "http", self._api_for)
        trusted = {"http_issuer": ISSUER, "http_keys": str(key.keys.absolute())}
        self.settings = self.settings.model_copy(update=trusted)
        self.token_file = key.token
        ports = "--port", str(self._port), "--admin-port", str(self._admin_port)
        self.api = self._child("api", "pointledger", "serve", "--console", *ports)

    def wait_for_api(self) -> None:
        """Return when the API accepts connections, has ended, or has not started in time."""
        give_up_at = time.monotonic() + _API_START_SECONDS
        while self.api and self.api.poll() is None and time.monotonic() < give_up_at:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self._port), _POLL_SECONDS):
                return
            time.sleep(_POLL_SECONDS)

    def stop(self) -> None:
        """Stop every process that this object started: the API and beat first, the servers last."""
        for process in [self.api, self.beat, *self.workers]:
            if process is not None and process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in [self.api, self.beat, *self.workers]:
            if process is None:
                continue
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if self._provider is not None:
            self._provider.stop()
        if self._servers is not None:
            self._servers.down()
        for log in self._logs:
            log.close()
        for claim in self._claims:
            claim.close()

    def dead(self) -> list[int]:
        """Return the positions of workers that have ended."""
        return [position for position, worker in enumerate(self.workers) if worker.poll() is not None]

    def _child(self, name: str, *arguments: str) -> subprocess.Popen[bytes]:
        logs = make_private_folder(self._data / "logs")
        log = open_private(logs / f"{name}.log", os.O_APPEND)
        self._logs.append(log)
        return subprocess.Popen(  # noqa: S603  (this interpreter and this project's commands)
            [sys.executable, "-m", "pointledger_demo.supervised", *arguments],
            cwd=self._root,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            umask=PRIVATE_UMASK,
            start_new_session=True,  # Ctrl-C reaches only this process, which stops them in order
        )

    def _environment(self) -> dict[str, str]:
        given = {
            f"POINTLEDGER_{name.upper()}": _text(value)
            for name in _PASSED_SETTINGS
            if (value := getattr(self.settings, name)) is not None
        }
        # They run as a role that owns nothing, so they must not get the owner's URL.
        others = {name: value for name, value in os.environ.items() if name != "POINTLEDGER_OWNER_URL"}
        return others | given


def _text(value: object) -> str:
    """Return a setting as the environment has it."""
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)


def _claim_port(usual: int | None) -> tuple[int, socket.socket]:
    """Return the usual port, or another if it is taken or claimed, and the claim, which the caller closes.

    The API opens the port seconds later. Until then the claim prevents that another group chooses it, and no
    outgoing connection takes it, because the others are below the ports that Linux gives to those.
    """
    others = random.SystemRandom().choices(_OTHER_PORTS, k=_PORT_TRIES)
    for port in others if usual is None else [usual, *others]:
        claim = socket.socket(socket.AF_UNIX)
        with socket.socket() as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                trial.bind(("127.0.0.1", port))
                if sys.platform == "linux":  # other systems have no names without files
                    claim.bind(f"\0pointledger-demo-port-{port}")
            except OSError:
                claim.close()
            else:
                return port, claim
    raise AssertionError(f"none of {_PORT_TRIES} ports is free")
