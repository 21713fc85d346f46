"""Files that the project makes cannot be read by other users, whatever the umask."""

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from tempfile import gettempdir

import pytest

from pointledger.embedded.private_files import make_private_folder, open_private
from pointledger.storage.replay.spill import SpilledDict
from pointledger_demo.development_key import development_key


@pytest.fixture(autouse=True)
def _lax_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def modes(folder: Path) -> dict[str, str]:
    return {path.name: oct(path.stat().st_mode & 0o777) for path in [folder, *folder.rglob("*")]}


def test_a_development_key_and_its_token_are_private(tmp_path: Path) -> None:
    for _ in range(2):  # the second finds the files of the first
        development_key(tmp_path / "http", "shop")
        made = {"http": "0o700", "jwks.json": "0o600", "token": "0o600", "private.pem": "0o600"}
        assert modes(tmp_path / "http") == made


def test_a_folder_and_a_log_of_an_older_version_become_private(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir(mode=0o755)
    (folder / "worker.log").write_text("before\n")
    with open_private(make_private_folder(folder) / "worker.log", os.O_APPEND) as log:
        log.write(b"after\n")
    assert modes(folder) == {"logs": "0o700", "worker.log": "0o600"}
    assert (folder / "worker.log").read_text() == "before\nafter\n"


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="reads /proc")
def test_what_a_replay_spills_is_private() -> None:
    before = open_temporary_files()
    with closing(SpilledDict[int, bytes](2, lambda number: number.to_bytes(4, "big"))) as spilled:
        for number in range(80):
            spilled[number] = bytes(1_000_000)
        files = open_temporary_files() - before
    assert files, "it has spilled to a file"
    assert {mode & 0o077 for _, mode in files} == {0}


def open_temporary_files() -> set[tuple[str, int]]:
    """Return the names and modes of this process's open files in the folder for temporary files."""
    found = set()
    for link in Path("/proc/self/fd").iterdir():
        try:
            target, mode = str(link.readlink()), link.stat().st_mode
        except OSError:  # the descriptor that lists the folder
            continue
        if target.startswith((gettempdir(), "/var/tmp")):
            found.add((target, mode))
    return found
