"""The contributor's command, without making an environment."""

import subprocess
import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType

import pytest

_DEV = Path(__file__).parents[1] / "dev"


def _run(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(_DEV), *arguments]
    return subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True)


@pytest.fixture
def dev(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """The script as a module, at home in a folder with a space in its name."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    loader = SourceFileLoader("dev", str(_DEV))
    spec = spec_from_loader("dev", loader)
    assert spec
    module = module_from_spec(spec)
    loader.exec_module(module)
    root = tmp_path / "a checkout"
    (root / ".venv").mkdir(parents=True)
    for name in ("requirements.lock", "pyproject.toml"):
        (root / name).write_text("first")
    monkeypatch.setattr(module, "ROOT", root)
    monkeypatch.setattr(module, "LOCK", root / "requirements.lock")
    monkeypatch.setattr(module, "STAMP", root / ".venv" / "complete")
    return module


@pytest.fixture
def installs(dev: ModuleType, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    made: list[str] = []
    monkeypatch.setattr(dev, "install", lambda: made.append("install"))
    return made


def test_help_has_a_line_for_each_command(tmp_path: Path):
    shown = _run("--help", folder=tmp_path)

    assert shown.returncode == 0
    for command in ("run", "test", "check", "bench", "chaos", "model"):
        assert f"\n  {command} " in shown.stdout


@pytest.mark.parametrize("arguments", [[], ["frobnicate"]])
def test_an_unknown_command_is_a_usage_error(arguments: list[str], tmp_path: Path):
    shown = _run(*arguments, folder=tmp_path)

    assert shown.returncode == 2
    assert "./dev --help" in shown.stderr
    assert shown.stdout == ""


def test_a_complete_environment_is_not_made_again(dev: ModuleType, installs: list[str]):
    dev.ensure_venv()
    dev.ensure_venv()

    assert installs == ["install"]


def test_an_interrupted_installation_is_done_again(
    dev: ModuleType, installs: list[str], monkeypatch: pytest.MonkeyPatch
):
    def interrupt() -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(dev, "install", interrupt)
        with pytest.raises(KeyboardInterrupt):
            dev.ensure_venv()

    dev.ensure_venv()

    assert installs == ["install"]


@pytest.mark.parametrize("name", ["requirements.lock", "pyproject.toml"])
def test_a_changed_file_makes_the_environment_again(name: str, dev: ModuleType, installs: list[str]):
    dev.ensure_venv()
    (dev.ROOT / name).write_text("second")
    dev.ensure_venv()

    assert installs == ["install", "install"]


def test_check_runs_every_step_and_fails_when_one_failed(
    dev: ModuleType, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    steps = [
        ("lint", [sys.executable, "-c", "exit(1)"]),
        ("tests", [sys.executable, "-c", "print('2 passed')"]),
    ]
    monkeypatch.setattr(dev, "CHECKS", steps)

    assert dev.check([]) == 1

    lines = capfd.readouterr().out.splitlines()
    assert lines[-2] == "2 passed"
    assert lines[-1].endswith("FAILED: lint")


def test_the_long_check_says_so_to_the_tests_alone(
    dev: ModuleType, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    show = [sys.executable, "-c", "import sys; print(sys.argv[1:])"]
    monkeypatch.setattr(dev, "CHECKS", [("lint", [*show]), ("tests", [*show])])

    assert dev.check(["--long"]) == 0

    assert [line for line in capfd.readouterr().out.splitlines() if "[" in line] == ["[]", "['--long']"]


def test_who_may_not_install_is_told_which_packages_are_missing(
    dev: ModuleType, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(dev, "SYSTEM_PROGRAMS", {"sh": "dash", "no-such-program": "some-package"})
    monkeypatch.setattr(dev.os, "geteuid", lambda: 1000)

    with pytest.raises(SystemExit, match="sudo apt-get install -y --no-install-recommends some-package"):
        dev.ensure_system_programs()


def test_check_takes_no_word_that_it_does_not_know(tmp_path: Path):
    shown = _run("check", "--fast", folder=tmp_path)

    assert shown.returncode == 2
    assert "--long" in shown.stderr


def test_a_word_that_check_does_not_know_installs_nothing(dev: ModuleType, installs: list[str]):
    assert dev.main(["check", "--fast"]) == 2
    assert installs == []


@pytest.mark.parametrize("words", [[], ["--long"], ["--slow"], ["--long", "--slow"]])
def test_who_names_no_tests_gets_all_in_two_processes(
    words: list[str], dev: ModuleType, installs: list[str], monkeypatch: pytest.MonkeyPatch
):
    ran: list[tuple[str, ...]] = []
    monkeypatch.setattr(dev, "become", lambda *arguments: ran.append(arguments))
    monkeypatch.setattr(dev, "ensure_system_programs", lambda: None)
    monkeypatch.setattr(dev.os, "chdir", lambda _: None)
    monkeypatch.setattr(dev, "check", lambda _: 0)

    dev.main(["test", *words])

    assert ran == [(*dev.PYTEST, *words)]
