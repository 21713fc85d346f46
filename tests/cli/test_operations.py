"""The commands `migrate`, `jobs expire`, `dead` and `verify`."""

import json
from typing import Any

import pytest

from pointledger import Earn
from pointledger.client.queries.console import ConsoleQueries
from pointledger.domain.commands import command_from
from pointledger.ids import parse_id
from pointledger.jobs.day_totals import DayTotals
from pointledger.messaging.contract import door_key
from pointledger.observability.replay.tenant import TenantReplay
from pointledger.settings import Settings
from pointledger.storage.queue import failures, journal
from tests.cli.conftest import Run, Working
from tests.ledger import Ledger


def test_migrating_again_changes_nothing(run: Run, settings: Settings) -> None:
    ran = run("migrate", "--json")
    assert (ran.status, ran.json["lanes"]) == (0, settings.lanes)
    assert "ready" in run("migrate").stderr


def test_the_job_expires_points_that_are_due(run: Run, ledger: Ledger, working: Working) -> None:
    ledger.tenant(default_expiry_days=10)
    fields = {"tenant_id": "shop", "user_id": "anna", "amount": 9, "occurred_at": "2017-01-01T00:00:00Z"}
    ledger.apply(command_from("earn", fields))

    early = run("jobs", "expire", "--as-of", "2017-01-10T00:00:00Z", "--json")
    assert (early.status, early.json["found"]) == (0, 0)

    with working():
        expired = run(
            "jobs", "expire", "--tenant", "shop", "--as-of", "2017-02-01T00:00:00Z", "--wait", "--json"
        )
    assert expired.status == 0
    assert (expired.json["found"], expired.json["accepted"], expired.json["applied"]) == (1, 1, 1)
    assert ledger.balance("anna") == 0
    assert ledger.account("anna")["expired_points"] == 9
    again = run("jobs", "expire", "--wait")
    assert again.status == 0
    assert "found" in again.stdout


def test_the_job_takes_at_most_the_given_number_of_accounts(run: Run, ledger: Ledger) -> None:
    ledger.tenant(default_expiry_days=10)
    for user in ("anna", "ben", "carl"):
        fields = {"tenant_id": "shop", "user_id": user, "amount": 9, "occurred_at": "2017-01-01T00:00:00Z"}
        ledger.apply(command_from("earn", fields))
    expire = ("jobs", "expire", "--as-of", "2017-02-01T00:00:00Z", "--json")
    assert run(*expire, "--limit", "2").json["found"] == 2
    assert run(*expire, "--limit", "0").status == 2
    assert run(*expire).json["found"] == 3


def test_days_are_summed_up_and_made_anew(run: Run, ledger: Ledger) -> None:
    ledger.apply(Earn(tenant_id="shop", user_id="anna", amount=9))
    for _ in range(2):
        DayTotals(ledger.database, lag_seconds=0).sum_up()
    with ledger.database.begin() as connection:
        connection.exec_driver_sql("UPDATE day_totals SET points = 8")
    assert run("verify", "--json").status == 1
    assert run("jobs", "sum-up", "--anew", "shop", "--json").json == {"summed_up": True, "anew": "shop"}
    assert [int(row[0]) for row in ledger.rows("SELECT points FROM day_totals")] == [9]
    assert run("verify", "--json").status == 0
    assert "summed_up" in run("jobs", "sum-up").stdout
    assert run("jobs", "sum-up", "--anew", "nowhere").status == 1


def test_the_job_rejects_a_time_without_offset_and_an_unknown_tenant(run: Run) -> None:
    for time in ("2017-02-01T00:00:00", "tomorrow", "7"):
        failed = run("jobs", "expire", "--as-of", time, "--json")
        assert failed.status == 2
        assert "--as-of" in failed.json["error"]
    assert run("jobs", "expire", "--tenant", "nowhere").status == 1


@pytest.fixture
def dead_id(ledger: Ledger) -> str:
    """The id of a dead command."""
    earn = Earn(tenant_id="shop", user_id="anna", amount=9, extensions={"traceparent": "00-trace"})
    task_id = ledger.client.enqueue(earn)
    with ledger.database.begin() as connection:
        lane = journal.lane_of(connection, parse_id(task_id))
        assert lane is not None
        failures.record_failure(connection, lane, parse_id(task_id), "Boom: [red]the disk\x1b[31m\nis full")
        failures.mark_dead(connection, lane, parse_id(task_id), block=False)
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
    assert ledger.redis.exists(door_key(ledger.settings.redis_prefix))
    assert ledger.drain() == 1
    assert ledger.balance("anna") == 9
    assert run("dead", "retry", dead_id).status == 1


def test_commands_that_are_not_dead_are_reported(run: Run) -> None:
    assert "No dead commands" in run("dead", "list").stderr
    for command in ("show", "retry"):
        failed = run("dead", command, "01ARZ3NDEKTSV4RRFFQ69G5FAV", "--json")
        assert failed.status == 1
        assert "no dead command with this id" in failed.json["error"]
        assert run("dead", command, "x").status == 2


