"""Two wheels and no checkout: an operator runs every process, and whoever has uv sees the demo."""

import json
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from pointledger import Settings
from pointledger.embedded import ServerUrls
from pointledger_demo.console import DemoProvider, console_settings
from pointledger_demo.development_key import ISSUER, development_key
from tests import environments
from tests.databases import as_worker, fresh_database
from tests.debian import PASSWORD, debians_redis
from tests.ports import free_port
from tests.waiting import wait_until

pytestmark = pytest.mark.long

_TENANT = "shop"
_SECONDS = 60.0  # of a start, which takes two
_DEMO_SECONDS = 300  # it takes twenty
_PRODUCER = """
from pointledger import Earn, PointsClient
with PointsClient.connect() as client:
    task_id = client.enqueue(Earn(tenant_id="shop", user_id="anna", amount=50))
    print(client.wait(task_id, timeout=60).state)
"""


class Operator:
    """An empty folder, and an environment that has the wheels."""

    def __init__(self, folder: Path, environ: Mapping[str, str]) -> None:
        self.folder = folder
        self.python = environments.python("wheel")
        self._environ = dict(environments.clean_environ(**environ))

    def run(self, *words: str, **given: str) -> str:
        """Run a command and return what it prints."""
        done = subprocess.run(
            [self.python.with_name(words[0]), *words[1:]],
            cwd=self.folder,
            env=self._environ | given,
            capture_output=True,
            text=True,
            check=False,
            timeout=_SECONDS,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def prepare(self, owner_url: str) -> None:
        """Create the tables, and a tenant."""
        self.run("pointledger", "migrate", POINTLEDGER_OWNER_URL=owner_url)
        (self.folder / "shop.json").write_text(json.dumps({"tenant_id": _TENANT, "timezone": "UTC"}))
        self.run("pointledger", "tenant", "put", "shop.json")

    @contextmanager
    def running(self, *words: str) -> Iterator[None]:
        """Run a command of `pointledger` until the end of the block, which it must survive."""
        with (self.folder / f"{words[0]}.log").open("w+") as log:
            process = subprocess.Popen(
                [self.python.with_name("pointledger"), *words],
                cwd=self.folder,
                env=self._environ,
                stdout=log,
                stderr=log,
            )
            try:
                yield
                assert process.poll() is None, (self.folder / f"{words[0]}.log").read_text()
            finally:
                process.terminate()
                try:
                    assert process.wait(_SECONDS) in (0, -signal.SIGTERM)  # uvicorn passes the signal on
                finally:
                    process.kill()


def _answers(url: str) -> bool:
    try:
        return httpx.get(url).status_code < httpx.codes.INTERNAL_SERVER_ERROR
    except httpx.TransportError:
        return False


def test_the_wheel_alone_runs_every_process(servers: ServerUrls, tmp_path: Path) -> None:
    """On Debian's Redis, in a database without tables. The console's provider is the demo's."""
    port, console_port, provider_port = free_port(), free_port(), free_port()
    url, console_url = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{console_port}"
    key = development_key(tmp_path / "key", _TENANT)
    with ExitStack() as stack:
        owner = stack.enter_context(fresh_database(servers, f"wheel_{secrets.token_hex(4)}"))
        redis = stack.enter_context(debians_redis(tmp_path, "redis", "appendonly yes"))
        provider = DemoProvider(provider_port, console_url, _TENANT)
        stack.callback(provider.stop)
        values: dict[str, str | SecretStr] = {
            "database_url": as_worker(servers, owner),
            "redis_url": f"redis://points:{_quoted(PASSWORD)}@127.0.0.1:{redis.port}/0",
            "allow_unsafe": '["postgres-durability"]',  # as the tests' Postgres is
            "http_issuer": ISSUER,
            "http_keys": str(key.keys),
            **console_settings(tmp_path / "console", provider_port, console_url),
        }
        (tmp_path / "empty").mkdir()
        operator = Operator(tmp_path / "empty", _environ(values))

        operator.prepare(owner)
        for words in (
            ("worker",),
            ("beat",),
            ("relay",),
            ("serve", "--port", str(port), "--admin-port", "0"),
            ("console", "--port", str(console_port), "--admin-port", "0"),
        ):
            stack.enter_context(operator.running(*words))

        assert operator.run("python", "-c", _PRODUCER) == "applied\n"
        wait_until(lambda: _answers(f"{url}/readyz"), "the API answers", _SECONDS)
        bearer = {"Authorization": f"Bearer {key.token.read_text()}"}
        account = httpx.get(f"{url}/points/anna", headers=bearer).json()
        assert account["data"]["balance"] == 50
        wait_until(lambda: _answers(f"{console_url}/console"), "the console answers", _SECONDS)
        assert httpx.get(f"{console_url}/console", follow_redirects=True).status_code == 200, "the login"
        heard = f"{Settings().redis_prefix}:beat"
        wait_until(lambda: bool(redis.client.exists(heard)), "a worker has heard beat", _SECONDS)


def _environ(values: Mapping[str, str | SecretStr]) -> dict[str, str]:
    return {
        f"POINTLEDGER_{name.upper()}": value if isinstance(value, str) else value.get_secret_value()
        for name, value in values.items()
    }


def _quoted(text: str) -> str:
    return text.replace("@", "%40").replace("/", "%2F").replace(":", "%3A")


def test_uvx_runs_the_demo_from_its_wheel(tmp_path: Path) -> None:
    wheel = environments.wheel("pointledger-demo")
    command: list[str | Path] = [
        Path(sys.executable).with_name("uvx"),
        *("--quiet", "--python", sys.executable, "--find-links", wheel.parent, "--from", wheel),
        *("pointledger", "demo", "--exit", "--json"),
    ]
    environ = environments.registry_environ() | dict(environments.clean_environ())
    done = subprocess.run(
        command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False, timeout=_DEMO_SECONDS
    )
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert (summary["dead"], summary["verify"]["violations"]) == (0, 0)
    assert summary["accepted"] > 37_000
    assert os.listdir(tmp_path) == [".data"]


def test_the_command_demo_says_what_to_install(tmp_path: Path) -> None:
    python = environments.python("typed")  # has the library only
    told = subprocess.run(
        [python, "-m", "pointledger.cli", "demo"],
        cwd=tmp_path,
        env=dict(environments.clean_environ()),
        capture_output=True,
        text=True,
        check=False,
        timeout=_SECONDS,
    )
    assert told.returncode == 1
    assert "pip install pointledger-demo" in told.stderr
