"""Tests that the ledger is a function of its journal and of the order of application."""

import os
from collections.abc import Iterator

import pytest

from pointledger.observability.replay.replay import replay
from pointledger.settings import Settings
from tests.acceptance.replays import OrderedReplay, ReplayingSystem, order_of, reduced, results_of
from tests.ledger import Ledger
from tests.model.histories import PutWallet
from tests.model.runs import Runner, histories

SEED, COMMANDS = 15, 60
FEW = 35  # worlds, which have 2,000 commands
# With --long: 60 worlds, of which the few are the first, have 3,300; 400 have 22,000 (`tests/README.md`).
MORE = int(os.environ.get("POINTLEDGER_TEST_WORLDS", "60"))


@pytest.fixture
def worlds(pytestconfig: pytest.Config) -> int:
    return MORE if pytestconfig.getoption("--long") else FEW


@pytest.fixture
def ledger(settings: Settings) -> Iterator[Ledger]:
    """A ledger that takes commands however old its pending ones are: the histories are of years ago."""
    with Ledger(settings.model_copy(update={"backlog_seconds": 1e10})) as opened:
        yield opened


def test_histories_without_two_user_commands_give_the_same_result_in_any_batches(
    ledger: Ledger, worlds: int
) -> None:
    played = [reduced(history, alone=True) for history in histories(SEED, 0, worlds, COMMANDS)]
    first, second = (ReplayingSystem(ledger, seed).play(played, f"alone{seed}") for seed in (1, 2))

    assert results_of(ledger, first) == results_of(ledger, second)
    assert ledger.counts("outcomes")[0] > 2 * worlds * COMMANDS * 0.8


def test_all_histories_give_the_same_result_in_the_recorded_order(ledger: Ledger, worlds: int) -> None:
    played = [reduced(history, alone=False) for history in histories(SEED, 0, worlds, COMMANDS)]
    first = ReplayingSystem(ledger, 1).play(played, "mixed")
    second = OrderedReplay(ledger, 2, order_of(ledger, first)).play(played, "ordered")

    assert results_of(ledger, first) == results_of(ledger, second)
    kinds = ledger.rows("SELECT count(DISTINCT kind) FROM journal JOIN outcomes USING (id)")[0][0]
    assert kinds == 24, "every kind"


def test_random_histories_are_replayed_without_differences(ledger: Ledger) -> None:
    """Uses the model's histories, without those that change a wallet outside the journal."""
    played = [
        history
        for history in histories(SEED, 0, 60, COMMANDS)
        if not any(
            isinstance(change, PutWallet) for each in history.rounds for change in (*each.before, *each.after)
        )
    ]
    Runner(ledger, "again", workers=2).play(played)
    report = replay(ledger.database)
    assert [row for found in report.found.values() for row in found.rows] == []
    assert report.tenants == len(played)
