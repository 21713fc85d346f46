"""Runs the API and a worker as separate processes, as an operator does, for external clients and tools."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
from pydantic import SecretStr

from pointledger.settings import Settings
from tests.api.environment import ApiEnvironment
from tests.api.issuer import Issuer
from tests.ledger import Ledger
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]
_STOP_SECONDS = 60
_LISTENING = re.compile(r"listening on (http://\S+)\nmetrics on (http://\S+)/metrics")
_QUIET = ("--without-gossip", "--without-mingle", "--without-heartbeat")


@contextmanager
def process(
    command: list[str], log: Path, env: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a child process that writes to `log`. Stop it at the end of the block."""
    with log.open("ab") as out:
        child = subprocess.Popen(command, cwd=ROOT, env=env, stdout=out, stderr=out, start_new_session=True)
    try:
        yield child
    finally:
        child.terminate()
        try:
            child.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def environ_of(settings: Settings) -> dict[str, str]:
    """Return the environment variables for settings that differ from the defaults."""
    given = settings.model_dump(mode="json", exclude_defaults=True, exclude={"owner_url"})
    given |= {
        name: value.get_secret_value()
        for name in given
        if isinstance(value := getattr(settings, name), SecretStr)
    }
    variables = {
        f"POINTLEDGER_{name.upper()}": value if isinstance(value, str) else json.dumps(value)
        for name, value in given.items()
        if value is not None
    }
    return os.environ | variables | {"C_FORCE_ROOT": "1"}


@contextmanager
def api_process(settings: Settings, folder: Path, port: int = 0) -> Iterator[tuple[str, str]]:
    """Run the API as a process, and yield its URL, and that of the operators' port."""
    log = folder / "api.log"
    log.write_bytes(b"")
    command = [sys.executable, "-m", "pointledger.cli", "serve", "--port", str(port), "--admin-port", "0"]
    with process(command, log, environ_of(settings)) as child:

        def is_listening() -> bool:
            assert child.poll() is None, log.read_text()
            return _LISTENING.search(log.read_text()) is not None

        wait_until(is_listening, "the API listens")
        found = _LISTENING.search(log.read_text())
        assert found
        wait_until(lambda: _is_ready(found[1]), "the API is ready")
        yield found[1], found[2]


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz").status_code == 200
    except httpx.TransportError:
        return False


@contextmanager
def api_and_worker(
    settings: Settings, issuer: Issuer, folder: Path, *, worker: bool = True
) -> Iterator[ApiEnvironment]:
    """Run the API and, with `worker`, a Celery worker as processes. The counterpart of `open_api`."""
    with ExitStack() as stack:
        if worker:
            command = [
                sys.executable,
                "-m",
                "celery",
                "-A",
                "workers",
                "worker",
                "--loglevel=WARNING",
                *_QUIET,
            ]
            stack.enter_context(process(command, folder / "worker.log", environ_of(settings)))
        ledger = stack.enter_context(Ledger(settings))
        api = ApiEnvironment(ledger, issuer, *stack.enter_context(api_process(settings, folder)))
        stack.callback(api.client.close)
        yield api


def run(command: list[str | Path], **more: Any) -> str:
    """Run a program that must succeed, and return its stdout."""
    done = subprocess.run(command, check=False, capture_output=True, text=True, **more)
    assert done.returncode == 0, f"{command[0]}: {done.stdout[-8000:]}{done.stderr[-8000:]}"
    stdout: str = done.stdout
    return stdout
