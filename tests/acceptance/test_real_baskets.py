"""Replays real baskets of three months, and compares every household's points with a calculation."""

import gzip
from collections.abc import Iterator

import pytest

from pointledger.cli.commands.replay import replay
from pointledger.client.acceptor import Acceptance
from pointledger.jobs.scheduler import JobScheduler
from pointledger.observability.replay.replay import replay as decide_again
from pointledger.observability.verify import verify
from pointledger.settings import Settings
from pointledger_demo.program import BASKETS, NIGHT_AFTER, RULES, TENANT, TENANT_CONFIG
from tests.acceptance.household_points import points_of_households
from tests.ledger import Ledger


@pytest.fixture
def ledger(settings: Settings) -> Iterator[Ledger]:
    with Ledger(settings) as opened:
        opened.set_program(TENANT_CONFIG, RULES)
        yield opened


def test_points_and_expiry_of_every_household_equal_an_independent_calculation(ledger: Ledger) -> None:
    with gzip.open(BASKETS) as baskets:
        lines = baskets.readlines()
    # Draining between batches keeps the lanes below their capacity.
    report = replay(ledger.client, lines, on_progress=lambda _: ledger.drain())
    scheduler = JobScheduler(ledger.database, Acceptance(ledger.database, ledger.doorbells, ledger.settings))
    for _ in scheduler.expire_now(NIGHT_AFTER, TENANT):
        ledger.drain()

    expected = points_of_households(lines, NIGHT_AFTER)
    found = {
        user: (earned, expired, balance)
        for user, earned, expired, balance in ledger.rows(
            "SELECT user_id, total_earned, expired_points, balance FROM accounts"
        )
    }
    assert report.accepted == len(lines)
    assert found == {
        user: (household.granted, household.expired, household.balance)
        for user, household in expected.items()
    }
    assert sum(household.expired for household in expected.values()) > 0, "the file covers an expiry"
    assert any(150 in household.by_day.values() for household in expected.values()), "and a daily limit"
    assert ledger.rows("SELECT DISTINCT state FROM outcomes") == [("applied",)]
    assert verify(ledger.database).as_json()["violations"] == 0
    decided_again = decide_again(ledger.database)
    assert (decided_again.differences, decided_again.commands) == (0, *ledger.counts("outcomes"))

    repeated = replay(ledger.client, lines)
    assert (repeated.accepted, repeated.duplicates) == (0, len(lines))
    assert ledger.counts("pending") == [0]
