"""The ledger is a function of its journal and of the order of application."""

import os
from collections.abc import Iterator

import pytest

from pointledger.observability.replay.audit import replay
from pointledger.settings import Settings
from tests.acceptance.again import Again, InOrder, came_of, order_of, reduced
from tests.ledger import Ledger
from tests.model.histories import PutWallet
from tests.model.runs import Runner, histories

SEED, COMMANDS = 15, 60
# Worlds: 2,000 commands, and with --long 5,500; 400 are 22,000, as `tests/README.md` says.
MORE = int(os.environ.get("POINTLEDGER_TEST_WORLDS", "100"))
SIZES = [35, pytest.param(MORE, marks=pytest.mark.long)]


@pytest.fixture
def ledger(settings: Settings) -> Iterator[Ledger]:
    with Ledger(settings) as opened:
        yield opened


@pytest.mark.parametrize("worlds", SIZES)
def test_without_commands_that_touch_two_users_all_is_the_same_in_any_batches(
    ledger: Ledger, worlds: int
) -> None:
    told = [reduced(history, alone=True) for history in histories(SEED, 0, worlds, COMMANDS)]
    first, second = (Again(ledger, seed).play(told, f"alone{seed}") for seed in (1, 2))

    assert came_of(ledger, first) == came_of(ledger, second)
    assert ledger.counts("outcomes")[0] > 2 * worlds * COMMANDS * 0.8


@pytest.mark.parametrize("worlds", SIZES)
def test_with_them_all_is_the_same_in_the_recorded_order(ledger: Ledger, worlds: int) -> None:
    told = [reduced(history, alone=False) for history in histories(SEED, 0, worlds, COMMANDS)]
    first = Again(ledger, 1).play(told, "mixed")
    second = InOrder(ledger, 2, order_of(ledger, first)).play(told, "ordered")

    assert came_of(ledger, first) == came_of(ledger, second)
    kinds = ledger.rows("SELECT count(DISTINCT kind) FROM journal JOIN outcomes USING (id)")[0][0]
    assert kinds == 24, "every kind"


def test_random_histories_come_out_the_same_when_they_are_decided_again(ledger: Ledger) -> None:
    """Of the model's, without those in which an administrator has changed a wallet by hand."""
    told = [
        history
        for history in histories(SEED, 0, 60, COMMANDS)
        if not any(
            isinstance(act, PutWallet) for each in history.rounds for act in (*each.before, *each.after)
        )
    ]
    Runner(ledger, "again", workers=2).play(told)
    report = replay(ledger.database)
    assert [row for found in report.found.values() for row in found.rows] == []
    assert report.tenants == len(told)
