"""The command `replay`: every valid line is accepted exactly once."""

import gzip
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pointledger.cli import progress as cli_progress
from pointledger.cli.commands import replay as replay_module
from pointledger.cli.commands.replay import Progress, replay
from pointledger.cli.input import MAX_LINE_BYTES
from pointledger.errors import AcceptanceBusy
from tests.cli.conftest import Run, Working
from tests.ledger import Ledger


def basket(number: int, **fields: Any) -> dict[str, Any]:
    return {
        "kind": "apply-rule",
        "tenant_id": "shop",
        "user_id": f"u{number % 7}",
        "event_type": "basket.paid",
        "event_id": f"b-{number}",
        "occurred_at": "2017-01-01T11:53:26Z",
        "metadata": {"amount_minor": 100 * number},
        **fields,
    }


def earn(**fields: Any) -> dict[str, Any]:
    return {"kind": "earn", "tenant_id": "shop", "user_id": "anna", "amount": 5, **fields}


def text(*commands: dict[str, Any]) -> str:
    return "".join(json.dumps(command) + "\n" for command in commands)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "commands.jsonl"
    path.write_text(text(*(basket(number) for number in range(1, 41))))
    return path


@pytest.fixture
def points(ledger: Ledger) -> None:
    ledger.rule(
        name="one per dollar",
        event_type="basket.paid",
        base={"kind": "per_unit", "field": "amount_minor", "per": 100, "points": 1},
    )


def test_a_file_is_accepted_in_order(run: Run, ledger: Ledger, file: Path) -> None:
    ran = run("replay", str(file), "--json")
    assert ran.status == 0
    assert ran.json == {"read": 40, "accepted": 40, "duplicates": 0, "invalid": 0, "errors": []}
    assert ran.stderr == ""
    keys = [row[0] for row in ledger.rows("SELECT idempotency_key FROM journal ORDER BY seq")]
    assert keys == [f"b-{number}" for number in range(1, 41)]


def test_waiting_counts_the_outcomes(
    run: Run, ledger: Ledger, points: None, working: Working, file: Path
) -> None:
    file.write_text(file.read_text() + text(basket(99, event_type="nothing.known"), earn(user_id="u1")))
    with working():
        ran = run("replay", str(file), "--wait", "--json")
    shown = ran.json
    assert shown.pop("seconds") > 0
    assert ran.status == 0
    assert shown == {
        "read": 42,
        "accepted": 42,
        "duplicates": 0,
        "invalid": 0,
        "errors": [],
        "applied": 41,
        "refused": {"NO_MATCHING_RULE": 1},
        "dead": 0,
    }
    total = ledger.rows("SELECT sum(balance) FROM accounts")[0][0]
    assert total == sum(range(1, 41)) + 5


def test_people_get_a_table(run: Run, ledger: Ledger, points: None, working: Working, file: Path) -> None:
    with working():
        ran = run("replay", str(file), "--wait")
    assert ran.status == 0
    lines = dict(line.split(maxsplit=1) for line in ran.stdout.splitlines())
    assert lines["accepted"].strip() == "40"
    assert lines["applied"].strip() == "40"


