"""EmbeddedServers starts, shares and stops real servers."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import astuple
from pathlib import Path
from stat import S_ISSOCK
from urllib.parse import urlsplit

import psycopg
import pytest
from redis import Redis

from pointledger.embedded import EmbeddedServers, ServerUrls
from pointledger.embedded.postgres import postgres_answers
from pointledger.embedded.valkey import valkey_answers
from pointledger.errors import ServersUnavailable

_BOUND_SECONDS = 30
_LISTENS = "0A"  # the state LISTEN in /proc/net/tcp
_LOOPBACK = "0100007F"

needs_proc = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

# Starts servers in the home that argv names, prints their pids and waits for a signal.
_SUPERVISOR = """
import signal, sys
from pathlib import Path
from pointledger.embedded import EmbeddedServers
servers = EmbeddedServers(Path(sys.argv[1]))
servers.up()
print(servers.postgres_pid, servers.valkey_pid, flush=True)
signal.pause()
"""


@pytest.fixture
def supervisor(server_home: Path) -> Iterator[tuple[subprocess.Popen[str], int, int]]:
    """Another process that supervises durable servers, and their pids."""
    argv = [sys.executable, "-c", _SUPERVISOR, str(server_home)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        postgres_pid, valkey_pid = map(int, process.stdout.readline().split())
        yield process, postgres_pid, valkey_pid
        process.kill()


def test_both_servers_start_and_answer(servers: ServerUrls):
    assert urlsplit(servers.database_url).scheme == "postgresql"
    assert urlsplit(servers.database_url).path == "/pointledger"
    with psycopg.connect(servers.database_url) as connection:
        assert connection.execute("SELECT current_user::text").fetchone() == ("pointledger",)
    with Redis.from_url(servers.redis_url) as client:
        assert client.ping()


def test_a_second_instance_attaches_and_leaves_them_running(server_home: Path):
    with EmbeddedServers(server_home, durable=False) as urls:
        second = EmbeddedServers(server_home)

        assert second.up() == urls
        second.down()

        assert _answers(urls)
    assert not _answers(urls)


def test_servers_of_another_process_are_shared(server_home: Path, supervisor):
    _, postgres_pid, valkey_pid = supervisor
    attached = EmbeddedServers(server_home)

    assert _answers(attached.up())
    assert (attached.postgres_pid, attached.valkey_pid) == (postgres_pid, valkey_pid)
    attached.down()

    assert _is_alive(postgres_pid)
    assert _is_alive(valkey_pid)


def test_a_second_down_does_nothing(server_home: Path):
    servers = EmbeddedServers(server_home, durable=False)
    servers.up()

    servers.down()
    servers.down()

    assert not list(server_home.glob("state.json*"))


def test_data_survives_down_and_up(server_home: Path):
    servers = EmbeddedServers(server_home)
    _write(servers.up())
    servers.down()

    with servers as urls:
        assert _read(urls) == (1, b"1")


def test_data_survives_a_kill_of_all_processes(server_home: Path, supervisor):
    process, postgres_pid, valkey_pid = supervisor
    attached = EmbeddedServers(server_home)
    _write(attached.up())
    attached.down()

    for pid in (process.pid, postgres_pid, valkey_pid):
        os.kill(pid, signal.SIGKILL)
    process.wait()

    with EmbeddedServers(server_home) as urls:
        assert _read(urls) == (1, b"1")


def test_a_stale_pid_file_that_names_a_running_process_is_ignored(server_home: Path):
    servers = EmbeddedServers(server_home, durable=False)
    servers.up()
    servers.down()
    (data,) = server_home.glob("postgres/data-*")
    (data / "postmaster.pid").write_text(f"{os.getpid()}\n{data}\n")
    (server_home / "state.json").write_text(
        json.dumps(
            {"supervisor_pid": 1, "postgres_pid": 1, "valkey_pid": 1, "database_url": "", "redis_url": ""}
        )
    )

    with servers as urls:
        assert _answers(urls)


def test_an_interrupted_initdb_is_repeated(server_home: Path):
    servers = EmbeddedServers(server_home, durable=False)
    half_made = server_home / "postgres" / "data-18.new"
    half_made.mkdir(parents=True)
    (half_made / "PG_VERSION").write_text("18\n")

    with servers as urls:
        assert _answers(urls)


def test_half_dead_servers_of_a_running_process_are_reported(server_home: Path, supervisor):
    process, _, valkey_pid = supervisor
    os.kill(valkey_pid, signal.SIGKILL)

    with pytest.raises(ServersUnavailable, match=f"process {process.pid} runs servers"):
        EmbeddedServers(server_home).up()


@needs_proc
def test_the_servers_die_with_their_supervisor(supervisor):
    process, postgres_pid, valkey_pid = supervisor

    process.kill()
    process.wait()

    _eventually(lambda: not _is_alive(postgres_pid) and not _is_alive(valkey_pid))


@needs_proc
def test_the_servers_listen_on_loopback_only(servers: ServerUrls):
    ports = {urlsplit(url).port for url in astuple(servers)}
    listening = []
    for table in ("tcp", "tcp6"):
        for line in Path("/proc/net", table).read_text().splitlines()[1:]:
            address, _, port = line.split()[1].rpartition(":")
            if line.split()[3] == _LISTENS and int(port, 16) in ports:
                listening.append(address)

    assert listening == [_LOOPBACK, _LOOPBACK]


@needs_proc
def test_no_password_is_in_any_argv(servers: ServerUrls):
    passwords = [urlsplit(url).password for url in astuple(servers)]
    commands = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]

    assert any(b"valkey" in command or b"redis" in command for command in commands)
    for password in passwords:
        assert password
        assert not any(password.encode() in command for command in commands)


def test_files_with_a_password_are_private(server_home: Path):
    with EmbeddedServers(server_home, durable=False) as urls:
        passwords = [urlsplit(url).password or "" for url in astuple(urls)]
        candidates = [*server_home.glob("*"), server_home / "postgres" / "password"]
        secret = [p for p in candidates if p.is_file() and any(pw in p.read_text() for pw in passwords)]

        assert {path.name for path in secret} == {"state.json", "password"}
        assert all(path.stat().st_mode & 0o777 == 0o600 for path in secret)


def test_other_users_can_read_no_file_of_the_servers_under_a_lax_umask(server_home: Path) -> None:
    home = server_home / "a" / "b"
    before = os.umask(0)
    try:
        with EmbeddedServers(home) as urls:
            _write(urls)
            made = EmbeddedServers(home).home
            modes = {path: path.lstat().st_mode for path in [made, *made.rglob("*")]}
    finally:
        os.umask(before)
    assert {"postgres.log", "valkey.log", "start.lock", "state.json"} <= {path.name for path in modes}
    assert any(path.suffix == ".aof" for path in modes), "Valkey's data"
    others = {str(path): oct(mode) for path, mode in modes.items() if mode & 0o007 and not S_ISSOCK(mode)}
    assert others == {}
    assert home.parent.stat().st_mode & 0o777 == 0o711


def _write(urls: ServerUrls) -> None:
    with psycopg.connect(urls.database_url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS one")
    with Redis.from_url(urls.redis_url) as client:
        client.set("kept", 1)
        client.execute_command("WAITAOF", 1, 0, 1000 * _BOUND_SECONDS)  # wait until it is on disk


def _read(urls: ServerUrls) -> tuple[object, object]:
    with psycopg.connect(urls.database_url) as connection, Redis.from_url(urls.redis_url) as client:
        row = connection.execute("SELECT one FROM kept").fetchone()
        return row[0] if row else None, client.get("kept")


def _answers(urls: ServerUrls) -> bool:
    return postgres_answers(urls.database_url) and valkey_answers(urls.redis_url)


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _BOUND_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "in time"
        time.sleep(0.01)
