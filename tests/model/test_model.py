"""The ledger and a model of it that was written from the specification agree on everything.

`./dev model` compares as many histories as asked for; here is a part that is done in seconds.
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
from tests.model.acceptance import LIMITS_AND_TIME
from tests.model.acceptance_of_decisions import DECISIONS
from tests.model.acceptance_of_movements import MOVEMENTS
from tests.model.deciding import Data, Decision
from tests.model.groups import broken_invariants, explained
from tests.model.histories import History
from tests.model.model import DEEDS
from tests.model.runs import Finding, Runner, histories
from tests.model.tales import Tale
from tests.model.telling import told

SEED = 20261173
WORLDS = 50
COMMANDS = 60
LANES = 3
TALES = [*LIMITS_AND_TIME, *MOVEMENTS, *DECISIONS]


@pytest.mark.parametrize("write", TALES)
def test_the_model_gives_the_answers_of_the_specification(write: Callable[[], Tale]) -> None:
    tale = write()
    teller = told(tale.history)
    for label, expected in tale.expected.items():
        outcome = teller.outcomes[label]
        says = outcome.reason or {name: outcome.data[name] for name in expected}
        assert says == expected, f"{tale.name}, command {label}"
    for user, figures in tale.figures.items():
        account = teller.world.accounts[user]
        assert {name: account.figures[name] for name in figures} == figures, tale.name


@pytest.fixture
def ledger(settings: Settings) -> Any:
    """With few lanes: batches are larger, and it takes less time."""
    migrate(settings.owner, LANES)
    with Ledger(settings.model_copy(update={"lanes": LANES})) as opened:
        yield opened


def shown(findings: list[Finding]) -> str:
    return "\n".join(str(difference) for finding in findings for difference in finding.differences[:3])


def test_the_ledger_gives_the_answers_of_the_model_in_random_histories_and_in_these_cases(
    ledger: Ledger,
) -> None:
    runner = Runner(ledger, "worlds", workers=2)
    findings = runner.compare([*histories(SEED, 0, WORLDS, COMMANDS), *(write().history for write in TALES)])
    assert not findings, shown(findings)
    assert runner.coverage.missing == [], "every kind of command is applied, every refusal is given"
    assert broken_invariants(ledger) == []


# ------------------------------------------------------------------------ the comparison itself can fail


def varied() -> History:
    """Something in every table that is compared."""
    tale = Tale("all tables", {"points_type": "cash_equivalent", "exchange_rate": 1, "max_earn_per_day": 90})
    tale.do("earn", "ann", "2026-03-01 10:00:00", amount=80, expires_at="2026-05-01 00:00:00")
    tale.do("spend", "ann", "2026-03-01 11:00:00", amount=5)
    tale.do("freeze", "ann", "2026-03-01 12:00:00", amount=7)
    tale.do("exchange", "ann", "2026-03-01 13:00:00", amount=9, exchange_type="wallet")
    return tale.history


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
def test_a_ledger_that_differs_in_anything_is_found(ledger: Ledger, change: str, where: str) -> None:
    runner = Runner(ledger, "tampered")
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


def test_a_difference_is_told_by_a_short_history(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    right = DEEDS["spend"]

    def wrong(decision: Decision) -> Data:
        told = right(decision)
        decision.account.figures["total_spent"] -= decision.amount > 2
        return told

    monkeypatch.setitem(DEEDS, "spend", wrong)
    tale = Tale("wrong", {"min_spend_points": 2})
    tale.do("earn", "ann", "2026-03-01 10:00:00", amount=8)
    tale.do("earn", "ben", "2026-03-01 10:00:00", amount=80, expires_at="2026-05-01 00:00:00")
    tale.do("spend", "ben", "2026-03-01 11:00:00", amount=2)
    tale.do("freeze", "ben", "2026-03-01 12:00:00", amount=2)
    tale.do("spend", "ben", "2026-03-01 12:00:00", amount=20)
    runner = Runner(ledger, "wrong")
    told = explained(runner, runner.compare([tale.history])[0])
    assert told.count("Send(") == 2, "points must come before they go"
    assert "total_spent" in told


@pytest.mark.long
def test_the_command_repeats_a_seed_and_fails_where_something_was_never_reached() -> None:
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
