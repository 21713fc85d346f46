"""Runs schemathesis with all phases and checks against the API and a worker as processes.

It reads schemathesis.toml, as it does on a contributor's command line.
"""

import re
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from pointledger.settings import Settings
from tests.api.environment import ApiEnvironment, http_settings
from tests.api.issuer import Issuer
from tests.api.processes import ROOT, api_and_worker, run

pytestmark = pytest.mark.long

_CASES = 10_000
_EXAMPLES = 140  # per route, which makes about 11,000: how many a stateful run generates varies
# Several concurrent runs with one thread each. With several threads in one process, `ast.parse` of CPython
# 3.11, which Hypothesis calls, sometimes fails ("recursion depth mismatch"). Each run mostly waits for
# outcomes.
_RUNS = (
    ["--phases=examples,coverage,stateful"],
    ["--phases=fuzzing", "--include-tag=commands"],
    ["--phases=fuzzing", "--include-tag=program"],
    ["--phases=fuzzing", "--exclude-tag=program", "--exclude-tag=commands"],
)


def test_schemathesis_finds_nothing_in_ten_thousand_cases(
    settings: Settings, issuer: Issuer, folder: Path
) -> None:
    rates = dict.fromkeys(("http_user_rate", "http_service_rate", "http_stranger_rate"), 1_000_000)
    given = http_settings(settings, issuer, folder, **rates)
    with api_and_worker(given, issuer, folder) as api, ThreadPoolExecutor(len(_RUNS)) as threads:
        api.ledger.tenant("shop", transfer_enabled=True, points_type="cash_equivalent")
        api.ledger.rule("shop", name="a point per euro", event_type="basket.paid", points=10, daily_limit=100)
        for user in ("anna", "ben", "boss"):
            api.earn(user, 500)
        counts = list(threads.map(partial(_run_schemathesis, api), _RUNS))
    assert sum(counts) >= _CASES


def _run_schemathesis(api: ApiEnvironment, options: list[str]) -> int:
    """Run schemathesis and return the number of cases. Fail, with its output, if it found a problem."""
    output = run(
        [
            Path(sys.executable).with_name("schemathesis"),
            "run",
            f"{api.url}/openapi.json",
            f"--header=Authorization: Bearer {api.admin}",
            *options,
            f"--max-examples={_EXAMPLES}",
            "--checks=all",
            "--workers=1",
            "--seed=1",
            "--no-shrink",
            "--no-color",
            "--request-timeout=30",
            "--suppress-health-check=all",
        ],
        cwd=ROOT,
    )
    print(output)
    found = re.search(r"(\d+) generated, (\d+) passed", output)
    assert found, output[-3000:]
    return int(found[1])
