"""The benchmarks' loops, clocks and plots measure what they say. No test here asserts a time."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.bench.closed_loop import run_closed_loop
from tests.bench.cpu import parent_of, seconds_by_part
from tests.bench.environment import Curve
from tests.bench.harness import DifferentWork
from tests.bench.open_loop import OpenLoop, percentile
from tests.bench.plots import draw, latency_curve
from tests.waiting import wait_until

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


def test_an_open_loop_that_cannot_keep_up_reports_the_rate_that_it_achieved():
    def round_trip(_number: int) -> bool:
        began = time.perf_counter()
        wait_until(lambda: time.perf_counter() - began > 0.01, "a slow round trip ends")
        return True

    with OpenLoop(1000, round_trip, most_threads=2, catch_up_seconds=0) as loop:
        wait_until(lambda: loop.begun >= 20, "round trips begin")

    loop.verify()
    assert 0 < loop.achieved_rate <= 200  # two at once, each of at least 10 ms
    assert len(loop.latencies) > loop.begun  # those that were due and not started count with their wait


def test_a_closed_loop_has_one_call_in_flight_per_thread_and_numbers_each_call_once():
    numbers: list[int] = []
    all_threads = threading.Barrier(3)

    def call(number: int) -> bool:
        all_threads.wait(60)  # passes only with three calls in flight
        numbers.append(number)
        return True

    loop = run_closed_loop(3, 0, call)

    assert sorted(numbers) == [0, 1, 2]
    assert (loop.calls, len(loop.latencies)) == (3, 3)
    assert loop.per_second == 3 / loop.seconds


def test_a_closed_loop_with_a_failed_or_unexpected_call_has_no_figures():
    def fail(_number: int) -> bool:
        raise ConnectionError("gone")

    with pytest.raises(DifferentWork, match="gone"):
        run_closed_loop(2, 60, fail)
    with pytest.raises(DifferentWork, match="2 of 2 results"):
        run_closed_loop(2, 0, lambda _: False)


# ------------------------------------------------------------------------------------------------ CPU


def test_the_cpu_time_of_a_process_tree_includes_children_that_have_ended():
    busy = "import time\nwhile time.process_time() < 0.2: pass"
    parent = (
        f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {busy!r}])\n"
        "print(flush=True)\ninput()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", parent], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout
        process.stdout.readline()
        used = seconds_by_part({"tree": [process.pid], "client": [os.getpid()], "none": []})
        assert parent_of(process.pid) == os.getpid()
        process.kill()

    assert used["tree"] >= 0.15  # the kernel counts in hundredths
    assert used["none"] == 0
    assert abs(used["client"] - time.process_time()) < 0.15  # without its child


# ---------------------------------------------------------------------------------------------- plots


def test_curves_are_drawn_as_svg_with_the_ink_of_the_reader_s_screen(tmp_path: Path):
    target = tmp_path / "curves.svg"
    rate = Curve("Rate", "ours & theirs", "seconds", "per second", [1.0, 1000.0], [1.0, 2.0], "xy")

    draw([latency_curve("Latency", "ours", [2.0, 1.0]), rate], target)

    picture = target.read_text()
    texts = {"".join(each.itertext()).strip() for each in ElementTree.fromstring(picture).iter() if each.text}
    assert {"Latency", "ours", "percent took at most that", "Rate", "ours & theirs", "1,000"} <= texts
    assert "prefers-color-scheme: dark" in picture
    assert picture.count("var(--ink)") > 20
    assert picture.count("#1c2733") == 1  # the variable's value on light screens
