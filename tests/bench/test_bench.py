"""The benchmarks run and compare the same work. No test here asserts a time."""

import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.bench.__main__ import BENCHMARKS
from tests.bench.environment import Curve
from tests.bench.harness import DifferentWork, Side, compare
from tests.bench.open_loop import OpenLoop, percentile
from tests.bench.plots import draw, latency_curve
from tests.waiting import wait_until

_ROOT = Path(__file__).parents[2]
_TIMEOUT_SECONDS = 900  # far above the usual minute, because other processes may use the machine


def _bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.bench", *arguments]
    return subprocess.run(
        command, cwd=_ROOT, check=False, capture_output=True, text=True, timeout=_TIMEOUT_SECONDS
    )


@pytest.fixture(scope="module")
def quick() -> subprocess.CompletedProcess[str]:
    """Run a fraction of every benchmark on the same servers, as `./dev bench` does."""
    return _bench("--quick", "--json")


@pytest.mark.parametrize("name", BENCHMARKS)
def test_all_sides_do_the_same_work_and_nothing_else_is_printed(
    name: str, quick: subprocess.CompletedProcess[str]
):
    assert (quick.returncode, quick.stderr) == (0, "")
    all_reports = [json.loads(line) for line in quick.stdout.splitlines()]
    assert all(report["name"].startswith(tuple(BENCHMARKS)) for report in all_reports)
    reports = [report for report in all_reports if report["name"].startswith(name)]
    assert reports
    for report in reports:
        assert set(report) == {"name", "unit", "rounds", "sides", "ratios", "verified"}
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


def test_figures_are_compared_by_name_and_others_with_the_first():
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


def test_a_round_with_different_work_has_no_figures():
    def skip_work() -> dict[str, float]:
        raise DifferentWork("nothing was written")

    sides = [_side("ours", {"": 1.0}, order=[]), Side("theirs", skip_work)]

    with pytest.raises(DifferentWork, match="round 1, theirs: nothing was written"):
        compare("x", sides, 3, lambda *_: None)


# ------------------------------------------------------------------------------------------ latencies


def test_every_started_round_trip_returns_and_unexpected_results_are_counted():
    numbers: list[int] = []
    enough = threading.Event()

    def round_trip(number: int) -> bool:
        numbers.append(number)
        if number == 9:
            enough.set()
        return number % 2 == 0

    with OpenLoop(1000, round_trip) as loop:
        assert enough.wait(60)

    assert sorted(numbers) == list(range(loop.begun))
    assert len(loop.latencies) == loop.begun
    assert loop.unexpected == loop.begun // 2
    with pytest.raises(DifferentWork, match="unexpected"):
        loop.verify()


def test_round_trips_that_were_due_while_others_were_slow_count_too():
    slow, planned = threading.Event(), 50

    def round_trip(_number: int) -> bool:
        return slow.wait(60)

    with OpenLoop(1000, round_trip) as loop:
        wait_until(lambda: loop.begun >= 2, "round trips begin")
        began = time.perf_counter()
        wait_until(lambda: time.perf_counter() - began > planned / 1000, "planned times pass")
        slow.set()

    assert loop.begun >= planned
    assert len(loop.latencies) == loop.begun
    loop.verify()


def test_a_round_trip_that_fails_ends_the_loop():
    broken = threading.Event()

    def round_trip(_number: int) -> bool:
        broken.set()
        raise ConnectionError("gone")

    with pytest.raises(DifferentWork, match="gone"), OpenLoop(1000, round_trip):
        assert broken.wait(60)


def test_a_percentile_is_a_value_that_was_measured():
    values = [float(value) for value in range(100, 0, -1)]

    assert [percentile(values, share) for share in (0.5, 0.99, 0.999)] == [50.0, 99.0, 100.0]
    assert percentile([7.0], 0.5) == 7.0


def test_curves_are_drawn_into_a_png_file(tmp_path: Path):
    target = tmp_path / "curves.png"

    draw([latency_curve("Latency", "ours", [2.0, 1.0]), Curve("Rate", "x", "s", "n", [0.0], [1.0])], target)

    assert target.read_bytes().startswith(b"\x89PNG")
