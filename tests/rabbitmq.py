"""Runs RabbitMQ from Debian's package `rabbitmq-server`, on its own ports: one server per process of `--long`
tests, and one for a chaos run."""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import pytest
from kombu import Connection

from tests.ports import free_port
from tests.waiting import wait_until

_SERVER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")  # Debian's wrapper switches to another user
_START_SECONDS = 180  # it takes five, and a minute on a busy machine
_STOP_SECONDS = 60


class RabbitMQ(NamedTuple):
    """A server: its URL, and the environment of its command line."""

    url: str
    env: dict[str, str]

    @property
    def port(self) -> int:
        return int(self.env["RABBITMQ_NODE_PORT"])

    def command(self, *arguments: str) -> list[str]:
        """Return the words of `rabbitmqctl ARGUMENT ...`, which runs in `env`."""
        return [str(_SERVER.with_name("rabbitmqctl")), *arguments]

    def control(self, *arguments: str) -> None:
        """Run `rabbitmqctl ARGUMENT ...`."""
        done = subprocess.run(
            self.command(*arguments), env=self.env, check=False, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr


def is_installed() -> bool:
    """Whether Debian's package is there."""
    return _SERVER.exists() and shutil.which("epmd") is not None


@contextmanager
def rabbitmq() -> Iterator[RabbitMQ]:
    """Run a server until the block ends."""
    if not is_installed():
        pytest.fail("needs Debian's package rabbitmq-server: ./dev check --long installs it")
    home = Path(tempfile.mkdtemp(prefix="pointledger-rabbitmq-"))
    names, amqp, between = (free_port() for _ in range(3))
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),  # its cookie
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "ERL_EPMD_PORT": str(names),
        "RABBITMQ_NODENAME": f"test{amqp}@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": str(amqp),
        "RABBITMQ_DIST_PORT": str(between),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        "RABBITMQ_MNESIA_BASE": str(home / "data"),
        "RABBITMQ_LOG_BASE": str(home / "log"),
        "RABBITMQ_CONFIG_FILE": str(home / "none"),
        "RABBITMQ_CONF_ENV_FILE": str(home / "none"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "plugins"),
    }
    log = (home / "out").open("wb")
    shared = {"env": env, "stdout": log, "stderr": log, "start_new_session": True}
    children = [subprocess.Popen(["epmd", "-address", "127.0.0.1", "-port", str(names)], **shared)]  # type: ignore[call-overload]
    try:
        children.insert(0, subprocess.Popen([_SERVER], **shared))  # type: ignore[call-overload]
        url = f"amqp://guest:guest@127.0.0.1:{amqp}//"
        wait_until(lambda: children[0].poll() is not None or _responds(url), "it responds", _START_SECONDS)
        assert children[0].poll() is None, (home / "out").read_text()
        yield RabbitMQ(url, env)
    finally:
        for child in children:
            _end(child)
        log.close()
        shutil.rmtree(home, ignore_errors=True)


def _end(child: subprocess.Popen[bytes]) -> None:
    """End a process group, because the server is the child of its script."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(child.pid, number)
        with suppress(subprocess.TimeoutExpired):
            child.wait(_STOP_SECONDS)
            wait_until(lambda: not _is_alive(child.pid), "the server has ended", _STOP_SECONDS)
            return


def _is_alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def _responds(url: str) -> bool:
    with suppress(Exception), Connection(url, connect_timeout=10) as connection:
        connection.ensure_connection(max_retries=1, timeout=10)
        return bool(connection.connected)
    return False
