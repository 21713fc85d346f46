"""The ledger agrees with a model that was written from the specification.

`./dev model` compares any number of histories; this is a part that takes seconds.
"""

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from pointledger.settings import Settings
from pointledger.storage.migrate import migrate
from tests.ledger import Ledger
from tests.model.deciding import Data, Decision
from tests.model.decision_scenarios import DECISIONS
from tests.model.groups import broken_invariants, explained
from tests.model.histories import History
from tests.model.limit_scenarios import LIMITS_AND_TIME
from tests.model.model import DEEDS
from tests.model.model_run import run_model
from tests.model.movement_scenarios import MOVEMENTS
from tests.model.runs import Finding, Runner, histories
from tests.model.scenarios import Scenario

SEED = 20261173
WORLDS = 50
COMMANDS = 60
LANES = 3
SCENARIOS = [*LIMITS_AND_TIME, *MOVEMENTS, *DECISIONS]


@pytest.mark.parametrize("write", SCENARIOS)
def test_the_model_gives_the_outcomes_of_the_specification(write: Callable[[], Scenario]) -> None:
    scenario = write()
    model_run = run_model(scenario.history)
    for label, expected in scenario.expected.items():
        outcome = model_run.outcomes[label]
        says = outcome.reason or {name: outcome.data[name] for name in expected}
        assert says == expected, f"{scenario.name}, command {label}"
    for user, figures in scenario.figures.items():
        account = model_run.world.accounts[user]
        assert {name: account.figures[name] for name in figures} == figures, scenario.name


@pytest.fixture
def ledger(settings: Settings) -> Any:
    """A ledger with few lanes, so batches are larger and the test is faster."""
    migrate(settings.owner, LANES)
    with Ledger(settings.model_copy(update={"lanes": LANES})) as opened:
        yield opened


def shown(findings: list[Finding]) -> str:
    return "\n".join(str(difference) for finding in findings for difference in finding.differences[:3])


def test_the_ledger_gives_the_outcomes_of_the_model(
    ledger: Ledger,
) -> None:
    runner = Runner(ledger, "worlds", workers=2)
    findings = runner.compare(
        [*histories(SEED, 0, WORLDS, COMMANDS), *(write().history for write in SCENARIOS)]
    )
    assert not findings, shown(findings)
    assert runner.coverage.missing == [], "every kind of command is applied, every refusal is given"
    assert broken_invariants(ledger) == []


# ------------------------------------------------------------------------ the comparison itself can fail


def varied() -> History:
    """Return a history with rows in every table that is compared."""
    scenario = Scenario(
        "all tables", {"points_type": "cash_equivalent", "exchange_rate": 1, "max_earn_per_day": 90}
    )
    scenario.do("earn", "ann", "2026-03-01 10:00:00", amount=80, expires_at="2026-05-01 00:00:00")
    scenario.do("spend", "ann", "2026-03-01 11:00:00", amount=5)
    scenario.do("freeze", "ann", "2026-03-01 12:00:00", amount=7)
    scenario.do("exchange", "ann", "2026-03-01 13:00:00", amount=9, exchange_type="wallet")
    return scenario.history


@pytest.mark.parametrize(
    ("change", "where"),
    [
        (
            "UPDATE accounts SET updated_at = updated_at, as_of = as_of + interval '1 second'",
            "account of ann",
        ),
        (
            "UPDATE accounts SET total_spent = total_spent + 1, total_earned = total_earned + 1",
            "account of ann",
        ),
        ("UPDATE entries SET expires_at = now() WHERE seq = 2", "entry ann/2"),
        ("UPDATE lots SET remaining = remaining - 1", "lots of ann"),
        ("UPDATE lot_moves SET amount = amount + 1", "lots of ann"),
        ("UPDATE holds SET opened_at = now()", "holds of ann"),
        ("UPDATE usage SET points = points + 1", "usage"),
        ("UPDATE wallet_entries SET balance_after = balance_after + 1", "wallets"),
        ("UPDATE outcomes SET data = '{}' WHERE data::text LIKE '%purchase%'", "command 1, spend of ann"),
        ("UPDATE outcomes SET batch = -batch", "overtaken"),
    ],
)
def test_the_comparison_finds_a_corrupted_value(ledger: Ledger, change: str, where: str) -> None:
    runner = Runner(ledger, "corrupted")
    played = runner.play([varied()])
    assert not runner.judge(played)
    table = change.split()[1]
    with ledger.owner.begin() as connection:
        for statement in (
            f"ALTER TABLE {table} DISABLE TRIGGER USER",
            change.replace("%", "%%"),
            f"ALTER TABLE {table} ENABLE TRIGGER USER",
        ):
            connection.exec_driver_sql(statement)
    (finding,) = runner.judge(played)
    assert where in shown([finding])


def test_a_difference_is_reported_with_a_short_history(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    spend = DEEDS["spend"]

    def buggy(decision: Decision) -> Data:
        data = spend(decision)
        decision.account.figures["total_spent"] -= decision.amount > 2
        return data

    monkeypatch.setitem(DEEDS, "spend", buggy)
    scenario = Scenario("buggy", {"min_spend_points": 2})
    scenario.do("earn", "ann", "2026-03-01 10:00:00", amount=8)
    scenario.do("earn", "ben", "2026-03-01 10:00:00", amount=80, expires_at="2026-05-01 00:00:00")
    scenario.do("spend", "ben", "2026-03-01 11:00:00", amount=2)
    scenario.do("freeze", "ben", "2026-03-01 12:00:00", amount=2)
    scenario.do("spend", "ben", "2026-03-01 12:00:00", amount=20)
    runner = Runner(ledger, "buggy")
    text = explained(runner, runner.compare([scenario.history])[0])
    assert text.count("Send(") == 2, "points must be earned before they are spent"
    assert "total_spent" in text


@pytest.mark.long
def test_the_command_repeats_a_seed_and_fails_if_something_was_never_reached() -> None:
    command = [
        sys.executable,
        "-m",
        "tests.model",
        "--seed",
        "1",
        "--worlds",
        "2",
        "--commands",
        "20",
        "--json",
    ]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    report = json.loads(done.stdout)
    assert (report["seed"], report["worlds"], report["differences"]) == (1, 2, 0)
    assert report["commands"] == sum(report["applied"].values()) + sum(report["refused"].values()) > 0
    assert (bool(report["never_reached"]), done.returncode) == (True, 1)
