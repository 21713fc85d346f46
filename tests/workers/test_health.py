"""`pointledger health` and real processes: they beat in the loop that works, and outages do not stop it."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest

from pointledger.observability.heartbeat import Process, running
from pointledger.settings import Settings
from pointledger_demo.console import console_settings
from pointledger_demo.development_key import ISSUER, development_key
from tests.client.programs import servers
from tests.environments import clean_environ
from tests.waiting import wait_until
from tests.workers.test_command import UNSAFE

_SECONDS = 180.0  # six processes start at once, each with two seconds of imports
_PORTS = ("--port", "0", "--admin-port", "0")
_WORDS = {
    Process.WORKER: ("worker",),
    Process.BEAT: ("beat",),
    Process.RELAY: ("relay",),
    Process.INGEST: ("ingest",),
    Process.API: ("serve", *_PORTS),
    Process.CONSOLE: ("console", *_PORTS),
}
_NOWHERE = {
    "POINTLEDGER_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nothing",
    "POINTLEDGER_REDIS_URL": "redis://127.0.0.1:1/0",
}


class Machine:
    """A folder in which every process beats."""

    def __init__(self, folder: Path, environ: dict[str, str]) -> None:
        self.folder = folder
        self.health = folder / "health"
        self._environ = clean_environ(**environ, **UNSAFE, POINTLEDGER_HEALTH_FOLDER=str(self.health))

    @contextmanager
    def every_process(self) -> Iterator[dict[Process, subprocess.Popen[bytes]]]:
        with ExitStack() as stack:
            yield {process: stack.enter_context(self._running(*words)) for process, words in _WORDS.items()}

    @contextmanager
    def _running(self, *words: str) -> Iterator[subprocess.Popen[bytes]]:
        command = [sys.executable, "-m", "pointledger.cli", *words]
        with (self.folder / f"{words[0]}.log").open("wb") as log:
            process = subprocess.Popen(command, cwd=self.folder, env=self._environ, stdout=log, stderr=log)
            try:
                yield process
            finally:
                process.kill()
                process.wait()

    def check(self, *words: str) -> tuple[int, Any]:
        """Run the command, and return its status and its JSON."""
        command = [sys.executable, "-m", "pointledger.cli", "health", *words, "--json"]
        done = subprocess.run(command, cwd=self.folder, env=self._environ, capture_output=True, check=False)
        return done.returncode, orjson.loads(done.stdout)

    def wait_for_all(self) -> None:
        kinds = {*Process}
        wait_until(lambda: {each.process for each in running(self.health)} == kinds, "all beat", _SECONDS)

    def beats(self, processes: dict[Process, subprocess.Popen[bytes]]) -> None:
        """Wait until each process has beaten again, and has not ended."""
        for process, started in processes.items():
            (path,) = self.health.glob(f"{process}-*")
            before = path.read_bytes()
            wait_until(lambda path=path, before=before: path.read_bytes() != before, process, _SECONDS)  # type: ignore[misc]
            assert started.poll() is None, (self.folder / f"{_WORDS[process][0]}.log").read_text()


def _environ(settings: Settings, folder: Path) -> dict[str, str]:
    key = development_key(folder / "key", "shop")
    console = console_settings(folder / "console", 1, "http://127.0.0.1:1")
    return servers(settings) | {
        "POINTLEDGER_REDIS_PREFIX": settings.redis_prefix,
        "POINTLEDGER_HTTP_ISSUER": ISSUER,
        "POINTLEDGER_HTTP_KEYS": str(key.keys),
        "POINTLEDGER_INGEST_KEYS": '{"producers": []}',
        **{
            f"POINTLEDGER_{name.upper()}": value if isinstance(value, str) else value.get_secret_value()
            for name, value in console.items()
        },
    }


def test_every_process_beats_and_one_that_is_stopped_is_found(settings: Settings, tmp_path: Path) -> None:
    machine = Machine(tmp_path, _environ(settings, tmp_path))
    with machine.every_process() as processes:
        machine.wait_for_all()
        machine.beats(processes)
        status, found = machine.check()
        assert status == 0
        assert {each["pid"] for each in found["processes"]} == {each.pid for each in processes.values()}

        processes[Process.RELAY].send_signal(signal.SIGSTOP)
        wait_until(lambda: machine.check("relay", "--within", "2")[0] == 1, "it stands still", _SECONDS)
        assert "relay" in machine.check("--within", "2")[1]["why"]
        os.kill(processes[Process.RELAY].pid, signal.SIGKILL)
        processes[Process.RELAY].wait()
        assert machine.check("relay")[1]["why"] == "unhealthy: no relay runs that writes heartbeats here"


def test_every_process_that_waits_for_its_servers_is_healthy(settings: Settings, tmp_path: Path) -> None:
    machine = Machine(tmp_path, _environ(settings, tmp_path) | _NOWHERE)
    with machine.every_process() as processes:
        machine.wait_for_all()
        machine.beats(processes)


@pytest.mark.parametrize(
    "words", [("worker",), ("beat",), ("relay",), ("serve", *_PORTS)], ids=lambda it: it[0]
)
def test_a_process_whose_folder_is_unusable_does_not_start(
    words: tuple[str, ...], settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    environ = _environ(settings, tmp_path) | {"POINTLEDGER_HEALTH_FOLDER": str(tmp_path / "file")}
    command = [sys.executable, "-m", "pointledger.cli", *words]
    given = clean_environ(**environ, **UNSAFE)
    done = subprocess.run(
        command, cwd=tmp_path, env=given, capture_output=True, text=True, timeout=_SECONDS, check=False
    )
    assert done.returncode == 1
    assert "POINTLEDGER_HEALTH_FOLDER" in done.stderr
    assert "Traceback" not in done.stderr
