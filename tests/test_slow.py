"""`--slow` lists the slowest tests and fixtures, also with several test processes."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[1]
_TEST = "tests/test_dev.py::test_an_unknown_command_is_a_usage_error"


@pytest.mark.parametrize("processes", ["0", "1"])
def test_the_slowest_tests_and_fixtures_are_listed_at_the_end(processes: str) -> None:
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-n",
        processes,
        "--slow",
        _TEST,
    ]

    done = subprocess.run(command, cwd=_ROOT, check=False, capture_output=True, text=True)

    assert done.returncode == 0, done.stdout
    _, tests, fixtures = re.split(r"=+ slowest .*\n", done.stdout)
    assert re.findall(rf"\d s  {re.escape(_TEST)}\S+$", tests, re.MULTILINE)
    assert re.findall(r"\d s  \S*::tmp_path$", fixtures, re.MULTILINE)


def test_nothing_is_listed_without_the_option() -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", _TEST]

    done = subprocess.run(command, cwd=_ROOT, check=False, capture_output=True, text=True)

    assert "slowest" not in done.stdout
