"""A quarter of a year of real baskets, replayed: every household's points are what the rules' words say."""

import gzip
from collections.abc import Iterator

import pytest

from pointledger.cli.commands.replay import replay
from pointledger.client.acceptor import Acceptance
from pointledger.jobs.scheduler import Sweep
from pointledger.observability.replay.audit import replay as decide_again
from pointledger.observability.verify import audit
from pointledger.settings import Settings
from pointledger_demo.programme import BASKETS, NIGHT_AFTER, RULES, TENANT, TENANT_CONFIG
from tests.acceptance.by_hand import by_hand
from tests.ledger import Ledger


@pytest.fixture
def ledger(settings: Settings) -> Iterator[Ledger]:
    with Ledger(settings) as opened:
        opened.tenant(**TENANT_CONFIG)
        for rule in RULES:
            opened.rule(TENANT, **rule)
        yield opened


def test_points_and_expiry_of_every_household_equal_a_calculation_by_hand(ledger: Ledger) -> None:
    with gzip.open(BASKETS) as baskets:
        lines = baskets.readlines()
    report = replay(ledger.client, lines, on_progress=lambda _: ledger.drain())  # or lanes would be full
    sweep = Sweep(ledger.database, Acceptance(ledger.database, ledger.doorbells, ledger.settings))
    for _ in sweep.expire_now(NIGHT_AFTER, TENANT):
        ledger.drain()

    expected = by_hand(lines, NIGHT_AFTER)
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
    assert sum(household.expired for household in expected.values()) > 0, "the file reaches past an expiry"
    assert any(150 in household.by_day.values() for household in expected.values()), "and a daily limit"
    assert ledger.rows("SELECT DISTINCT state FROM outcomes") == [("applied",)]
    assert audit(ledger.database).as_json()["violations"] == 0
    decided_again = decide_again(ledger.database)
    assert (decided_again.differences, decided_again.commands) == (0, *ledger.counts("outcomes"))

    again = replay(ledger.client, lines)
    assert (again.accepted, again.duplicates) == (0, len(lines))
    assert ledger.counts("pending") == [0]
