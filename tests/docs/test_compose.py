"""docker-compose.yml parses, and its commands and variables exist. No test can run it without Docker."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from pointledger import Settings
from tests.cli.conftest import run_app

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]


def test_compose_has_the_servers_the_migration_and_the_processes() -> None:
    processes = {"worker", "beat", "api", "relay", "ingest"}
    assert set(SERVICES) == {"postgres", "redis", "migrate"} | processes


def test_every_variable_is_a_setting() -> None:
    for service in SERVICES.values():
        for name in service.get("environment", {}):
            if name.startswith("POINTLEDGER_"):
                assert name.removeprefix("POINTLEDGER_").lower() in Settings.model_fields


@pytest.mark.parametrize("name", ["worker", "beat"])
def test_the_celery_commands_are_those_of_the_readmes(name: str) -> None:
    folder = {"worker": "workers", "beat": "schedules"}[name]
    command = " ".join(SERVICES[name]["command"]).removeprefix("/venv/bin/")
    assert command in (ROOT / folder / "README.md").read_text()


@pytest.mark.parametrize("name", ["worker", "beat"])
def test_celery_accepts_every_option_of_its_command(name: str) -> None:
    _, *arguments = SERVICES[name]["command"]
    given = {"POINTLEDGER_REDIS_URL": "redis://127.0.0.1:1/0"}
    path = {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "src")])}
    help_output = subprocess.run(
        [sys.executable, "-m", "celery", *arguments, "--help"],
        capture_output=True,
        check=False,
        cwd=ROOT,
        env=os.environ | given | path,
        text=True,
    )
    assert help_output.returncode == 0, help_output.stderr
    for option in (argument.split("=")[0] for argument in arguments if argument.startswith("--")):
        assert option in help_output.stdout


def test_the_migration_is_a_command() -> None:
    command = SERVICES["migrate"]["command"][-1]
    assert command.endswith("-m pointledger.cli migrate")
    assert run_app("migrate", "--help").status == 0


@pytest.mark.parametrize("name", ["relay", "ingest"])
def test_the_other_processes_are_commands(name: str) -> None:
    assert SERVICES[name]["command"][1:] == ["-m", "pointledger.cli", name]
    assert run_app(name, "--help").status == 0


def test_the_relay_is_healthy_while_no_event_waits_too_long() -> None:
    *_, command, option, seconds = SERVICES["relay"]["healthcheck"]["test"]
    assert (command, option, float(seconds)) == ("outbox", "--within", 60)
    assert option in run_app(command, "--help").stdout


def test_the_api_is_a_command_with_a_readiness_check() -> None:
    command = SERVICES["api"]["command"]
    assert command[1:4] == ["-m", "pointledger.cli", "serve"]
    help_output = run_app("serve", "--help")
    assert help_output.status == 0
    assert all(option in help_output.stdout for option in command if option.startswith("--"))
    assert "/readyz" in SERVICES["api"]["healthcheck"]["test"][-1]


def test_every_dependency_and_volume_exists() -> None:
    for service in SERVICES.values():
        assert set(service.get("depends_on", {})) <= set(SERVICES)
        named = {volume.split(":")[0] for volume in service.get("volumes", []) if volume[0] not in "./"}
        assert named <= set(COMPOSE["volumes"])


def test_redis_never_evicts() -> None:
    assert "noeviction" in SERVICES["redis"]["command"], "eviction would lose doorbells and locks"
