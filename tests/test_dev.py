"""The contributor's command, without creating an environment."""

import os
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
    """The script as a module, in a folder with a space in its name."""
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
    calls: list[str] = []
    monkeypatch.setattr(dev, "install", lambda: calls.append("install"))
    return calls


def test_help_has_a_line_for_each_command(tmp_path: Path):
    shown = _run("--help", folder=tmp_path)

    assert shown.returncode == 0
    for command in (
        "run",
        "test",
        "check",
        "bench",
        "chaos",
        "model",
        "pictures",
        "docs",
        "sbom",
        "audit",
        "release",
    ):
        assert f"\n  {command} " in shown.stdout


@pytest.mark.parametrize("arguments", [[], ["frobnicate"]])
def test_an_unknown_command_is_a_usage_error(arguments: list[str], tmp_path: Path):
    shown = _run(*arguments, folder=tmp_path)

    assert shown.returncode == 2
    assert "./dev --help" in shown.stderr
    assert shown.stdout == ""


def test_a_complete_environment_is_not_created_again(dev: ModuleType, installs: list[str]):
    dev.ensure_venv()
    dev.ensure_venv()

    assert installs == ["install"]


def test_an_interrupted_installation_is_repeated(
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
def test_a_changed_file_creates_the_environment_again(name: str, dev: ModuleType, installs: list[str]):
    dev.ensure_venv()
    (dev.ROOT / name).write_text("second")
    dev.ensure_venv()

    assert installs == ["install", "install"]


def test_check_runs_every_step_and_fails_if_one_fails(
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


@pytest.mark.parametrize(
    ("words", "options"), [([], ["-n", "3"]), (["--long"], ["-n", "3", "--long"])], ids=["short", "long"]
)
def test_the_check_passes_options_to_the_tests_only(
    words: list[str],
    options: list[str],
    dev: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
):
    show = [sys.executable, "-c", "import sys; print(sys.argv[1:])"]
    monkeypatch.setattr(dev, "CHECKS", [("lint", [*show]), ("tests", [*show])])

    assert dev.check(words) == 0

    assert [line for line in capfd.readouterr().out.splitlines() if "[" in line] == ["[]", str(options)]


def test_a_user_without_root_rights_sees_which_packages_are_missing(
    dev: ModuleType, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(dev, "SYSTEM_PROGRAMS", {"sh": "dash", "no-such-program": "some-package"})
    monkeypatch.setattr(dev.os, "geteuid", lambda: 1000)

    with pytest.raises(SystemExit, match="sudo apt-get install -y --no-install-recommends some-package"):
        dev.ensure_system_programs()


def test_check_rejects_an_unknown_option(tmp_path: Path):
    shown = _run("check", "--fast", folder=tmp_path)

    assert shown.returncode == 2
    assert "--long" in shown.stderr


def test_an_unknown_option_of_check_installs_nothing(dev: ModuleType, installs: list[str]):
    assert dev.main(["check", "--fast"]) == 2
    assert installs == []


@pytest.mark.parametrize("words", [[], ["--slow"], ["--long"], ["--long", "--slow"]], ids=" ".join)
def test_three_processes_share_the_tests(
    words: list[str],
    dev: ModuleType,
    installs: list[str],
    monkeypatch: pytest.MonkeyPatch,
):
    ran: list[tuple[str, ...]] = []
    monkeypatch.setattr(dev, "become", lambda *arguments: ran.append(arguments))
    monkeypatch.setattr(dev, "ensure_system_programs", lambda: None)
    monkeypatch.setattr(dev.os, "chdir", lambda _: None)
    monkeypatch.setattr(dev, "check", lambda _: 0)

    dev.main(["test", *words])

    assert ran == [(*dev.PYTEST, "-n", "3", *words)]


def test_compiled_modules_are_kept_even_if_the_environment_forbids_it(
    dev: ModuleType, installs: list[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(dev, "become", lambda *_: None)
    monkeypatch.setattr(dev, "check", lambda _: 0)
    monkeypatch.setattr(dev.os, "chdir", lambda _: None)
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")

    assert dev.main(["check"]) == 0

    assert "PYTHONDONTWRITEBYTECODE" not in os.environ


def test_docs_says_what_it_takes(
    dev: ModuleType, installs: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(dev.os, "chdir", lambda _: None)

    assert dev.main(["docs", "--server"]) == 2

    assert "--serve" in capsys.readouterr().err


def test_what_zensical_finds_fails_the_build_and_is_shown_plainly(
    dev: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    finds = (
        "import sys; print('\\x1b[33mWarning:\\x1b[0m page does not exist'); sys.exit('Traceback: strict')"
    )
    monkeypatch.setattr(dev, "PYTHON", sys.executable)
    monkeypatch.setattr(dev, "BUILD_DOCS", ["-c", finds])

    assert dev.docs([]) == 1
    assert capsys.readouterr().out == "Warning: page does not exist\n"
