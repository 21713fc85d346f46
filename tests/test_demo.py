"""The demonstration of `./dev run`."""

import gzip
import socket
import subprocess
import sys
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from rich.console import Console

from pointledger.settings import Settings
from pointledger_demo import processes, run
from pointledger_demo.processes import ProcessGroup
from pointledger_demo.program import BASKETS
from tests.ledger import Ledger
from tests.ports import free_port
from tests.waiting import wait_until
from tests.working import working

ROOT = Path(__file__).parents[1]
_BASKETS = 30


@pytest.fixture
def few_baskets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with gzip.open(BASKETS) as baskets:
        lines = [next(baskets) for _ in range(_BASKETS)]
    few = tmp_path / "baskets.jsonl.gz"
    few.write_bytes(gzip.compress(b"".join(lines)))
    monkeypatch.setattr(run, "BASKETS", few)


def test_the_demos_package_has_the_version_of_the_library_and_needs_exactly_that() -> None:
    folders = ROOT, Path(run.__file__).parent
    library, demo = (tomllib.loads((folder / "pyproject.toml").read_text())["project"] for folder in folders)
    assert demo["version"] == library["version"]
    assert demo["dependencies"] == [f"pointledger[console,embedded]=={library['version']}"]


@pytest.mark.usefixtures("few_baskets")
def test_the_baskets_are_timed_once_a_worker_has_started_and_applied_once(settings: Settings) -> None:
    console = Console(quiet=True)
    with Ledger(settings) as ledger, ThreadPoolExecutor(1) as pool:
        first = pool.submit(run.Demonstration(settings, console).run)
        wait_until(lambda: ledger.counts("pending") == [1], "the first basket waits for a worker")
        accepted_before = ledger.counts("journal")
        with working(ledger):
            summary = first.result(60)
            again = run.Demonstration(settings, console).run()

        outcomes = ledger.counts("outcomes")

    assert accepted_before == [1], "the others wait for the first one"
    transferred = len(summary["looked_up"])
    assert summary["accepted"] == summary["applied"] + sum(summary["refused"].values())
    assert summary["accepted"] >= _BASKETS + transferred
    assert (summary["duplicates"], summary["dead"]) == (0, 0)
    assert summary["commands_per_second"] > 0
    assert (again["accepted"], again["duplicates"]) == (0, _BASKETS)
    assert outcomes == [summary["accepted"]]
    assert summary["verify"]["violations"] == 0


def test_the_replay_begins_when_the_api_has_started(tmp_path: Path) -> None:
    port = free_port()
    serve = f"import socket; api = socket.create_server(('127.0.0.1', {port})); input()"
    group = ProcessGroup(tmp_path)
    group._port = port

    group.wait_for_api()  # there is none, as with --exit
    with subprocess.Popen([sys.executable, "-c", serve], stdin=subprocess.PIPE) as api:
        group.api = api
        group.wait_for_api()
        socket.create_connection(("127.0.0.1", port), 10).close()
        api.kill()


def test_process_groups_that_start_at_once_choose_different_ports() -> None:
    usual = free_port()
    with socket.create_server(("127.0.0.1", usual)):
        taken, _ = processes._claim_port(usual)
    first, claim = processes._claim_port(usual)
    second, _ = processes._claim_port(usual)
    claim.close()
    third, _ = processes._claim_port(usual)

    assert (first, third) == (usual, usual)
    assert usual not in (taken, second)
    assert max(taken, second) < 32_768, "an outgoing connection of this machine could take it"