def test_a_replay_with_a_dead_command_has_status_1(run: Run, ledger: Ledger, dead_id: str) -> None:
    fields = {"kind": "earn", "tenant_id": "shop", "user_id": "anna", "amount": 9, "id": dead_id}
    ran = run("replay", "-", "--wait", "--json", stdin=json.dumps(fields))
    assert (ran.status, ran.json["duplicates"], ran.json["dead"]) == (1, 1, 1)


def test_verifying_a_sound_ledger_has_status_0(
    run: Run, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.apply(Earn(tenant_id="shop", user_id="anna", amount=9))
    sound = run("verify", "--json")
    assert (sound.status, sound.stderr) == (0, "")
    assert (sound.json["violations"], sound.json["accounts"], sound.json["entries"]) == (0, 1, 1)
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    shown = run("verify")
    assert "holds" in shown.stdout
    assert "rows checked" in shown.stderr
    last = ConsoleQueries(ledger.database).checks("shop").last_of_all
    assert last is not None
    assert (last.state, last.accounts, last.entries, last.actor[:4]) == ("sound", 1, 1, "cli:")


def test_a_check_of_a_database_that_takes_no_writes_is_shown_and_not_recorded(
    run: Run, ledger: Ledger
) -> None:
    with ledger.owner.begin() as connection:
        connection.exec_driver_sql("REVOKE INSERT ON verify_runs FROM pointledger_app")
    ran = run("verify", "--json")
    assert (ran.status, ran.json["violations"]) == (0, 0)
    assert "could not be recorded: InsufficientPrivilege" in ran.stderr


def test_verifying_a_corrupt_ledger_has_status_1_and_prints_the_rows(run: Run, ledger: Ledger) -> None:
    ledger.apply(Earn(tenant_id="shop", user_id="anna", amount=9))
    with ledger.database.begin() as connection:
        connection.exec_driver_sql("UPDATE accounts SET balance = 10, total_earned = 10")
    broken = run("verify", "--json")
    assert broken.status == 1
    assert broken.json["violations"] > 0
    last = ConsoleQueries(ledger.database).checks("shop").last_of_all
    assert last is not None
    assert (last.state, last.violations) == ("broken", broken.json["violations"])
    shown = run("verify")
    assert shown.status == 1
    assert "BROKEN" in shown.stdout
    assert "anna" in shown.stderr


def test_verify_replay_without_differences_has_status_0(
    run: Run, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.tenant("cafe")
    ledger.apply(*(Earn(tenant_id=tenant, user_id="anna", amount=9) for tenant in ("cafe", "shop")))
    sound = run("verify", "--replay", "--json")
    assert (sound.status, sound.stderr) == (0, "")
    assert [sound.json[name] for name in ("differences", "commands", "last_tenant")] == [0, 2, "shop"]
    for options in (("--tenant", "cafe"), ("--after", "cafe")):
        assert run("verify", "--replay", *options, "--json").json["commands"] == 1
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    shown = run("verify", "--replay")
    assert "the same" in shown.stdout
    assert "deciding again" in shown.stderr


def test_verify_replay_with_differences_has_status_1_and_prints_them(run: Run, ledger: Ledger) -> None:
    ledger.apply(Earn(tenant_id="shop", user_id="anna", amount=9))
    with ledger.database.begin() as connection:
        connection.exec_driver_sql("UPDATE accounts SET as_of = as_of + interval '1 s'")
    different = run("verify", "--replay", "--json")
    assert (different.status, different.json["differences"]) == (1, 1)
    shown = run("verify", "--replay")
    assert shown.status == 1
    assert "1 DIFFER" in shown.stdout
    assert "anna" in shown.stderr


def test_verify_replay_reports_tenants_it_cannot_replay(run: Run, ledger: Ledger) -> None:
    ledger.apply(Earn(tenant_id="shop", user_id="anna", amount=9))
    with ledger.owner.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE outcomes DISABLE TRIGGER USER")
        connection.exec_driver_sql("UPDATE outcomes SET batch = NULL")
        connection.exec_driver_sql("ALTER TABLE outcomes ENABLE TRIGGER USER")
    assert run("verify", "--replay", "--json").json["without_order"] == {"shop": 1}
    assert "shop was not replayed" in run("verify", "--replay").stderr


def test_an_interrupted_verify_replay_prints_how_to_continue(
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
    ran = run("verify", "--replay")
    assert ran.status == 130
    assert "pointledger verify --replay --after cafe" in ran.stderr


def test_options_for_the_replay_require_it(run: Run, ledger: Ledger) -> None:
    assert run("verify", "--tenant", "shop").status == 2
    assert run("verify", "--after", "shop", "--json").status == 2
    assert run("verify", "--replay", "--tenant", "nobody", "--json").json["error"]
