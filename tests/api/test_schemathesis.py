"""The description is the server: schemathesis, as anybody runs it, against a gateway and a worker as
processes. All phases and all checks; it reads schemathesis.toml, as for a person who calls it in this folder.
"""

import re
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from pointledger.settings import Settings
from tests.api.issuer import Issuer
from tests.api.running import ROOT, run, running
from tests.api.served import Served, http_settings

pytestmark = pytest.mark.long

_CASES = 10_000
_EXAMPLES = 112  # of each route, so that there are so many cases
# Several runs at once, each with one worker: with several threads in one process CPython 3.11 now and then
# fails in `ast.parse` ("recursion depth mismatch"), which Hypothesis calls. Each mostly waits for outcomes.
_RUNS = (
    ["--phases=examples,coverage,stateful"],
    ["--phases=fuzzing", "--include-tag=commands"],
    ["--phases=fuzzing", "--include-tag=programme"],
    ["--phases=fuzzing", "--exclude-tag=programme", "--exclude-tag=commands"],
)


def test_schemathesis_finds_nothing_in_ten_thousand_cases(
    settings: Settings, issuer: Issuer, folder: Path
) -> None:
    rates = dict.fromkeys(("http_user_rate", "http_service_rate", "http_stranger_rate"), 1_000_000)
    given = http_settings(settings, issuer, folder, **rates)
    with running(given, issuer, folder) as served, ThreadPoolExecutor(len(_RUNS)) as threads:
        served.ledger.tenant("shop", transfer_enabled=True, points_type="cash_equivalent")
        served.ledger.rule(
            "shop", name="a point per euro", event_type="basket.paid", points=10, daily_limit=100
        )
        for user in ("anna", "ben", "boss"):
            served.earn(user, 500)
        counts = list(threads.map(partial(_generated, served), _RUNS))
    assert sum(counts) >= _CASES


def _generated(served: Served, which: list[str]) -> int:
    """How many cases a run has played; fails, with all that it has to say, where it found something."""
    told = run(
        [
            Path(sys.executable).with_name("schemathesis"),
            "run",
            f"{served.url}/openapi.json",
            f"--header=Authorization: Bearer {served.admin}",
            *which,
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
    print(told)
    found = re.search(r"(\d+) generated, (\d+) passed", told)
    assert found, told[-3000:]
    return int(found[1])
