"""The benchmark works and compares like with like. No test here asserts a time."""

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
import sqlalchemy as sa

from pointledger.embedded import ServerUrls
from pointledger.storage.database import engine_for
from tests.bench.conventional import tables
from tests.bench.conventional.apply_rule import Command, apply_rule
from tests.bench.harness import DifferentWork, Side, compare
from tests.bench.workload import Event, verify

_ROOT = Path(__file__).parents[2]


def _bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.bench", *arguments]
    return subprocess.run(command, cwd=_ROOT, check=False, capture_output=True, text=True, timeout=120)


def test_both_sides_do_the_same_work_and_nothing_else_is_printed():
    done = _bench("throughput", "--quick", "--json")

    assert (done.returncode, done.stderr) == (0, "")
    report = json.loads(done.stdout)
    assert report["verified"] is True
    assert (report["name"], report["rounds"]) == ("throughput", 1)
    assert set(report["sides"]) == {"pointledger", "pointledger, mixed load", "conventional"}
    assert set(report["ratios"]) == {"pointledger, mixed load", "conventional"}


def test_an_unknown_benchmark_is_a_usage_error():
    done = _bench("frobnicate")

    assert done.returncode == 2
    assert "throughput" in done.stderr


# --------------------------------------------------------------------------------------- the harness


def test_sides_take_turns_and_ratios_are_of_medians():
    order: list[str] = []
    figures = {"ours": iter([30.0, 10.0, 20.0]), "theirs": iter([2.0, 4.0, 5.0])}

    def side(label: str) -> Side:
        def measure() -> float:
            order.append(label)
            return next(figures[label])

        return Side(label, measure)

    report = compare("x", "things", [side("ours"), side("theirs")], 3, lambda *_: None)

    assert order == ["ours", "theirs", "theirs", "ours", "ours", "theirs"]
    assert report.as_json() == {
        "name": "x",
        "unit": "things",
        "rounds": 3,
        "sides": {
            "ours": {"median": 20.0, "min": 10.0, "max": 30.0},
            "theirs": {"median": 4.0, "min": 2.0, "max": 5.0},
        },
        "ratios": {"theirs": 5.0},
        "verified": True,
    }


def test_a_round_that_did_other_work_leaves_no_figures():
    def skip_work() -> float:
        raise DifferentWork("nothing was written")

    report = compare(
        "x", "things", [Side("ours", lambda: 1.0), Side("theirs", skip_work)], 3, lambda *_: None
    )

    assert (report.verified, report.sides) == (False, {})
    assert report.failure == "round 1, theirs: nothing was written"


# ------------------------------------------------------------------------------ the conventional design


@pytest.fixture
def conventional(servers: ServerUrls) -> Iterator[sa.Engine]:
    """Its tables, in a database of their own, with a rule whose daily limit is 40 points."""
    name = f"conventional_{uuid4().hex[:8]}"
    with psycopg.connect(servers.database_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    database = engine_for(f"{servers.database_url.rpartition('/')[0]}/{name}")
    rule = {"tenant_id": "shop", "event_type": "basket.paid", "field": "amount_minor", "per": 100}
    rule |= {"points": 1, "multiplier": "1.5", "daily_limit": 40, "expiry_days": 365}
    with database.begin() as connection:
        tables.metadata.create_all(connection)
        connection.execute(sa.insert(tables.rules), rule)
    yield database
    database.dispose()
    with psycopg.connect(servers.database_url, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def _command(event_id: str, amount_minor: int) -> Command:
    now = datetime(2026, 3, 1, 10, tzinfo=UTC)
    return Command(uuid4(), "shop", "anna", "basket.paid", event_id, now, {"amount_minor": amount_minor})


def _balances(database: sa.Engine) -> list[int]:
    with database.connect() as connection:
        return list(connection.scalars(sa.select(tables.accounts.c.balance)))


def test_the_conventional_design_applies_a_command_and_an_event_once(conventional: sa.Engine):
    rules, first = tables.Rules(), _command("basket-1", 1999)
    for command in (first, first, _command("basket-1", 1999)):
        with conventional.begin() as connection:
            apply_rule(connection, command, rules)

    assert _balances(conventional) == [28]
    with conventional.connect() as connection:
        verify(connection, [Event("basket-1", "anna", first.occurred_at, 1999)])
        with pytest.raises(DifferentWork):
            verify(connection, [Event("basket-1", "anna", first.occurred_at, 2100)])


def test_the_conventional_design_keeps_the_daily_limit(conventional: sa.Engine):
    rules = tables.Rules()
    for number in range(3):
        with conventional.begin() as connection:
            apply_rule(connection, _command(f"basket-{number}", 1999), rules)

    assert _balances(conventional) == [40]
