"""Environments of people who have never seen this project: a Python or Node with the packages that a file
here names, and nothing else. A test of a door runs its client in one.

`<name>.txt` is a pip requirements file; the line `pointledger` means the wheel that this checkout builds.
`<name>/package.json` with its lock file is for Node. Each is made once, in `.environments`, and again when
its file changes.
"""

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
MADE = ROOT / ".environments"

_OURS = "pointledger"
_KEPT = ("PATH", "HOME", "LANG", "TMPDIR")  # of our own environment; nothing else is a stranger's


def python(name: str) -> Path:
    """The interpreter of the environment that `<name>.txt` describes."""
    wanted = (HERE / f"{name}.txt").read_text()
    lines = [line.split("#")[0].strip() for line in wanted.splitlines()]
    needs_wheel = _OURS in lines

    def make(folder: Path) -> None:
        _uv("venv", "--python", sys.executable, str(folder))
        packages = [line for line in lines if line and line != _OURS]
        if needs_wheel:
            packages.append(str(_wheel()))
        _uv("pip", "install", "--python", str(folder / "bin" / "python"), *packages)

    content = wanted + (_source() if needs_wheel else "") + sys.version
    return _made(f"{name}-{_digest(content)}", make) / "bin" / "python"


def node(name: str) -> Path:
    """The folder whose `node_modules` has the packages that `<name>/package-lock.json` names."""
    origin = HERE / name

    def make(folder: Path) -> None:
        shutil.copytree(origin, folder)
        _run(["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"], folder)

    return _made(f"{name}-{_digest((origin / 'package-lock.json').read_text())}", make)


def stranger(**given: str) -> Mapping[str, str]:
    """The environment variables of somebody who knows only what was told: nothing of ours but `given`."""
    return {name: os.environ[name] for name in _KEPT if name in os.environ} | given


def _wheel() -> Path:
    """The wheel of this checkout as it stands."""
    folder = MADE / f"wheel-{_digest(_source())}"
    _made(folder.name, lambda into: _uv("build", "--wheel", "--out-dir", str(into), str(ROOT)))
    return next(folder.glob("*.whl"))


def _source() -> str:
    """What the wheel is made of, for telling whether it has changed."""
    files = [ROOT / "pyproject.toml", *sorted((ROOT / "src").rglob("*.*"))]
    kept = (file for file in files if file.is_file() and file.suffix not in (".pyc", ".gz"))
    return "".join(_digest(file.read_bytes()) for file in kept)


def _digest(content: str | bytes) -> str:
    return sha256(content if isinstance(content, bytes) else content.encode()).hexdigest()[:12]


def _made(name: str, make: Callable[[Path], object]) -> Path:
    """The folder, made whole or not at all; others who ask meanwhile wait."""
    folder = MADE / name
    with _locked(name):
        if not (folder / ".complete").exists():
            shutil.rmtree(folder, ignore_errors=True)
            make(folder)
            (folder / ".complete").touch()
    return folder


@contextmanager
def _locked(name: str) -> Iterator[None]:
    MADE.mkdir(exist_ok=True)
    with (MADE / f"{name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _uv(*arguments: str) -> None:
    # Beside the interpreter: ./dev brings it.
    _run([str(Path(sys.executable).with_name("uv")), "--quiet", *arguments], ROOT)


def _run(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stdout}{done.stderr}"
