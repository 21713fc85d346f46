"""The schedule of the nemesis, its failpoints, the matrix of faults, and what counts against a command."""

import json
from pathlib import Path
from typing import Any

import pytest

from pointledger import failpoints
from tests.chaos.at_failpoints import ALL_WORDS, at_failpoints
from tests.chaos.at_failpoints import NAMES as AT_FAILPOINTS
from tests.chaos.charges import charges
from tests.chaos.faults import FAULTS
from tests.chaos.matrix import INJECTED, NEEDS_A_TOOL, NOT_HERE, TESTED
from tests.chaos.nemesis import plan
from tests.chaos.races import NAMES as RACES

ROOT = Path(__file__).parents[2]
SEED = 20170101
NODES = {
    "worker": ["worker-1", "worker-2"],
    "beat": ["beat"],
    "relay": ["relay-1", "relay-2"],
    "ingest": ["ingest"],
    "api": ["api"],
    "client": ["client-1"],
}


def test_a_seed_makes_one_schedule_and_another_seed_another() -> None:
    first, again, other = (plan(FAULTS, NODES, 600, seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_ten_minutes_have_every_fault_and_more_than_two_hundred_in_all() -> None:
    planned = plan(FAULTS, NODES, 600, SEED)
    assert {each.fault.name for each in planned} == {fault.name for fault in FAULTS}
    assert len(planned) >= 200


def test_a_schedule_begins_with_the_faults_that_are_asked_for() -> None:
    planned = plan(FAULTS, NODES, 30, SEED, begin_with=["F53"])
    assert planned[0].fault.number == "F53"
    assert planned != plan(FAULTS, NODES, 30, SEED)


def test_two_faults_never_need_one_server_or_process_at_once() -> None:
    free_at: dict[str, float] = {}
    for each in plan(FAULTS, NODES, 600, SEED):
        needed = each.node or each.fault.on
        assert free_at.get(needed, 0) <= each.at
        free_at[needed] = round(each.at + each.fault.seconds, 2)


# ---------------------------------------------------------------------------------------- the matrix


def test_every_fault_of_the_matrix_is_injected_or_tested_or_has_a_reason() -> None:
    injected = {
        int(name.partition(" ")[0][1:])
        for name in [*AT_FAILPOINTS, *RACES, *(fault.name for fault in FAULTS)]
    }
    assert injected <= set(INJECTED)
    assert set(INJECTED) - injected <= set(NEEDS_A_TOOL)
    assert sorted([*INJECTED, *TESTED, *NOT_HERE]) == list(range(1, 71)), "each number once"


def test_every_armed_word_names_a_failpoint() -> None:
    try:
        failpoints.arm(" ".join(ALL_WORDS))
    finally:
        failpoints.arm("")


@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("before:peek=kill", "F13 a worker is killed between lock and transaction"),
        ("after:lock-lanes=kill", "F15 a worker is killed in its transaction"),
        ("before:batch-commit=stop", "F18 a worker is stalled in its transaction"),
        ("after:batch-commit=kill", "F16 a worker is killed after its commit"),
        ("before:return-lanes=stop", "F19 a worker is stalled after its commit"),
        ("after:note-busy=raise", "F70 a worker fails while tenants take turns"),
        ("before:ack=kill", "F13 the ingest is killed with messages that it has taken"),
        ("after:events-publish=stop", "F51 a relay is stalled between sending and marking"),
        ("after:mark-rung=kill", "F2 a client is killed after its command is accepted"),
    ],
)
def test_a_fault_at_a_failpoint_is_counted_as_the_fault_of_the_matrix(
    tmp_path: Path, word: str, name: str
) -> None:
    log = tmp_path / "failpoints"
    log.write_text(f"17 {word}@3\n18 {word}\n")
    assert at_failpoints(log) == {name: 2}


def test_every_test_that_the_matrix_names_exists() -> None:
    for tests in TESTED.values():
        for named in tests.split(", "):
            path, _, name = named.partition("::")
            assert name in (ROOT / path).read_text()


def test_only_failures_that_a_command_caused_may_count(tmp_path: Path) -> None:
    log = tmp_path / "worker-1.log"
    failed = {"event": "command_failed", "command_id": "1"}
    read_only = "OperationalError: cannot execute INSERT in a read-only transaction"
    lines: list[dict[str, Any]] = [
        {**failed, "error": "InjectedFault: before:decide=raise"},
        {**failed, "error": "the process crashed while it applied this command"},
        {**failed, "error": read_only},
        {**failed, "event": "command_dead", "error": read_only},
        {"event": "drained", "error": read_only},
    ]
    log.write_text(
        "".join(f"{json.dumps(line)}\n" for line in lines) + 'WARNING celery: a line\n{"event": "comm'
    )
    assert charges([log]) == [f"1: {read_only}"] * 2
