"""A framework's settings become the ledger's, and variables for the command line."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr

from pointledger.errors import SettingsInvalid
from pointledger.frameworks.command_line import run_command_line
from pointledger.frameworks.configured import as_variables, settings_from, with_database
from pointledger.settings import Settings
from tests.environments import clean_environ


def test_given_settings_come_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POINTLEDGER_REDIS_URL", "redis://environment/0")
    monkeypatch.setenv("POINTLEDGER_BATCH_SIZE", "300")
    settings = settings_from({"redis_url": "redis://given/0"})
    assert (settings.redis_url, settings.batch_size) == ("redis://given/0", 300)


@pytest.mark.parametrize("given", [{"redis": "redis://given/0"}, {"batch_size": "many"}])
def test_an_unknown_name_and_a_wrong_value_are_errors(given: dict[str, str]) -> None:
    with pytest.raises(SettingsInvalid, match=r"(?i)redis|batch_size"):
        settings_from(given)


def test_the_frameworks_own_database_comes_before_the_environments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POINTLEDGER_DATABASE_URL", "postgresql://environment/points")
    given = {"database_url": "postgresql://given/points"}
    own = "postgresql://own/shop"
    assert settings_from(with_database({}, own)).database == own
    assert settings_from(with_database(given, own)).database == given["database_url"]
    assert settings_from(with_database({}, None)).database == "postgresql://environment/points"


def test_the_variables_of_settings_are_read_as_the_same_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {
        "redis_url": "redis://given/0",
        "batch_size": 300,
        "pgbouncer": True,
        "allow_unsafe": ["postgres-durability"],
        "erasure_key": SecretStr("k" * 32),
        "owner_url": None,
        "health_folder": Path("some", "folder"),  # as Django's projects write them
        "backoff_seconds": (1, 2),
    }
    for name, value in as_variables(given).items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("POINTLEDGER_OWNER_URL", raising=False)
    assert Settings() == settings_from(given)


def test_the_command_line_takes_a_given_setting_instead_of_the_environments_file(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for name in ("DATABASE_URL", "REDIS_URL"):
        monkeypatch.delenv(f"POINTLEDGER_{name}", raising=False)
    monkeypatch.setenv("POINTLEDGER_DATABASE_URL_FILE", str(tmp_path / "missing"))
    before = dict(os.environ)
    given = {"database_url": "postgresql://127.0.0.1:1/none", "redis_url": "redis://127.0.0.1:1/0"}
    assert run_command_line("manage.py pointledger", ["account", "shop", "anna"], given) == 1
    assert "port 1 failed" in capfd.readouterr().err
    assert dict(os.environ) == before
    assert run_command_line("manage.py pointledger", ["--help"], {}) == 0
    assert "manage.py pointledger" in capfd.readouterr().out


@pytest.mark.parametrize("module", ["celery", "django", "fastapi", "flask"])
def test_a_service_does_not_import_the_command_line(module: str) -> None:
    program = f"import sys, pointledger.frameworks.{module}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], env=clean_environ(), capture_output=True, text=True, check=True
    )
    assert {"typer", "rich", "alembic", "pointledger.cli"} & set(done.stdout.split()) == set()
