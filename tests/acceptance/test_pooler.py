"""The acceptance cases hold behind PgBouncer in transaction mode, which no setting names.

CI runs every fourth case, because all of them take minutes: `POINTLEDGER_TEST_POOLER=all` runs all.
`POINTLEDGER_TEST_POOLER=1 ./dev test PATH` runs any other test in the same way.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.conftest import ROOT

_CASE = re.compile(r"^def (test_(?:[a-z]\d+_)\w+)", re.MULTILINE)
_EVERY = 1 if os.environ.get("POINTLEDGER_TEST_POOLER") == "all" else 4
_MINUTES = 10
_WITH_REDIS = "not granted"  # the same tests with every lock granted show nothing about a pooler


def cases() -> list[str]:
    """List the short tests of acceptance cases."""
    found: list[str] = []
    for path in sorted(Path(ROOT, "tests").rglob("test_*.py")):
        name = path.relative_to(ROOT).as_posix()
        found += [f"{name}::{case}" for case in _CASE.findall(path.read_text())]
    return found


@pytest.mark.long
def test_the_acceptance_cases_hold_behind_a_pooler() -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "-k",
            _WITH_REDIS,
            *cases()[::_EVERY],
        ],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
        | {"POINTLEDGER_TEST_POOLER": "1"},
        check=False,
        capture_output=True,
        text=True,
        timeout=60 * _MINUTES,
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
