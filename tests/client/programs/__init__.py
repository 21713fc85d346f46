"""Runs users' programs, which have the library and nothing else of this checkout. Each is a separate process
with the servers in its environment."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pointledger.settings import Settings
from tests.environments import clean_environ

HERE = Path(__file__).parent
SECONDS = 120  # far more than any program takes


def servers(settings: Settings) -> dict[str, str]:
    """Return the environment variables that name the servers."""
    named = {"POINTLEDGER_DATABASE_URL": settings.database, "POINTLEDGER_REDIS_URL": settings.redis}
    return named | ({"POINTLEDGER_BROKER_URL": settings.broker} if settings.broker_url else {})


class Program:
    """A program that prints lines of JSON, and waits for `go_on` at a pause."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def says(self) -> Any:
        """Return the next line."""
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())

    def go_on(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()


def end_all(process: subprocess.Popen[Any]) -> None:
    """Kill a process and its children, if it was started in its own session."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@contextmanager
def program(
    name: str, *arguments: str, settings: Settings, python: str | Path = sys.executable
) -> Iterator[Program]:
    """Run a program, which must end with status 0 and without output on stderr before the block ends."""
    process = subprocess.Popen(
        [python, HERE / name, *arguments],
        env=clean_environ(**servers(settings)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    with process:
        try:
            yield Program(process)
            rest, errors = process.communicate(timeout=SECONDS)
            assert (process.returncode, rest, errors) == (0, "", ""), f"{process.returncode} {rest}{errors}"
        finally:
            end_all(process)
