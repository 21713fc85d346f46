"""The commands `batch-earn` and `batch-outcome`."""

from tests.cli.conftest import Run, Working
from tests.ledger import Ledger


def test_a_batch_is_accepted_and_its_outcomes_are_counted(run: Run, ledger: Ledger, working: Working) -> None:
    lines = '{"user_id": "anna", "amount": 50}\n\n{"user_id": "ben", "amount": 5}\n'
    with working():
        done = run("batch-earn", "shop", "-", "--key", "march", "--wait", "--json", stdin=lines)
    assert done.status == 0
    assert (done.json["applied"], done.json["points_earned"], done.json["new"]) == (2, 55, 2)
    again = run("batch-earn", "shop", "-", "--key", "march", "--json", stdin=lines)
    assert (again.status, again.json["new"]) == (0, 0)
    assert ledger.balance("anna") == 50
    batch_id = done.json["batch_id"]
    assert run("batch-outcome", batch_id, "--json").json["state"] == "done"
    assert [line["state"] for line in run("batch-outcome", batch_id, "--each").json_lines] == ["applied"] * 2


def test_an_invalid_line_is_refused_alone_with_status_2(run: Run, ledger: Ledger) -> None:
    lines = 'oops\n{"user_id": "anna", "amount": 50}\n{"user_id": "anna"}\n'
    done = run("batch-earn", "shop", "-", "--key", "march", "--json", stdin=lines)
    assert done.status == 2
    assert (done.json["refused"], done.json["pending"]) == ({"INVALID_COMMAND": 2}, 1)
    each = run("batch-outcome", done.json["batch_id"], "--each").json_lines
    assert [line["state"] for line in each] == ["refused", "pending", "refused"]


def test_bad_input_is_reported(run: Run, ledger: Ledger) -> None:
    assert run("batch-earn", "shop", "-", "--key", "k", "--json", stdin="").status == 2
    assert run("batch-earn", "shop", "-", stdin="{}").status == 2, "a batch has a key"
    assert run("batch-outcome", "x", "--json").status == 2
    assert run("batch-outcome", "01M7YS00000000000000000000", "--json").status == 1
