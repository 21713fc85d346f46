"""The commands `enqueue`, `outcome` and `cancel`: output and exit status."""

import json

import pytest

from pointledger import Earn
from tests.cli.conftest import Run, Working
from tests.ledger import Ledger

EARN = '{"tenant_id": "shop", "user_id": "anna", "amount": 100}'
SPEND = '{"tenant_id": "shop", "user_id": "anna", "amount": 7}'
UNKNOWN_ID = "01ARZ3NDEKTSV4RRFFQ69G5FAV"


def test_enqueue_prints_the_task_id_by_which_the_outcome_is_found(run: Run, ledger: Ledger) -> None:
    enqueued = run("enqueue", "earn", EARN)
    task_id = enqueued.stdout.strip()
    assert (enqueued.status, len(task_id)) == (0, 26)

    assert run("outcome", task_id).status == 3
    ledger.drain()

    shown = run("outcome", task_id)
    assert shown.status == 0
    assert "applied" in shown.stdout


def test_with_json_both_print_the_outcome(run: Run, ledger: Ledger) -> None:
    enqueued = run("enqueue", "earn", EARN, "--json")
    assert (enqueued.status, enqueued.json["state"], enqueued.json["kind"]) == (0, "pending", "earn")
    pending = run("outcome", enqueued.json["task_id"], "--json")
    assert (pending.status, pending.json["state"]) == (3, "pending")
    ledger.drain()
    applied = run("outcome", enqueued.json["task_id"], "--json")
    assert (applied.status, applied.json["state"]) == (0, "applied")
    assert applied.json["data"]["account"]["balance"] == 100


def test_the_fields_can_come_from_stdin(run: Run, ledger: Ledger) -> None:
    assert run("enqueue", "earn", "-", stdin=EARN).status == 0
    ledger.drain()
    assert ledger.balance("anna") == 100


def test_waiting_ends_with_the_outcome(run: Run, ledger: Ledger, working: Working) -> None:
    with working():
        applied = run("enqueue", "earn", EARN, "--wait", "20")
        assert applied.status == 0
        assert "applied" in applied.stdout
        refused = run("enqueue", "spend", SPEND.replace("7", "7000"), "--wait", "20", "--json")
    assert (refused.status, refused.json["reason"]) == (1, "INSUFFICIENT_BALANCE")
    assert run("outcome", refused.json["task_id"]).status == 1


def test_waiting_too_short_reports_pending(run: Run, ledger: Ledger) -> None:
    waited = run("enqueue", "earn", EARN, "--wait", "0.05", "--json")
    assert (waited.status, waited.json["state"]) == (3, "pending")
    assert run("outcome", waited.json["task_id"], "--wait", "0.05").status == 3


def test_an_id_that_nobody_knows_is_unknown(run: Run) -> None:
    shown = run("outcome", UNKNOWN_ID, "--json")
    assert (shown.status, shown.json["state"]) == (1, "unknown")
    assert "No command has this id" in run("outcome", UNKNOWN_ID).stderr


@pytest.mark.parametrize(
    "odd", ["7", "", "é" * 26, "ß" * 26, "\udcff" * 26, "Z" * 26, "U" * 26, "9" * 36, "\x00"]
)
def test_what_is_no_id_is_bad_input(run: Run, odd: str) -> None:
    shown = run("outcome", odd, "--json")
    assert shown.status == 2
    assert "task_id" in shown.json["error"]


def test_the_same_key_with_other_content_is_bad_input_and_changes_nothing(run: Run, ledger: Ledger) -> None:
    keyed = {"tenant_id": "shop", "user_id": "anna", "idempotency_key": "k"}
    assert run("enqueue", "earn", json.dumps({**keyed, "amount": 1})).status == 0
    assert run("enqueue", "earn", json.dumps({**keyed, "amount": 1})).status == 0
    reused = run("enqueue", "earn", json.dumps({**keyed, "amount": 2}), "--json")
    assert reused.status == 2
    assert "other content" in reused.json["error"]
    assert list(ledger.counts("journal")) == [1]


