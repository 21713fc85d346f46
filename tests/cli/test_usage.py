"""Settings, missing servers, usage errors and help."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pointledger.settings import Settings
from tests.cli.conftest import Run, run_app


def test_an_unavailable_database_is_reported_with_a_remedy(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POINTLEDGER_DATABASE_URL", "postgresql://me:secret@127.0.0.1:1/none")
    monkeypatch.delenv("POINTLEDGER_OWNER_URL")
    earn = ("enqueue", "earn", '{"tenant_id": "a", "user_id": "b", "amount": 1}')
    for command in (("migrate",), ("accounts", "shop"), earn):
        failed = run(*command, "--json")
        assert failed.status == 1
        assert "POINTLEDGER_DATABASE_URL" in failed.json["error"]
        assert "Traceback" not in failed.stderr
        assert "secret" not in failed.stderr + failed.stdout


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("POINTLEDGER_DATABASE_URL", "nonsense"),
        ("POINTLEDGER_DATABASE_URL", "postgresql://host:port/name"),
        ("POINTLEDGER_DATABASE_URL", ""),
        ("POINTLEDGER_REDIS_URL", "nonsense"),
        ("POINTLEDGER_REDIS_URL", ""),
        ("POINTLEDGER_LANES", "many"),
        ("POINTLEDGER_BACKOFF_SECONDS", "soon"),
        ("POINTLEDGER_EVENTS_SOURCE", "the shop"),
        ("POINTLEDGER_EVENTS_SOURCE", "1:shop"),
        ("POINTLEDGER_EVENTS_SOURCE", "/"),
    ],
)
def test_a_malformed_setting_is_named(
    run: Run, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    failed = run("outcome", "01ARZ3NDEKTSV4RRFFQ69G5FAV", "--json")
    assert failed.status == 1
    assert variable.removeprefix("POINTLEDGER_").lower() in failed.json["error"].lower()


def test_without_urls_the_embedded_servers_of_the_current_folder_are_used(
    server_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DATABASE", "REDIS", "BROKER"):
        monkeypatch.delenv(f"POINTLEDGER_{name}_URL", raising=False)
    monkeypatch.chdir(server_home)
    fresh = run_app("accounts", "shop", "--json")
    assert fresh.status == 1
    assert "pointledger migrate" in fresh.json["error"]
    assert ".data" in fresh.stderr

    assert run_app("migrate").status == 0
    assert run_app("tenant", "put", "-", stdin='{"tenant_id": "shop"}').status == 0
    assert run_app("tenant", "show", "shop", "--json").json["tenant_id"] == "shop"


def test_ctrl_c_exits_without_output(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pointledger.storage.migrate.migrate", interrupted)
    ran = run("migrate")
    assert (ran.status, ran.stdout, ran.stderr) == (130, "", "")


def test_usage_errors_are_bad_input_with_and_without_json(run: Run) -> None:
    failed = run("entries", "shop", "anna", "--json", "--limit", "x")
    assert failed.status == 2
    assert "--limit" in failed.json["error"]
    assert run("nonsense").status == 2
    assert run("outcome").status == 2


@pytest.mark.parametrize(
    "command",
    ["", "migrate", "enqueue", "outcome", "replay", "account", "accounts", "entries", "verify", "tenant put",
     "tenant show", "rule put", "rule list", "jobs expire", "dead list", "dead show", "dead retry"],
)  # fmt: skip
def test_every_command_has_help_and_json(command: str) -> None:
    help_page = run_app(*command.split(), "--help")
    assert help_page.status == 0
    assert "--json" in help_page.stdout or not command


def test_stdout_contains_only_the_result(settings: Settings) -> None:
    """Without Redis the command is still accepted, and the warning goes to stderr."""
    environ = os.environ | {
        "POINTLEDGER_DATABASE_URL": settings.database,
        "POINTLEDGER_REDIS_URL": "redis://127.0.0.1:1/0",
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }
    arguments = ["enqueue", "earn", '{"tenant_id": "shop", "user_id": "anna", "amount": 1}', "--json"]
    code = "from pointledger.cli import main; main()"
    ran = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        check=False,
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.count("\n") == 1
    assert '"state": "pending"' in ran.stdout
    assert "doorbell_failed" in ran.stderr
