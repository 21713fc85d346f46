"""`migrate`, `sweep`, `dead`, `audit`, and what happens when servers are missing."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pointledger import Earn
from pointledger.domain.commands import command_from
from pointledger.ids import parse_id
from pointledger.observability.replay.tenant import TenantReplay
from pointledger.settings import Settings
from pointledger.storage.queue import failures, journal
from tests.cli.conftest import Run, Working, run_app
from tests.ledger import Ledger


def test_migrating_again_changes_nothing(run: Run, settings: Settings) -> None:
    ran = run("migrate", "--json")
    assert (ran.status, ran.json["lanes"]) == (0, settings.lanes)
    assert "ready" in run("migrate").stderr


def test_a_sweep_expires_what_is_due(run: Run, ledger: Ledger, working: Working) -> None:
    ledger.tenant(default_expiry_days=10)
    fields = {"tenant_id": "shop", "user_id": "anna", "amount": 9, "occurred_at": "2017-01-01T00:00:00Z"}
    ledger.apply(command_from("earn", fields))

    early = run("sweep", "expiry", "--as-of", "2017-01-10T00:00:00Z", "--json")
    assert (early.status, early.json["found"]) == (0, 0)

    with working():
        swept = run(
            "sweep", "expiry", "--tenant", "shop", "--as-of", "2017-02-01T00:00:00Z", "--wait", "--json"
        )
    assert swept.status == 0
    assert (swept.json["found"], swept.json["accepted"], swept.json["applied"]) == (1, 1, 1)
    assert ledger.balance("anna") == 0
    assert ledger.account("anna")["expired_points"] == 9
    again = run("sweep", "expiry", "--wait")
    assert again.status == 0
    assert "found" in again.stdout


def test_a_sweep_takes_no_more_accounts_than_its_limit(run: Run, ledger: Ledger) -> None:
    ledger.tenant(default_expiry_days=10)
    for user in ("anna", "ben", "carl"):
        fields = {"tenant_id": "shop", "user_id": user, "amount": 9, "occurred_at": "2017-01-01T00:00:00Z"}
        ledger.apply(command_from("earn", fields))
    sweep = ("sweep", "expiry", "--as-of", "2017-02-01T00:00:00Z", "--json")
    assert run(*sweep, "--limit", "2").json["found"] == 2
    assert run(*sweep, "--limit", "0").status == 2
    assert run(*sweep).json["found"] == 3


def test_a_sweep_refuses_a_time_without_offset_and_an_unknown_tenant(run: Run) -> None:
    for time in ("2017-02-01T00:00:00", "tomorrow", "7"):
        wrong = run("sweep", "expiry", "--as-of", time, "--json")
        assert wrong.status == 2
        assert "--as-of" in wrong.json["error"]
    assert run("sweep", "expiry", "--tenant", "nowhere").status == 1


@pytest.fixture
def dead_id(ledger: Ledger) -> str:
    """A command that died."""
    earn = Earn(tenant_id="shop", user_id="anna", amount=9, extensions={"traceparent": "00-trace"})
    task_id = ledger.client.enqueue(earn)
    with ledger.database.begin() as connection:
        lane = journal.lane_of(connection, parse_id(task_id))
        assert lane is not None
        failures.charge(connection, lane, parse_id(task_id), "Boom: [red]the disk\x1b[31m\nis full")
        failures.bury(connection, lane, parse_id(task_id), hold=False)
    return task_id


def test_dead_commands_are_listed_and_shown(run: Run, dead_id: str) -> None:
    listed = run("dead", "list", "--json")
    assert [line["task_id"] for line in listed.json_lines] == [dead_id]
    assert "Boom: [red]the disk\\x1b[31m" in run("dead", "list").stdout
    shown = run("dead", "show", dead_id, "--json")
    assert shown.status == 0
    assert shown.json["payload"] == {"amount": 9}
    assert shown.json["extensions"] == {"traceparent": "00-trace"}
    assert "is full" in shown.json["error"]
    assert '{"amount": 9}' in run("dead", "show", dead_id).stdout
    assert run("outcome", dead_id, "--json").json["state"] == "dead"
    assert run("outcome", dead_id).status == 1


def test_a_dead_command_is_retried(run: Run, ledger: Ledger, dead_id: str) -> None:
    assert ledger.drain() == 0
    retried = run("dead", "retry", dead_id, "--json")
    assert (retried.status, retried.json) == (0, {"task_id": dead_id, "state": "pending"})
    lane = ledger.waiting_lanes()[0]
    assert ledger.redis.exists(f"{ledger.settings.redis_prefix}:door:{lane}")
    assert ledger.drain() == 1
    assert ledger.balance("anna") == 9
    assert run("dead", "retry", dead_id).status == 1


def test_what_is_not_dead_is_told(run: Run) -> None:
    assert "Nothing is dead" in run("dead", "list").stderr
    for command in ("show", "retry"):
        wrong = run("dead", command, "01ARZ3NDEKTSV4RRFFQ69G5FAV", "--json")
        assert wrong.status == 1
        assert "No dead command" in wrong.json["error"]
        assert run("dead", command, "x").status == 2


def test_a_replay_with_a_dead_command_ends_with_1(run: Run, ledger: Ledger, dead_id: str) -> None:
    fields = {"kind": "earn", "tenant_id": "shop", "user_id": "anna", "amount": 9, "id": dead_id}
    ran = run("replay", "-", "--wait", "--json", stdin=json.dumps(fields))
    assert (ran.status, ran.json["duplicates"], ran.json["dead"]) == (1, 1, 1)


def test_the_audit_of_a_sound_ledger_ends_with_0(
    run: Run, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.apply(Earn(tenant_id="shop", user_id="anna", amount=9))
    sound = run("audit", "--json")
    assert (sound.status, sound.stderr) == (0, "")
    assert (sound.json["violations"], sound.json["accounts"], sound.json["entries"]) == (0, 1, 1)
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    shown = run("audit")
    assert "holds" in shown.stdout
    assert "rows checked" in shown.stderr


def test_the_audit_of_a_broken_ledger_ends_with_1_and_names_the_rows(run: Run, ledger: Ledger) -> None:
    ledger.apply(Earn(tenant_id="shop", user_id="anna", amount=9))
    with ledger.database.begin() as connection:
        connection.exec_driver_sql("UPDATE accounts SET balance = 10, total_earned = 10")
    broken = run("audit", "--json")
    assert broken.status == 1
    assert broken.json["violations"] > 0
    shown = run("audit")
    assert shown.status == 1
    assert "BROKEN" in shown.stdout
    assert "anna" in shown.stderr


def test_a_replay_that_finds_nothing_ends_with_0(
    run: Run, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.tenant("cafe")
    ledger.apply(*(Earn(tenant_id=tenant, user_id="anna", amount=9) for tenant in ("cafe", "shop")))
    sound = run("audit", "--replay", "--json")
    assert (sound.status, sound.stderr) == (0, "")
    assert [sound.json[name] for name in ("differences", "commands", "last_tenant")] == [0, 2, "shop"]
    for chosen in (("--tenant", "cafe"), ("--after", "cafe")):
        assert run("audit", "--replay", *chosen, "--json").json["commands"] == 1
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    shown = run("audit", "--replay")
    assert "the same" in shown.stdout
    assert "deciding again" in shown.stderr


def test_a_replay_that_finds_something_ends_with_1_and_names_it(run: Run, ledger: Ledger) -> None:
    ledger.apply(Earn(tenant_id="shop", user_id="anna", amount=9))
    with ledger.database.begin() as connection:
        connection.exec_driver_sql("UPDATE accounts SET as_of = as_of + interval '1 s'")
    differs = run("audit", "--replay", "--json")
    assert (differs.status, differs.json["differences"]) == (1, 1)
    shown = run("audit", "--replay")
    assert shown.status == 1
    assert "1 DIFFER" in shown.stdout
    assert "anna" in shown.stderr


def test_what_a_replay_left_out_is_told(run: Run, ledger: Ledger) -> None:
    ledger.apply(Earn(tenant_id="shop", user_id="anna", amount=9))
    with ledger.owner.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE outcomes DISABLE TRIGGER USER")
        connection.exec_driver_sql("UPDATE outcomes SET batch = NULL")
        connection.exec_driver_sql("ALTER TABLE outcomes ENABLE TRIGGER USER")
    assert run("audit", "--replay", "--json").json["without_order"] == {"shop": 1}
    assert "shop was not replayed" in run("audit", "--replay").stderr


def test_an_interrupted_replay_says_where_to_go_on(
    run: Run, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.tenant("cafe")
    ledger.apply(*(Earn(tenant_id=tenant, user_id="anna", amount=9) for tenant in ("cafe", "shop")))
    replay_tenant = TenantReplay.run

    def interrupt(self: TenantReplay, *arguments: Any) -> None:
        replay_tenant(self, *arguments)
        if arguments and self._tenant_id == "shop":
            raise KeyboardInterrupt

    monkeypatch.setattr(TenantReplay, "run", interrupt)
    ran = run("audit", "--replay")
    assert ran.status == 130
    assert "pointledger audit --replay --after cafe" in ran.stderr


def test_options_of_the_replay_go_with_it(run: Run, ledger: Ledger) -> None:
    assert run("audit", "--tenant", "shop").status == 2
    assert run("audit", "--after", "shop", "--json").status == 2
    assert run("audit", "--replay", "--tenant", "nobody", "--json").json["error"]


# ------------------------------------------------------------------------------------------ no servers


def test_a_database_that_is_away_is_told_with_what_to_do(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POINTLEDGER_DATABASE_URL", "postgresql://me:secret@127.0.0.1:1/none")
    monkeypatch.delenv("POINTLEDGER_OWNER_URL")
    earn = ("enqueue", "earn", '{"tenant_id": "a", "user_id": "b", "amount": 1}')
    for command in (("migrate",), ("accounts", "shop"), earn):
        away = run(*command, "--json")
        assert away.status == 1
        assert "POINTLEDGER_DATABASE_URL" in away.json["error"]
        assert "Traceback" not in away.stderr
        assert "secret" not in away.stderr + away.stdout


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
    wrong = run("outcome", "01ARZ3NDEKTSV4RRFFQ69G5FAV", "--json")
    assert wrong.status == 1
    assert variable.removeprefix("POINTLEDGER_").lower() in wrong.json["error"].lower()


def test_without_urls_the_servers_of_the_current_folder_are_used(
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


def test_ctrl_c_ends_quietly(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pointledger.storage.migrate.migrate", interrupted)
    ran = run("migrate")
    assert (ran.status, ran.stdout, ran.stderr) == (130, "", "")


def test_wrong_usage_is_bad_input_in_both_forms(run: Run) -> None:
    wrong = run("entries", "shop", "anna", "--json", "--limit", "x")
    assert wrong.status == 2
    assert "--limit" in wrong.json["error"]
    assert run("nonsense").status == 2
    assert run("outcome").status == 2


@pytest.mark.parametrize(
    "command",
    ["", "migrate", "enqueue", "outcome", "replay", "account", "accounts", "entries", "audit", "tenant put",
     "tenant show", "rule put", "rule list", "sweep expiry", "dead list", "dead show", "dead retry"],
)  # fmt: skip
def test_every_command_has_a_help_page_and_json(command: str) -> None:
    page = run_app(*command.split(), "--help")
    assert page.status == 0
    assert "--json" in page.stdout or not command


def test_the_program_keeps_stdout_for_the_answer(settings: Settings) -> None:
    """Redis is away: the command is accepted all the same, and the warning goes to stderr."""
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
