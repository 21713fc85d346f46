"""Postgres fails over: the primary is killed and its standby promoted. Every process follows by itself."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest

from pointledger.embedded import EmbeddedServers
from pointledger.errors import DatabaseAway
from pointledger.settings import Settings
from tests.faults.surroundings import World, world
from tests.ports import free_port
from tests.waiting import wait_until

pytestmark = pytest.mark.long


class Standby:
    """A hot standby of the world's primary, on a port of its own."""

    def __init__(self, servers: EmbeddedServers, url: str, port: int) -> None:
        self._programs = Path(f"/proc/{servers.postgres_pid}/exe").resolve().parent
        self._folder = servers.home / "standby"
        self._data = self._folder / "data"
        owner = (servers.home / "postgres").stat()
        as_root = {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []}
        self._run_as: dict[str, Any] = as_root if os.geteuid() == 0 else {}
        self._primary_url, self._port = url, port
        parts = urlsplit(url)
        self._url = parts._replace(netloc=parts.netloc.replace(f":{parts.port}", f":{port}")).geturl()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Copy the primary and follow it."""
        self._folder.mkdir()
        if self._run_as:
            os.chown(self._folder, self._run_as["user"], self._run_as["group"])
        copy = self._programs / "pg_basebackup"
        options = f"--pgdata={self._data}", f"--dbname={self._primary_url}", "--write-recovery-conf"
        subprocess.run([copy, *options, "--checkpoint=fast"], check=True, cwd=self._folder, **self._run_as)
        settings = {
            "port": self._port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "max_connections": 200,  # not fewer than the primary has
            "synchronous_standby_names": "",  # the copy names itself, and would wait for itself
        }
        words = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        server = subprocess.Popen(
            [self._programs / "postgres", "-D", self._data, *words],
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            **self._run_as,
        )
        try:
            yield
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(60)

    def promote(self) -> None:
        with psycopg.connect(self._url, autocommit=True) as connection:
            assert connection.execute("SELECT pg_promote(true, 30)").fetchone() == (True,)


@contextmanager
def with_a_standby(home: Path) -> Iterator[tuple[World, Standby]]:
    """Run everything with URLs that name both servers. A commit waits until both have it."""
    port = free_port()
    found: list[Standby] = []
    with ExitStack() as stack:

        def through(servers: EmbeddedServers, settings: Settings) -> Settings:
            standby = Standby(servers, settings.owner, port)
            with psycopg.connect(settings.owner, autocommit=True) as connection:
                connection.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
                stack.enter_context(standby.running())
                connection.execute("ALTER DATABASE pointledger SET synchronous_commit = on")
                connection.execute("SELECT pg_reload_conf()")
                replicating = "SELECT FROM pg_stat_replication WHERE sync_state = 'sync'"
                wait_until(lambda: bool(connection.execute(replicating).fetchall()), "the standby follows")
            found.append(standby)
            return settings.model_copy(
                update={name: _both(getattr(settings, name), port) for name in ("database_url", "owner_url")}
            )

        with world(home, through=through) as opened:
            yield opened, found[0]


def _both(url: str, port: int) -> str:
    parts = urlsplit(url)
    netloc = f"{parts.netloc},127.0.0.1:{port}"
    return parts._replace(netloc=netloc, query="target_session_attrs=read-write").geturl()


def test_processes_follow_when_the_primary_is_killed_and_its_standby_promoted(tmp_path: Path) -> None:
    with with_a_standby(tmp_path) as (everything, standby):
        tasks = [everything.enqueue() for _ in range(50)]
        os.kill(everything.servers.postgres_pid, signal.SIGKILL)
        wait_until(lambda: everything.post() == (503, "1"), "the API says when to come again")
        with pytest.raises(DatabaseAway):
            everything.enqueue()
        everything.wait_for_line("relay", "relay_waits")
        everything.require_alive()
        standby.promote()
        everything.require_work(*tasks)
        assert everything.ledger.rows("SELECT FROM failures") == [], "no command is charged"
        counts = everything.ledger.rows("SELECT count(*), count(DISTINCT command_id) FROM entries")[0]
        assert counts[0] == counts[1] >= len(tasks), "each command is applied once"
