"""Runs Debian's promtool over the deployed rules."""

import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from tests.deploy.expressions import RULE_FILES

Series = Mapping[str, str]
"""Values in promtool's notation, by series."""

_FIRING = 'count by (alertname) (ALERTS{alertstate="firing"})'
_NAME = re.compile(r'alertname="(\w+)"')
_SECONDS = 120  # a stuck promtool fails; the whole file takes a few seconds


class Situation(NamedTuple):
    """Series over some time, a step apart, and the moments at which alerts are asked for."""

    series: Series
    step: str
    moments: tuple[str, ...]


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run promtool. Fail the test if it is not installed."""
    program = shutil.which("promtool")
    if program is None:
        pytest.fail("needs Debian's package prometheus: ./dev check --long installs it")
    return subprocess.run(
        [program, *arguments], capture_output=True, text=True, check=False, timeout=_SECONDS
    )


def firing(folder: Path, situation: Situation) -> list[set[str]]:
    """Return the alerts that fire at each moment.

    promtool compares and does not answer. So the expected value is one that no answer has, and what it got
    stands in its complaint.
    """
    file = folder / "situation.yml"
    file.write_text(yaml.safe_dump(_test_of(situation)))
    done = promtool("test", "rules", file)
    complaint = done.stdout + done.stderr
    got = re.findall(r"got:(.*)", complaint)
    assert len(got) == len(situation.moments), complaint
    return [set(_NAME.findall(each)) for each in got]


def _test_of(situation: Situation) -> dict[str, Any]:
    nothing_has = [{"labels": "impossible", "value": -1}]
    return {
        "rule_files": [str(path) for path in RULE_FILES],
        "evaluation_interval": situation.step,
        "tests": [
            {
                "interval": situation.step,
                "external_labels": {"docs_url": "https://docs.example.com"},
                "input_series": [
                    {"series": name, "values": values} for name, values in situation.series.items()
                ],
                "promql_expr_test": [
                    {"expr": _FIRING, "eval_time": moment, "exp_samples": nothing_has}
                    for moment in situation.moments
                ],
            }
        ],
    }
