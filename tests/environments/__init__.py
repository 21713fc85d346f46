"""Makes clean Python and Node environments for tests of clients.

Each contains only the packages that its file here names. `<name>.txt` is a pip requirements file; its lines
`pointledger`, also with extras, and `pointledger-demo` mean the wheels that this checkout builds.
`<name>/package.json` with its lock file is for Node.
An environment is made once, in `.environments`, and again when its file changes.
"""

import fcntl
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
FOLDER = ROOT / ".environments"

_THIS_PROJECT = {"pointledger": ".", "pointledger-demo": "src/pointledger_demo"}  # the distributions' folders
# The settings of access to registries.
_REGISTRIES = re.compile(r"UV_|PIP_|SSL_|REQUESTS_|(?i:https?|no)_proxy$")
_KEPT = ("PATH", "HOME", "LANG", "TMPDIR")  # the only variables that a client inherits


def python(name: str) -> Path:
    """Return the interpreter of the environment that `<name>.txt` describes."""
    requirements = (HERE / f"{name}.txt").read_text()
    lines = [line.split("#")[0].strip() for line in requirements.splitlines()]
    needs_wheel = any(_named(line) in _THIS_PROJECT for line in lines)

    def make(folder: Path) -> None:
        _uv("venv", "--python", sys.executable, str(folder))
        packages = [_with_wheel(line) for line in lines if line]
        here = ["--find-links", str(wheel().parent)] if needs_wheel else []
        _uv("pip", "install", "--python", str(folder / "bin" / "python"), *here, *packages)

    content = requirements + (_source() if needs_wheel else "") + sys.version
    return _made(f"{name}-{_digest(content)}", make) / "bin" / "python"


def _named(line: str) -> str:
    """Return the package that a line of a requirements file names, without its extras."""
    return line.partition("[")[0]


def _with_wheel(line: str) -> str:
    """Return the line, with the wheel in place of a package of this project."""
    name = _named(line)
    return line.replace(name, str(wheel(name)), 1) if name in _THIS_PROJECT else line


def node(name: str, origin: Path | None = None) -> Path:
    """Return the folder whose `node_modules` has the packages of the `package-lock.json` in `origin`.

    That is `<name>` if it is not given.
    """
    origin = origin or HERE / name

    def make(folder: Path) -> None:
        folder.mkdir()
        for file in (".npmrc", "package.json", "package-lock.json"):
            if (origin / file).exists():
                shutil.copy(origin / file, folder)
        _run(["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"], folder)

    return _made(f"{name}-{_digest((origin / 'package-lock.json').read_text())}", make)


def clean_environ(**given: str) -> Mapping[str, str]:
    """Return environment variables without this process' own, except a few, plus `given`."""
    return {name: os.environ[name] for name in _KEPT if name in os.environ} | given


def registry_environ() -> dict[str, str]:
    """Return the variables that say how this machine reaches registries of packages."""
    return {name: value for name, value in os.environ.items() if _REGISTRIES.match(name)}


def wheel(name: str = "pointledger") -> Path:
    """Build the wheels of this checkout into one folder, unless they are there. Return one of them."""
    folder = FOLDER / f"wheels-{_digest(_source())}"

    def make(into: Path) -> None:
        for project in _THIS_PROJECT.values():
            _uv("build", "--wheel", "--out-dir", str(into), str(ROOT / project))

    _made(folder.name, make)
    return next(folder.glob(f"{name.replace('-', '_')}-[0-9]*.whl"))


def _source() -> str:
    """Digest the files that the wheels are made of."""
    files = [ROOT / "pyproject.toml", ROOT / "README.md"]
    for folder in ("src", "workers", "schedules"):
        files += sorted((ROOT / folder).rglob("*.*"))
    kept = (file for file in files if file.is_file() and file.suffix not in (".pyc", ".gz"))
    return "".join(_digest(file.read_bytes()) for file in kept)


def _digest(content: str | bytes) -> str:
    return sha256(content if isinstance(content, bytes) else content.encode()).hexdigest()[:12]


def _made(name: str, make: Callable[[Path], object]) -> Path:
    """Make a folder completely or not at all. Only one process makes it; others wait."""
    folder = FOLDER / name
    with _locked(name):
        if not (folder / ".complete").exists():
            shutil.rmtree(folder, ignore_errors=True)
            make(folder)
            (folder / ".complete").touch()
    return folder


@contextmanager
def _locked(name: str) -> Iterator[None]:
    FOLDER.mkdir(exist_ok=True)
    with (FOLDER / f"{name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _uv(*arguments: str) -> None:
    # ./dev installs uv beside the interpreter.
    _run([str(Path(sys.executable).with_name("uv")), "--quiet", *arguments], ROOT)


def _run(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stdout}{done.stderr}"
