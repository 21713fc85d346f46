"""The benchmark works and compares like with like. No test here asserts a time."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
import sqlalchemy as sa

from pointledger.embedded import ServerUrls
from pointledger.storage.database import engine_for
from tests.bench.__main__ import BENCHMARKS
from tests.bench.conventional import tables
from tests.bench.conventional.apply_rule import Command, apply_rule
from tests.bench.harness import DifferentWork, Side, compare
from tests.bench.open_loop import OpenLoop, percentile
from tests.bench.plots import distribution, draw
from tests.bench.stage import Trace
from tests.bench.workload import Event, verify

_ROOT = Path(__file__).parents[2]
_PATIENCE_SECONDS = 300  # each takes seconds; others may use the machine, too
NOTHING = 0, 0  # entries and points that somebody had before


def _bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.bench", *arguments]
    return subprocess.run(
        command, cwd=_ROOT, check=False, capture_output=True, text=True, timeout=_PATIENCE_SECONDS
    )


@pytest.mark.parametrize("name", BENCHMARKS)
def test_all_sides_do_the_same_work_and_nothing_else_is_printed(name: str):
    done = _bench(name, "--quick", "--json")

    assert (done.returncode, done.stderr) == (0, "")
    reports = [json.loads(line) for line in done.stdout.splitlines()]
    assert reports
    for report in reports:
        assert set(report) == {"name", "unit", "rounds", "sides", "ratios", "verified"}
        assert report["name"].startswith(name)
        assert (report["verified"], report["rounds"]) == (True, 1)
        assert report["ratios"].keys() < report["sides"].keys()


def test_an_unknown_benchmark_is_a_usage_error():
    done = _bench("frobnicate")

    assert done.returncode == 2
    assert "throughput" in done.stderr


def test_a_folder_without_pgledger_is_a_usage_error(tmp_path: Path):
    done = _bench("--pgledger", str(tmp_path))

    assert done.returncode == 2
    assert "has no pgledger.sql" in done.stderr


# --------------------------------------------------------------------------------------- the harness


def _side(label: str, *rounds: dict[str, float], order: list[str]) -> Side:
    figures = iter(rounds)

    def measure() -> dict[str, float]:
        order.append(label)
        return next(figures)

    return Side(label, measure)


def test_sides_take_turns_and_ratios_are_of_medians():
    order: list[str] = []
    ours = _side("ours", {"": 30.0}, {"": 10.0}, {"": 20.0}, order=order)
    theirs = _side("theirs", {"": 2.0}, {"": 4.0}, {"": 5.0}, order=order)

    report = compare("x", [ours, theirs], 3, lambda *_: None).report("x", "things")

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


def test_like_is_compared_with_like_and_the_rest_with_the_first():
    ours = _side("ours", {"few": 10.0, "many": 40.0}, order=[])
    theirs = _side("theirs", {"few": 5.0, "many": 4.0}, order=[])
    other = _side("other", {"": 20.0}, order=[])

    rounds = compare("x", [ours, theirs, other], 1, lambda *_: None)

    assert rounds.report("x", "things", beside={"ours, many": "ours, few"}).ratios == {
        "theirs, few": 2.0,
        "theirs, many": 10.0,
        "other": 0.5,
        "ours, many": 0.25,
    }


def test_a_round_that_did_other_work_leaves_no_figures():
    def skip_work() -> dict[str, float]:
        raise DifferentWork("nothing was written")

    sides = [_side("ours", {"": 1.0}, order=[]), Side("theirs", skip_work)]

    with pytest.raises(DifferentWork, match="round 1, theirs: nothing was written"):
        compare("x", sides, 3, lambda *_: None)


# ------------------------------------------------------------------------------------------ latencies


def test_every_round_trip_that_began_comes_back_and_wrong_ones_are_counted():
    numbers: list[int] = []
    enough = threading.Event()

    def trip(number: int) -> bool:
        numbers.append(number)
        if number == 9:
            enough.set()
        return number % 2 == 0

    with OpenLoop(1000, trip) as loop:
        assert enough.wait(60)

    assert sorted(numbers) == list(range(loop.begun))
    assert len(loop.latencies) == loop.begun
    assert loop.wrong == loop.begun // 2


def test_a_round_trip_that_fails_ends_the_loop():
    broken = threading.Event()

    def trip(_number: int) -> bool:
        broken.set()
        raise ConnectionError("gone")

    with pytest.raises(ConnectionError), OpenLoop(1000, trip):
        assert broken.wait(60)


def test_a_percentile_is_a_value_that_was_measured():
    values = [float(value) for value in range(100, 0, -1)]

    assert [percentile(values, share) for share in (0.5, 0.99, 0.999)] == [50.0, 99.0, 100.0]
    assert percentile([7.0], 0.5) == 7.0


def test_curves_are_drawn_into_a_picture(tmp_path: Path):
    target = tmp_path / "curves.png"

    draw([distribution("Latency", "ours", [2.0, 1.0]), Trace("Rate", "x", "s", "n", [0.0], [1.0])], target)

    assert target.read_bytes().startswith(b"\x89PNG")


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
        verify(connection, ["anna"], [Event("basket-1", "anna", first.occurred_at, 1999)], NOTHING)
        for user, amount_minor, before in (
            ("anna", 2100, NOTHING),
            ("ben", 1999, NOTHING),
            ("anna", 1999, (1, 28)),
        ):
            with pytest.raises(DifferentWork):
                verify(
                    connection, ["anna"], [Event("basket-1", user, first.occurred_at, amount_minor)], before
                )


def test_the_conventional_design_keeps_the_daily_limit(conventional: sa.Engine):
    rules = tables.Rules()
    for number in range(3):
        with conventional.begin() as connection:
            apply_rule(connection, _command(f"basket-{number}", 1999), rules)

    assert _balances(conventional) == [40]
