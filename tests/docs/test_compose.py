"""docker-compose.yml parses, and its commands, settings, secrets and files exist. No test can run it."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from pointledger import Settings
from pointledger.api.console.configuration import configuration_of
from pointledger.errors import ConsoleNotConfigured
from tests.cli.conftest import run_app

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
PROCESSES = {"worker", "beat", "relay", "ingest", "api", "console"}
OURS = {"migrate"} | PROCESSES
_FOLDER = "/run/secrets/"


def is_setting(name: str) -> bool:
    """Return whether a variable is one of `Settings`, or names the file with its value."""
    name = name.removeprefix("POINTLEDGER_").lower()
    return name in Settings.model_fields or name.removesuffix("_file") in Settings.model_fields


def assert_is_a_command(words: list[str]) -> None:
    """Assert that `pointledger` has the command and its options."""
    shown = run_app(words[0], "--help")
    assert shown.status == 0
    assert all(word in shown.stdout for word in words if word.startswith("--"))


def test_compose_has_the_servers_the_migration_and_the_processes() -> None:
    assert set(SERVICES) == {"postgres", "redis", "pgbouncer", "prometheus"} | OURS


def test_what_needs_more_than_passwords_has_a_profile() -> None:
    profiles = {name: service["profiles"] for name, service in SERVICES.items() if "profiles" in service}
    assert profiles == {name: [name] for name in ("ingest", "console", "pgbouncer", "prometheus")}


@pytest.mark.parametrize("name", sorted(OURS))
def test_every_variable_is_a_setting(name: str) -> None:
    for variable in SERVICES[name]["environment"]:
        assert is_setting(variable), variable


@pytest.mark.parametrize("name", sorted(OURS))
def test_every_process_is_a_command_of_the_image(name: str) -> None:
    service = SERVICES[name]
    assert service["image"] == COMPOSE["x-pointledger"]["image"]
    assert service["command"][0] == ("serve" if name == "api" else name)
    assert_is_a_command(service["command"])


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_every_service_has_few_rights_limits_and_a_health_check(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["deploy"]["resources"]["limits"].keys() == {"cpus", "memory", "pids"}
    assert "latest" not in service.get("image", "")
    if name == "migrate":
        assert service["healthcheck"] == {"disable": True}, "it ends"
        return
    _, *words = service["healthcheck"]["test"]
    if name in PROCESSES:
        assert words == ["pointledger", "health"]
        assert_is_a_command(words[1:])


def test_every_secret_is_a_file_that_a_service_reads_and_no_service_has_one_in_its_environment() -> None:
    files = {name: secret["file"] for name, secret in COMPOSE["secrets"].items()}
    assert files == {name: f"./.secrets/{name}" for name in files}
    assert ".secrets/" in (ROOT / ".gitignore").read_text().splitlines()
    given = set()
    for name, service in SERVICES.items():
        environment = service.get("environment", {})
        named = {
            str(value).removeprefix(_FOLDER)
            for value in environment.values()
            if str(value).startswith(_FOLDER)
        }
        assert name == "pgbouncer" or named == set(service.get("secrets", []))
        assert not [variable for variable in environment if re.search(r"(PASSWORD|SECRET|KEY)$", variable)]
        given |= set(service.get("secrets", []))
    assert given == set(files)


def test_only_the_migration_knows_the_owner() -> None:
    knowing = [name for name, service in SERVICES.items() if "owner_url" in service.get("secrets", [])]
    assert knowing == ["migrate"]


def test_the_console_has_every_setting_that_it_needs() -> None:
    console = SERVICES["console"]
    assert all(published.startswith("127.0.0.1:") for published in console["ports"])
    given = {name.removesuffix("_FILE") for name in console["environment"] if "CONSOLE" in name}
    values = {"ISSUER": "https://login.example", "URL": "http://localhost:8010", "KEY": "k" * 32}
    settings: dict[str, Any] = {
        name.removeprefix("POINTLEDGER_").lower(): values.get(name.rpartition("_")[2], "x") for name in given
    }
    assert configuration_of(Settings(**settings)).origin == "http://localhost:8010"
    for name in settings.keys() - {"console_client_secret"}:
        with pytest.raises(ConsoleNotConfigured, match=name.upper()):
            configuration_of(Settings(**{other: text for other, text in settings.items() if other != name}))


def test_every_dependency_volume_and_file_exists() -> None:
    for service in SERVICES.values():
        assert set(service.get("depends_on", {})) <= set(SERVICES)
        sources = {volume.split(":")[0] for volume in service.get("volumes", [])}
        files = {source for source in sources if source.startswith(".")}
        assert all((ROOT / file).exists() for file in files)
        assert sources - files <= set(COMPOSE["volumes"])


def test_redis_never_evicts() -> None:
    assert "noeviction" in SERVICES["redis"]["command"], "eviction would lose doorbells and locks"


def test_prometheus_reads_the_same_rules_from_the_api() -> None:
    folder = ROOT / "deploy" / "prometheus"
    ours = yaml.safe_load((folder / "compose.yml").read_text())
    usual = yaml.safe_load((folder / "prometheus.yml").read_text())
    assert {**ours, "scrape_configs": None} == {**usual, "scrape_configs": None}
    (target,) = [
        one for job in ours["scrape_configs"] for each in job["static_configs"] for one in each["targets"]
    ]
    command = SERVICES["api"]["command"]
    assert target == f"api:{command[command.index('--admin-port') + 1]}"
    assert "/etc/prometheus/compose.yml" in SERVICES["prometheus"]["command"][0]


@pytest.mark.long
def test_promtool_accepts_the_configuration() -> None:
    configuration = ROOT / "deploy" / "prometheus" / "compose.yml"
    subprocess.run(["promtool", "check", "config", configuration], check=True, capture_output=True)


@pytest.mark.long
def test_pgbouncer_accepts_the_configuration(tmp_path: Path) -> None:
    """It refuses a setting that it does not know before it looks for its files."""
    text = (ROOT / "deploy" / "compose" / "pgbouncer.ini").read_text()
    logins = tmp_path / "logins.txt"
    logins.write_text("")
    given = text.replace("/run/secrets/pgbouncer_users", str(logins)).replace("0.0.0.0", "127.0.0.1")
    file = tmp_path / "pgbouncer.ini"
    file.write_text(given + "max_client_connections = 1\n")
    program = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin")
    assert program
    done = subprocess.run(
        [program, "-u", "nobody", file], check=False, capture_output=True, text=True, timeout=30
    )
    assert done.returncode != 0
    unknown = [line for line in done.stderr.splitlines() if "unknown parameter" in line]
    assert len(unknown) == 1
    assert "max_client_connections" in unknown[0]