def test_a_terminal_shows_a_progress_bar(
    run: Run,
    ledger: Ledger,
    points: None,
    working: Working,
    file: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    with working():
        ran = run("replay", str(file), "--wait", "--json")
    assert "40 new" in ran.stderr
    assert ran.json["applied"] == 40


def test_replaying_a_file_again_accepts_nothing(run: Run, ledger: Ledger, points: None, file: Path) -> None:
    anonymous = [earn(), earn(), earn(amount=6), earn(occurred_at="1969-01-01T00:00:00Z")]
    file.write_text(file.read_text() + text(*anonymous, earn(id="01ARZ3NDEKTSV4RRFFQ69G5FAV")))
    assert run("replay", str(file), "--json").json["accepted"] == 45
    ledger.drain()
    before = ledger.rows("SELECT * FROM accounts ORDER BY user_id")

    again = run("replay", str(file), "--json", "--wait")

    assert again.status == 0
    assert (again.json["accepted"], again.json["duplicates"], again.json["applied"]) == (0, 45, 45)
    assert ledger.drain() == 0
    assert ledger.rows("SELECT * FROM accounts ORDER BY user_id") == before
    assert ledger.balance("anna") == 5 + 5 + 6 + 5 + 5
    assert list(ledger.counts("aliases")) == [0]


def test_lines_with_the_same_key_are_one_command(run: Run, ledger: Ledger) -> None:
    lines = text(basket(1)) + json.dumps(basket(1), separators=(",", ":")) + "\n" + text(basket(1))
    ran = run("replay", "-", "--json", stdin=lines)
    assert (ran.status, ran.json["accepted"], ran.json["duplicates"]) == (0, 1, 2)


def test_gzip_and_stdin_work_like_a_file(run: Run, ledger: Ledger, file: Path, tmp_path: Path) -> None:
    packed = tmp_path / "commands.jsonl.gz"
    packed.write_bytes(gzip.compress(file.read_bytes()))
    assert run("replay", str(packed), "--json").json["accepted"] == 40
    assert run("replay", str(file), "--json").json["duplicates"] == 40
    assert run("replay", "-", "--json", stdin=file.read_bytes()).json["duplicates"] == 40
    assert run("replay", "-", "--json", stdin=packed.read_bytes()).json["duplicates"] == 40


def test_an_invalid_line_is_reported_and_does_not_affect_others(run: Run, ledger: Ledger) -> None:
    lines = [
        json.dumps(earn()),
        "",
        "not json",
        json.dumps(earn(amount="5")),
        json.dumps({"tenant_id": "shop"}),
        "[1]",
        '{"kind": "earn", "kind": "spend"}',
        json.dumps(earn(user_id="ben")),
        '{"kind": "earn", "tenant_id": "shop", "user_id": "anna", "amount": NaN}',
        f'{{"kind": "earn", "tenant_id": "shop", "user_id": "anna", "amount": {2**64 + 5}}}',
        json.dumps(earn(metadata={})),
        "x" * (MAX_LINE_BYTES + 10_000),
        json.dumps(earn(user_id="eva")),  # without a newline at the end
    ]
    ran = run("replay", "-", "--json", stdin="\n".join(lines))
    assert ran.status == 2
    assert {name: ran.json[name] for name in ("read", "accepted", "invalid")} == {
        "read": 12,
        "accepted": 3,
        "invalid": 9,
    }
    found = {error["line"]: error["error"] for error in ran.json["errors"]}
    assert list(found) == [3, 4, 5, 6, 7, 9, 10, 11, 12]
    assert "not JSON" in found[3]
    assert "amount" in found[4]
    assert "kind: one of" in found[5]
    assert "not a JSON object" in found[6]
    assert "kind: given twice" in found[7]
    assert "NaN is not JSON" in found[9]
    assert "less than or equal" in found[10]
    assert "metadata" in found[11]
    assert "longer than" in found[12]
    for number, error in found.items():
        assert f"line {number}: {error}" in ran.stderr
    users = [row[0] for row in ledger.rows("SELECT user_id FROM journal ORDER BY seq")]
    assert users == ["anna", "ben", "eva"]


def test_a_reused_key_makes_only_its_line_invalid(run: Run, ledger: Ledger) -> None:
    lines = [earn(user_id=f"u{number}", idempotency_key=f"k{number}") for number in range(30)]
    lines[13] = {**lines[12], "amount": 6}
    lines[21] = {**lines[3], "amount": 6}
    ran = run("replay", "-", "--json", stdin=text(*lines))
    assert ran.status == 2
    assert (ran.json["accepted"], ran.json["duplicates"], ran.json["invalid"]) == (28, 0, 2)
    assert [error["line"] for error in ran.json["errors"]] == [14, 22]
    assert "other content" in ran.stderr
    amounts = {row[0] for row in ledger.rows("SELECT payload ->> 'amount' FROM journal")}
    assert amounts == {"5"}
    users = [row[0] for row in ledger.rows("SELECT user_id FROM journal ORDER BY seq")]
    assert users == [f"u{number}" for number in range(30) if number not in (13, 21)]


def test_only_the_first_twenty_errors_are_listed(run: Run) -> None:
    ran = run("replay", "-", "--json", stdin="bad\n" * 30)
    assert (ran.status, ran.json["invalid"], len(ran.json["errors"])) == (2, 30, 20)
    assert "line 30: " in ran.stderr


def test_invalid_lines_beyond_a_thousand_are_only_counted(run: Run) -> None:
    ran = run("replay", "-", stdin="bad\n" * 1100)
    assert ran.status == 2
    assert "line 1000: " in ran.stderr
    assert "line 1001: " not in ran.stderr


def test_a_truncated_file_is_accepted_up_to_the_damage(run: Run, ledger: Ledger, tmp_path: Path) -> None:
    packed = tmp_path / "cut.gz"
    commands = [earn(description=os.urandom(40).hex()) for _ in range(200)]
    complete = gzip.compress(text(*commands).encode())
    packed.write_bytes(complete[: len(complete) // 2])
    ran = run("replay", str(packed), "--json")
    assert ran.status == 2
    assert 0 < ran.json["accepted"] < 200
    assert ran.json["invalid"] == 1
    assert "the rest of the file cannot be read" in ran.json["errors"][0]["error"]


@pytest.mark.parametrize("name", ["missing.jsonl", ".", "nul\0"])
def test_a_file_that_cannot_be_read_is_bad_input(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = run("replay", name, "--json")
    assert ran.status == 2
    assert "cannot be read" in ran.json["error"]


def test_waiting_too_short_reports_pending_commands(
    run: Run, ledger: Ledger, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli_progress, "STANDSTILL_SECONDS", 0.2)
    ran = run("replay", str(file), "--wait", "--json")
    assert (ran.status, ran.json["pending"], ran.json["applied"]) == (3, 40, 0)


def test_an_empty_file_succeeds(run: Run) -> None:
    assert run("replay", "-", "--wait", "--json", stdin="").json["read"] == 0


# --------------------------------------------------------------------------------- the function replay()


def test_lines_can_be_text_and_progress_is_reported(ledger: Ledger, points: None) -> None:
    progress_reports: list[Progress] = []

    def lines() -> Iterator[str]:
        yield from (json.dumps(basket(number)) for number in range(2500))

    report = replay(ledger.client, lines(), wait=False, on_progress=progress_reports.append)
    assert (report.read, report.accepted) == (2500, 2500)
    assert [progress.accepted for progress in progress_reports] == [1000, 2000, 2500, 2500]
    assert "applied" not in report.as_json()


def test_a_stuck_lane_is_skipped_after_the_first_wait(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay_module, "_STANDSTILL_SECONDS", 0.1)
    queried: list[frozenset[int]] = []
    has_room = ledger.client.has_room

    def recording(lanes: Any, tenant_id: str) -> bool:
        queried.append(frozenset(lanes))
        return has_room(lanes, tenant_id)

    monkeypatch.setattr(ledger.client, "has_room", recording)
    lines = [json.dumps(earn(idempotency_key=f"k{number}")) for number in range(5000)]
    report = replay(ledger.client, lines, wait=False)
    assert report.accepted == 5000
    lane = ledger.waiting_lanes()
    assert set(queried) == {frozenset(lane)}


def test_a_key_locked_by_another_transaction_is_retried(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay_module, "_BUSY_SECONDS", 0.01)
    accept = ledger.client.accept
    failures = iter([AcceptanceBusy("k", 0), AcceptanceBusy("k", 0)])

    def busy(commands: Any) -> Any:
        if error := next(failures, None):
            raise error
        return accept(commands)

    monkeypatch.setattr(ledger.client, "accept", busy)
    assert replay(ledger.client, [json.dumps(earn())]).accepted == 1
