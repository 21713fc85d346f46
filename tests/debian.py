"""Runs servers from Debian's packages for `--long` tests: Redis with TLS, sockets and logins, its Sentinels,
and PgBouncer. Each listens on loopback, in a folder of its own, and ends with its block."""

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from redis import Redis
from redis.exceptions import RedisError, ResponseError

from pointledger.storage.urls import parse
from tests.ports import free_port
from tests.waiting import wait_until

_STOP_SECONDS = 60
_USER = "nobody"  # PgBouncer does not run as root

PASSWORD = "p@ss/w:rd"  # every character that a URL must escape


@contextmanager
def running(folder: Path, name: str, *command: str | Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server until the block ends; its output goes to a file of that name."""
    program = shutil.which(str(command[0]), path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        pytest.fail(f"needs Debian's package for {command[0]}: ./dev check --long installs it")
    with (folder / f"{name}.log").open("ab") as log:
        child = subprocess.Popen([program, *command[1:]], stdout=log, stderr=log, cwd=folder)
    try:
        yield child
    finally:
        if child.poll() is None:
            child.send_signal(signal.SIGCONT)
            child.terminate()
            with suppress(subprocess.TimeoutExpired):
                child.wait(_STOP_SECONDS)
            child.kill()
        child.wait()


def answers(client: Redis) -> bool:
    with suppress(Exception):
        return bool(client.ping())
    return False


class DebiansRedis(NamedTuple):
    """A Redis: its process, its plain port, and a client with all rights."""

    process: subprocess.Popen[bytes]
    port: int
    client: Redis


@contextmanager
def debians_redis(folder: Path, name: str, *lines: str) -> Iterator[DebiansRedis]:
    """Run Redis with these lines of configuration. The login `points` has the password `PASSWORD`."""
    port = free_port()
    own = [
        "bind 127.0.0.1",
        f"port {port}",
        f"dir {folder}",
        f"dbfilename {name}.rdb",
        'save ""',
        "appendonly no",
        "maxmemory-policy noeviction",
        "user default off",
        f"user points on >{PASSWORD} ~* &* +@all",
        "masteruser points",
        f"masterauth {PASSWORD}",
        *lines,
    ]
    file = folder / f"{name}.conf"
    file.write_text("\n".join(own) + "\n")
    with running(folder, name, "redis-server", file) as child:
        client = Redis(port=port, username="points", password=PASSWORD, decode_responses=True)
        wait_until(lambda: answers(client), f"{name} answers")
        yield DebiansRedis(child, port, client)
        client.close()


class Sentinels(NamedTuple):
    """A Redis with a replica, which three Sentinels watch."""

    url: str
    servers: list[DebiansRedis]
    clients: list[Redis]

    def primary(self) -> int:
        """Return the port of the server that a majority of the Sentinels name."""
        named = [_ask(one, "get-master-addr-by-name") for one in self.clients]
        ports = [int(address[1]) for address in named]
        return max(ports, key=ports.count)

    def fail_over(self) -> bool:
        """Ask a Sentinel to promote the replica. Return whether it does: it must have looked at it lately."""
        with suppress(ResponseError):
            return bool(self.clients[0].execute_command("SENTINEL", "FAILOVER", "points"))  # type: ignore[no-untyped-call]
        return False


@contextmanager
def sentinels(folder: Path) -> Iterator[Sentinels]:
    """Run them. The Sentinels have a password of their own."""
    with ExitStack() as stack:
        first = stack.enter_context(debians_redis(folder, "first"))
        second = stack.enter_context(
            debians_redis(folder, "second", f"replicaof 127.0.0.1 {first.port}", "repl-timeout 5")
        )
        wait_until(lambda: first.client.info("replication")["connected_slaves"] == 1, "a replica")
        ports = [free_port() for _ in range(3)]
        for port in ports:
            stack.enter_context(_sentinel(folder, port, first.port))
        clients = [Redis(port=port, password="watch", decode_responses=True) for port in ports]
        wait_until(lambda: all(_is_quick(one) for one in clients), "Sentinels that answer")
        wait_until(lambda: all(_knows_others(one) for one in clients), "Sentinels that know each other")
        hosts = ",".join(f"127.0.0.1:{port}" for port in ports)
        url = f"sentinel://points:p%40ss%2Fw%3Ard@{hosts}/0?service=points&sentinel_password=watch"
        yield Sentinels(url, [first, second], clients)
        for one in clients:
            one.close()


def _is_quick(sentinel: Redis) -> bool:
    """Let a Sentinel look at servers each second and tell the others each 0.2 s, instead of each 10 and 2 s.

    It makes a returned server a replica four tellings later. A look that is three periods old does not count.
    """
    quick = "SENTINEL", "DEBUG", "INFO-PERIOD", 1_000, "PUBLISH-PERIOD", 200
    with suppress(RedisError):
        return bool(sentinel.execute_command(*quick))  # type: ignore[no-untyped-call]
    return False


def _knows_others(sentinel: Redis) -> bool:
    with suppress(Exception):
        known = _ask(sentinel, "master")
        return (known["num-other-sentinels"], known["num-slaves"]) == ("2", "1")
    return False


def _ask(sentinel: Redis, what: str) -> Any:
    """Return a Sentinel's answer about the service, as it is."""
    return sentinel.execute_command("SENTINEL", what, "points")  # type: ignore[no-untyped-call]


@contextmanager
def _sentinel(folder: Path, port: int, primary: int) -> Iterator[None]:
    lines = [
        "bind 127.0.0.1",
        f"port {port}",
        f"dir {folder}",
        "requirepass watch",
        "sentinel sentinel-pass watch",
        f"sentinel monitor points 127.0.0.1 {primary} 2",
        "sentinel auth-user points points",
        f"sentinel auth-pass points {PASSWORD}",
        "sentinel down-after-milliseconds points 1000",
        "sentinel failover-timeout points 5000",
    ]
    file = folder / f"sentinel-{port}.conf"
    file.write_text("\n".join(lines) + "\n")
    with running(folder, f"sentinel-{port}", "redis-server", file, "--sentinel"):
        yield


@contextmanager
def pgbouncer(folder: Path, *urls: str, mode: str = "transaction", size: int = 5) -> Iterator[list[str]]:
    """Run PgBouncer in front of the databases of these URLs, and yield the URLs that lead through it.

    Its pools are small, so that clients share server connections.
    """
    port, parts = free_port(), [parse(url, "POINTLEDGER_DATABASE_URL") for url in urls]
    folder.chmod(0o755)
    file, logins = folder / "pgbouncer.ini", folder / "logins.txt"
    logins.write_text("".join(f'"{part["user"]}" "{part["password"]}"\n' for part in parts))
    server = parts[0]
    lines = [
        "[databases]",
        f"* = host={server['host']} port={server['port']}",
        "[pgbouncer]",
        "listen_addr = 127.0.0.1",
        f"listen_port = {port}",
        f"unix_socket_dir = {folder}",
        "auth_type = scram-sha-256",
        f"auth_file = {logins}",
        f"pool_mode = {mode}",
        f"default_pool_size = {size}",
        "max_client_conn = 500",
    ]
    file.write_text("\n".join(lines) + "\n")
    for path in (folder, file, logins):
        with suppress(PermissionError):
            shutil.chown(path, _USER)
    options = ["-u", _USER] if os.geteuid() == 0 else []
    with running(folder, "pgbouncer", "pgbouncer", *options, file) as child:
        wait_until(lambda: _listens(port) or child.poll() is not None, "PgBouncer listens")
        assert child.poll() is None, (folder / "pgbouncer.log").read_text()
        found = []
        for part in parts:
            secret = part["password"]
            found.append(f"postgresql://{part['user']}:{secret}@127.0.0.1:{port}/{part['dbname']}")
        yield found


def _listens(port: int) -> bool:
    with socket.socket() as trial:
        return trial.connect_ex(("127.0.0.1", port)) == 0
