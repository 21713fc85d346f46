"""The commands `erase` and `jobs erase`."""

from pointledger import Earn
from tests.cli.conftest import Run, Working
from tests.ledger import Ledger


def test_a_user_is_erased_and_redacted_in_the_journal(run: Run, ledger: Ledger, working: Working) -> None:
    ledger.apply(Earn(tenant_id="shop", user_id="anna", amount=5, reason="for Anna"))
    declined = run("erase", "shop", "anna", stdin="n\n")
    assert (declined.status, ledger.counts("journal")) == (1, [1])
    assert "This cannot be undone" in declined.stderr
    with working():
        erased = run("erase", "shop", "anna", "--yes", "--wait", "10", "--json")
    assert (erased.status, erased.json["data"]["points_forfeited"]) == (0, 5)
    assert erased.json["data"]["account"]["user_id"].startswith("erased:")
    assert run("jobs", "erase", "--json").json == {"finished": 1}
    assert ledger.rows("SELECT FROM journal WHERE user_id = 'anna'") == []
    assert run("account", "shop", "anna", "--json").status == 1


def test_the_confirmation_can_be_typed(run: Run, ledger: Ledger) -> None:
    assert run("erase", "shop", "anna", stdin="y\n").status == 0
    assert ledger.counts("journal") == [1]
    assert run("erase", "shop", "an\nna", "--yes").status == 2