@pytest.mark.parametrize(
    ("amount", "rule"),
    [
        ("0", "greater than or equal to 1"),
        ("-1", "greater than or equal to 1"),
        ("-0", "greater than or equal to 1"),
        ("1.0", "valid integer"),
        ("1.5", "valid integer"),
        ("1e3", "valid integer"),
        ('"5"', "valid integer"),
        ("true", "valid integer"),
        ("null", "valid integer"),
        ("[]", "valid integer"),
        ("{}", "valid integer"),
        ("NaN", "NaN is not JSON"),
        ("Infinity", "Infinity is not JSON"),
        ("-Infinity", "-Infinity is not JSON"),
        ("1e309", "valid integer"),
        (str(2**53 + 1), "less than or equal to"),
        (str(10**15 + 1), "less than or equal to"),
        (str(2**63 - 1), "less than or equal to"),
        (str(2**63), "less than or equal to"),
        (str(2**64 + 5), "less than or equal to"),
        ("9" * 5000, "digits"),
        ("0x10", "not JSON"),
        ("01", "not JSON"),
        ("", "not JSON"),
        ("5, " + '"amount": 5', "given twice"),
    ],
)
def test_a_bad_amount_names_its_rule_and_writes_nothing(
    run: Run, ledger: Ledger, amount: str, rule: str
) -> None:
    fields = f'{{"tenant_id": "shop", "user_id": "anna", "amount": {amount}}}'
    human, program = run("enqueue", "earn", fields), run("enqueue", "earn", fields, "--json")
    assert (human.status, human.stdout, program.status) == (2, "", 2)
    assert rule in human.stderr
    assert rule in program.json["error"]
    assert "Traceback" not in human.stderr
    assert list(ledger.counts("journal", "pending")) == [0, 0]


@pytest.mark.parametrize(
    "fields",
    [
        "",
        "[]",
        "7",
        "null",
        '"text"',
        "{",
        "[" * 100_000,
        '{"tenant_id": "shop", "user_id": "anna"}',
        '{"tenant_id": "shop", "user_id": "anna\\n", "amount": 1}',
        '{"tenant_id": "shop", "user_id": "a\\u200bnna", "amount": 1}',
        '{"tenant_id": "shop", "user_id": "\\ud800", "amount": 1}',
        '{"tenant_id": "shop", "user_id": "anna", "amount": 1, "\\ud800": 1}',
        '{"\\ud800": 1, "\\ud800": 2}',
        '{"tenant_id": "shop", "user_id": "anna", "amount": 1, "balance": 9}',
        '{"tenant_id": "shop", "user_id": "anna", "amount": 1, "reason": "\\u0000"}',
        '{"tenant_id": "shop", "user_id": "anna", "amount": 1, "occurred_at": "yesterday"}',
        '{"tenant_id": "shop", "user_id": "anna", "amount": 1, "id": "7"}',
        '{"tenant_id": "shop", "user_id": "anna", "amount": 1, "id": null}',
    ],
)
def test_bad_fields_are_bad_input_in_both_forms(run: Run, ledger: Ledger, fields: str) -> None:
    piped = run("enqueue", "earn", "-", "--json", stdin=fields)
    assert piped.status == 2
    assert piped.json["error"]
    assert run("enqueue", "earn", "-", stdin=fields).status == 2
    assert list(ledger.counts("journal")) == [0]


def test_undecodable_arguments_are_bad_input(run: Run, ledger: Ledger) -> None:
    assert run("enqueue", "earn", EARN.replace("anna", "\udcff")).status == 2
    assert run("enqueue", "\udcff", EARN).status == 2
    assert run("replay", "\udcff.jsonl").status == 2


def test_input_that_is_not_utf8_is_bad_input(run: Run) -> None:
    assert "not UTF-8" in run("enqueue", "earn", "-", stdin=b'{"\xff": 1}').stderr


def test_the_error_for_an_unknown_kind_lists_the_known_ones(run: Run) -> None:
    failed = run("enqueue", "burn", "{}", "--json")
    assert failed.status == 2
    assert "apply-rule" in failed.json["error"]


def test_a_pending_command_is_canceled_once(run: Run, ledger: Ledger) -> None:
    task_id = ledger.client.enqueue(Earn(tenant_id="shop", user_id="anna", amount=5))
    cancelled = run("cancel", task_id, "--json")
    assert (cancelled.status, cancelled.json["reason"]) == (0, "CANCELLED")
    late = run("cancel", task_id, "--json")
    assert late.status == 1
    assert "is not pending" in late.json["error"]
    assert run("cancel", "x").status == 2


@pytest.mark.parametrize("actor", ["job", "policy", "cli:root"])
def test_a_command_cannot_have_the_ledger_itself_as_actor(run: Run, ledger: Ledger, actor: str) -> None:
    fields = json.dumps({**json.loads(EARN), "actor": actor})
    refused = run("enqueue", "earn", fields)
    assert refused.status == 2
    assert f"actor: the ledger itself uses {actor}" in refused.stderr
    assert run("erase", "shop", "anna", "--yes", "--actor", actor).status == 2
    assert ledger.counts("journal") == [0]
