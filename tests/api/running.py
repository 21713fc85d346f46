"""The gateway and a worker as processes of their own, as an operator starts them: for clients, tools and
proxies that nobody here wrote."""

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
from tests.api.issuer import Issuer
from tests.api.served import Served
from tests.ledger import Ledger
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]
_STOP_SECONDS = 20
_LISTENS = re.compile(r"listening on (http://\S+?:(\d+))")
_QUIET = ("--without-gossip", "--without-mingle", "--without-heartbeat")


@contextmanager
def process(
    command: list[str], log: Path, env: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A child that writes into `log` and ends with the block."""
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


def environment(settings: Settings) -> dict[str, str]:
    """The settings that differ from the defaults, as an operator would set them."""
    given = settings.model_dump(mode="json", exclude_defaults=True, exclude={"owner_url"})
    given |= {
        name: value.get_secret_value()
        for name in given
        if isinstance(value := getattr(settings, name), SecretStr)
    }
    told = {
        f"POINTLEDGER_{name.upper()}": value if isinstance(value, str) else json.dumps(value)
        for name, value in given.items()
        if value is not None
    }
    return os.environ | told | {"C_FORCE_ROOT": "1"}


@contextmanager
def gateway(settings: Settings, folder: Path, port: int = 0) -> Iterator[str]:
    """The URL of a gateway that serves."""
    log = folder / "gateway.log"
    log.write_bytes(b"")
    command = [sys.executable, "-m", "pointledger.cli", "serve", "--port", str(port)]
    with process(command, log, environment(settings)) as child:

        def listens() -> bool:
            assert child.poll() is None, log.read_text()
            return _LISTENS.search(log.read_text()) is not None

        wait_until(listens, "the gateway listens")
        found = _LISTENS.search(log.read_text())
        assert found
        wait_until(lambda: _is_ready(found[1]), "the gateway is ready")
        yield found[1]


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz").status_code == 200
    except httpx.TransportError:
        return False


@contextmanager
def running(settings: Settings, issuer: Issuer, folder: Path, *, working: bool = True) -> Iterator[Served]:
    """A gateway with these settings and, `working`, a worker of Celery's: as `serving` has it, but as they
    are started elsewhere."""
    with ExitStack() as stack:
        if working:
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
            stack.enter_context(process(command, folder / "worker.log", environment(settings)))
        ledger = stack.enter_context(Ledger(settings))
        served = Served(ledger, issuer, stack.enter_context(gateway(settings, folder)))
        stack.callback(served.client.close)
        yield served


def run(command: list[str | Path], **more: Any) -> str:
    """What a program prints that must succeed."""
    done = subprocess.run(command, check=False, capture_output=True, text=True, **more)
    assert done.returncode == 0, f"{command[0]}: {done.stdout[-8000:]}{done.stderr[-8000:]}"
    printed: str = done.stdout
    return printed
