"""`pip install pointledger` installs the library with its types and without the demo."""

import subprocess
from pathlib import Path

import pytest

from tests import environments

pytestmark = pytest.mark.long

PROGRAM = Path(__file__).parent / "programs" / "typed.py"
INVALID_CALLS = ('opened.enqueue("earn 50 points")', "AsyncPointsClient(Settings()).account('shop', 7)")


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """The program in its own folder, where only the wheel has types."""
    copied = tmp_path / PROGRAM.name
    copied.write_text(PROGRAM.read_text())
    return copied


def _check(command: list[str | Path], program: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=program.parent,
        env=dict(environments.clean_environ()),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def checkers() -> dict[str, list[str | Path]]:
    python = environments.python("typed")
    pyright = environments.node("pyright") / "node_modules" / ".bin" / "pyright"
    return {
        "mypy": [python, "-m", "mypy", "--strict"],
        "pyright": [pyright, "--pythonpath", python, "--level", "error"],
    }


@pytest.mark.parametrize("checker", ["mypy", "pyright"])
def test_a_program_that_uses_the_library_type_checks_against_the_wheel(program: Path, checker: str) -> None:
    checked = _check([*checkers()[checker], program.name], program)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("checker", ["mypy", "pyright"])
def test_the_wheels_types_detect_invalid_calls(program: Path, checker: str) -> None:
    right = program.read_text()
    program.write_text(right + "".join(f"    {call}\n" for call in INVALID_CALLS))
    checked = _check([*checkers()[checker], program.name], program)
    assert checked.returncode == 1
    for line, _ in enumerate(INVALID_CALLS, start=1 + len(right.splitlines())):
        assert f"{program.name}:{line}" in checked.stdout


def test_the_wheel_has_only_the_library() -> None:
    python = environments.python("typed")
    script = "import importlib.metadata as m; print(*m.files('pointledger'), sep='\\n')"
    files = subprocess.run(
        [python, "-c", script],
        env=dict(environments.clean_environ()),
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    folders = {Path(file).parts[0] for file in files if ".dist-info" not in file and "bin/" not in file}
    assert folders == {"pointledger"}
    assert "pointledger/py.typed" in files
    assert not [file for file in files if "pointledger_demo" in file or "baskets" in file]
