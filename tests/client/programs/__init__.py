"""Programs of users, who have the library and nothing else of this checkout. Each runs as a process of its
own; its environment names the servers."""

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
from tests.environments import stranger

HERE = Path(__file__).parent
SECONDS = 120  # far more than any program takes


def servers(settings: Settings) -> dict[str, str]:
    """What a user's environment says of them."""
    named = {"POINTLEDGER_DATABASE_URL": settings.database, "POINTLEDGER_REDIS_URL": settings.redis}
    return named | ({"POINTLEDGER_BROKER_URL": settings.broker} if settings.broker_url else {})


class Program:
    """A program that prints JSON, a line at a time, and goes on after each when it is told to."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def says(self) -> Any:
        """The next line."""
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())

    def go_on(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()


def end_all(process: subprocess.Popen[Any]) -> None:
    """Kills what is left of a process and of those that it has forked, if it was started in a session of its
    own."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@contextmanager
def program(
    name: str, *arguments: str, settings: Settings, python: str | Path = sys.executable
) -> Iterator[Program]:
    """Runs it; it ends well, without a word on stderr, before the block does."""
    process = subprocess.Popen(
        [python, HERE / name, *arguments],
        env=stranger(**servers(settings)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    with process:
        try:
            yield Program(process)
            rest, told = process.communicate(timeout=SECONDS)
            assert (process.returncode, rest, told) == (0, "", ""), f"{process.returncode} {rest}{told}"
        finally:
            end_all(process)
