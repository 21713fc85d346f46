"""Fixtures that run the command line in this process, and a worker if a test needs one."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import pytest
from typer.testing import CliRunner

from pointledger.cli.app import app
from pointledger.settings import Settings
from tests.ledger import Ledger
from tests.working import working as work_beside


@dataclass(frozen=True)
class Ran:
    """The output and exit status of a command."""

    status: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        return json.loads(self.stdout)

    @property
    def json_lines(self) -> list[Any]:
        return [json.loads(line) for line in self.stdout.splitlines()]


Run = Callable[..., Ran]
Working = Callable[[], AbstractContextManager[None]]


def run_app(*arguments: str, stdin: str | bytes | None = None) -> Ran:
    result = CliRunner().invoke(app, list(arguments), input=stdin, prog_name="pointledger")
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Ran(result.exit_code, result.stdout, result.stderr)


@pytest.fixture
def environment(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment variables for the test's servers."""
    monkeypatch.setenv("POINTLEDGER_DATABASE_URL", settings.database)
    monkeypatch.setenv("POINTLEDGER_OWNER_URL", settings.owner)
    monkeypatch.setenv("POINTLEDGER_REDIS_URL", settings.redis)
    monkeypatch.delenv("POINTLEDGER_BROKER_URL", raising=False)


@pytest.fixture
def run(environment: None) -> Run:
    return run_app


@pytest.fixture
def ledger(settings: Settings) -> Iterator[Ledger]:
    with Ledger(settings) as opened:
        opened.tenant(transfer_enabled=True)
        yield opened


@pytest.fixture
def working(ledger: Ledger) -> Working:
    """Run a worker during a command: `with working(): run(...)`."""
    return lambda: work_beside(ledger)
