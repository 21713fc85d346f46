"""The benchmarks run and compare the same work. No test here asserts a time."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench.__main__ import BENCHMARKS, main
from tests.bench.goals import GOALS, table
from tests.bench.harness import DifferentWork, Side, compare

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


# ----------------------------------------------------------------------------------- the table of goals


def test_the_table_has_a_result_for_every_goal_of_single_commands(
    quick: subprocess.CompletedProcess[str], tmp_path: Path
):
    run, demonstration = tmp_path / "run.jsonl", tmp_path / "demo.json"
    run.write_text(quick.stdout)
    demonstration.write_text(json.dumps({"applied": 37_489, "commands_per_second": 6_543}, indent=2))

    lines, beside = (each.splitlines() for each in table([run, demonstration]).split("\n\n"))

    assert lines[0] == "| what | goal | reached |"
    assert len(lines) == 2 + len(GOALS)
    assert not [line for line in lines if "not in this run" in line]
    assert "| 6,543 per second |" in lines[-2]
    (neighbour,) = (
        line for line in beside if line.startswith("| B beside a backlog of A, p99 | at most 3 times")
    )
    assert neighbour.endswith(" times |"), "it is compared with B alone"


def _report(name: str, **medians: float) -> str:
    sides = {side: {"median": median, "min": 0, "max": 0} for side, median in medians.items()}
    return json.dumps({"name": name, "sides": sides, "verified": True})


def test_the_table_says_what_was_reached_and_what_was_not_measured(tmp_path: Path):
    run = tmp_path / "run.jsonl"
    closed = {"pointledger, 32 threads, enqueue and wait": 2150.4, "conventional, 32 in flight": 430.0}
    rates = {"pointledger, 500/s": 499.9, "pointledger, 1000/s": 712.0}
    latencies = {"pointledger, 500/s p50": 11.04, "pointledger, 500/s p99": 40}
    latencies |= {"pointledger, 1000/s p50": 4012, "pointledger, 1000/s p99": 7000}
    reports = [
        _report("singles: closed loops", **closed),
        _report("singles: latency at a rate", **latencies),
        _report("singles: rate that was achieved", **rates),
    ]
    run.write_text("\n".join(reports))

    reached = [line.split(" | ")[-1].removesuffix(" |") for line in table([run]).splitlines()[2:]]

    assert reached == [
        "2,150 per second; 5.0 times",
        "not in this run",
        "not in this run",
        "p50 11.0 ms, p99 40.0 ms; p50 4,012 ms, p99 7,000 ms (only 712 of 1,000 per second)",
        *["not in this run"] * 5,
    ]


def test_the_table_compares_a_tenant_beside_another_with_itself_alone(tmp_path: Path):
    run = tmp_path / "run.jsonl"
    figures = {"B alone, p99": 60.0, "B beside a backlog of A, p99": 150.0, "B over HTTP alone, p99": 110.0}
    run.write_text(_report("neighbours", **figures))

    _, beside = table([run]).split("\n\n")

    goal = "at most 3 times its own alone, and at most 250 ms"
    assert beside.splitlines()[2:] == [
        "| B alone, p99 |  | 60.0 ms |",
        f"| B beside a backlog of A, p99 | {goal} | 150 ms; 2.5 times |",
        f"| B beside a paused A, p99 | {goal} | not in this run |",
        f"| B beside dear rules of A, p99 | {goal} | not in this run |",
        "| B over HTTP alone, p99 |  | 110 ms |",
        f"| B over HTTP beside A's batches, p99 | {goal} | not in this run |",
        f"| B over HTTP beside A's connections, p99 | {goal} | not in this run |",
    ]


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (None, "No such file"),
        ("", "no reports"),
        ("[1]", "no reports"),
        ("singles: 378/s", "not JSON"),
        ('{"name": "http", "verified": false}', "http is not verified"),
        ('{"name": "http", "verified": true, "sides": 3}', "http has no figures"),
    ],
)
def test_a_file_that_is_no_run_is_a_usage_error(
    content: str | None, error: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    run = tmp_path / "run.jsonl"
    if content is not None:
        run.write_text(content)

    assert main(["--table", str(run)]) == 2

    printed = capsys.readouterr()
    assert printed.out == ""
    assert str(run) in printed.err
    assert error in printed.err


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
