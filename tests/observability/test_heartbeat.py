"""A process' heartbeat is a file that it locks, and a check tells who works on, stands still or has ended."""

import os
import time
from pathlib import Path

import pytest

from pointledger.errors import HealthFolderUnusable
from pointledger.observability.heartbeat import Heartbeat, Process, running
from tests.cli.conftest import Ran, run_app

VARIABLE = "POINTLEDGER_HEALTH_FOLDER"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "health"))
    return tmp_path / "health"


class Living(Heartbeat):
    """A heartbeat that a test can move into the past, and whose process it can end."""

    def __init__(self, folder: Path, process: Process) -> None:
        super().__init__(folder, process)
        self.beat()

    def stand_still(self, monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
        now = time.monotonic()
        monkeypatch.setattr(time, "monotonic", lambda: now + seconds)

    def end(self) -> None:
        assert self._file is not None
        os.close(self._file)


def health(*words: str) -> Ran:
    return run_app("health", *words)


def test_a_process_that_beats_is_healthy(folder: Path) -> None:
    assert Living(folder, Process.RELAY)
    found = health("relay")
    assert found.status == 0
    assert found.stdout.startswith("healthy: relay; the oldest heartbeat was ")
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_process_that_stands_still_is_not(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = Living(folder, Process.WORKER)
    worker.stand_still(monkeypatch, 121)
    found = health("worker")
    assert found.status == 1
    assert found.stdout.startswith(
        f"unhealthy: worker {os.getpid()} stands still, its last heartbeat was 121 "
    )
    assert health("worker", "--within", "180").status == 0
    worker.beat()
    assert health("worker").status == 0


def test_one_that_stands_still_among_many_is_found(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = Living(folder, Process.WORKER), Living(folder, Process.WORKER)
    first.stand_still(monkeypatch, 121)
    second.beat()
    assert health("worker", "--json").json["healthy"] is False
    first.end()
    found = health("worker", "--json")
    assert found.status == 0
    assert [one["process"] for one in found.json["processes"]] == ["worker"]


def test_the_file_of_a_process_that_has_ended_is_no_process_and_is_deleted(folder: Path) -> None:
    Living(folder, Process.BEAT).end()
    assert [path.name.partition("-")[0] for path in folder.iterdir()] == ["beat"]
    found = health("beat")
    assert (found.status, found.stdout) == (1, "unhealthy: no beat runs that writes heartbeats here\n")
    assert list(folder.iterdir()) == []


def test_each_kind_is_asked_alone_and_without_a_kind_all_are(folder: Path) -> None:
    assert health().status == 1, "none runs yet"
    kept = [Living(folder, process) for process in Process]
    for process in Process:
        assert health(process, "--json").json["processes"][0]["process"] == process
    assert len(health("--json").json["processes"]) == len(kept)


def test_files_of_others_are_left_alone(folder: Path) -> None:
    folder.mkdir()
    (folder / "notes").write_text("mine")
    assert running(folder) == []
    assert (folder / "notes").read_text() == "mine"


def test_without_a_folder_nothing_is_written() -> None:
    Heartbeat(None, Process.API).beat()


def test_a_mistake_gets_a_message_that_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    found = health("worker")
    assert found.status == 1
    assert f"{VARIABLE} is not set" in found.stderr
    found = health("serve")
    assert found.status == 2
    assert "'api'" in found.stderr
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(VARIABLE, str(tmp_path / "file"))
    assert "Not a directory" in health("worker").stderr
    with pytest.raises(HealthFolderUnusable, match=VARIABLE):
        Heartbeat(tmp_path / "file", Process.WORKER).beat()
