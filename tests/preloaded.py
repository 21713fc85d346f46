"""Starts `pointledger` quickly: tests call it a hundred times, and its imports take a second each time.

This process imports it once. The program that `installed` writes sends its arguments, environment, folder and
files to this process over a Unix socket. A fork then runs the command and returns its exit status.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.waiting import wait_until

_ROOT = Path(__file__).parents[1]

_CLIENT = """#!{python} -SE
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as server:
    server.connect({address!r})
    socket.send_fds(server, [b"!"], [0, 1, 2])
    server.sendall(json.dumps([sys.argv, dict(os.environ), os.getcwd()]).encode())
    server.shutdown(socket.SHUT_WR)
    sys.exit(int(server.recv(3) or b"1"))
"""


@contextmanager
def installed(folder: Path) -> Iterator[None]:
    """Install `pointledger` into this folder for the length of the block."""
    with tempfile.TemporaryDirectory() as short_path:  # because a socket's path has at most 107 bytes
        address, program = Path(short_path) / "socket", folder / "pointledger"
        program.write_text(_CLIENT.format(python=sys.executable, address=str(address)))
        program.chmod(0o755)
        start = [sys.executable, "-m", "tests.preloaded", str(address)]
        server = subprocess.Popen(start, cwd=_ROOT, start_new_session=True)
        try:
            wait_until(lambda: address.exists() or server.poll() is not None, "pointledger is loaded")
            assert server.poll() is None
            yield
        finally:
            os.killpg(server.pid, signal.SIGKILL)  # and every process that a test has left
            server.wait()


def serve(address: str) -> None:
    """Serve commands until the process is terminated."""
    from pointledger.cli.table import entries, imported  # noqa: PLC0415  so each fork has them

    for _, entry in entries():
        imported(entry.name)

    signal.signal(
        signal.SIGCHLD, signal.SIG_IGN
    )  # the kernel reaps the forks, because no process waits for them
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"{address}.new")
        server.listen()
        os.rename(f"{address}.new", address)  # now it accepts connections
        while True:
            caller, _ = server.accept()
            if not os.fork():
                _run_command(caller)
            caller.close()


def _run_command(caller: socket.socket) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _, files, _, _ = socket.recv_fds(caller, 1, 3)
    for number, file in enumerate(files):
        os.dup2(file, number)
    given = b""
    while more := caller.recv(65536):
        given += more
    sys.argv, environ, folder = json.loads(given)
    os.environ.clear()
    os.environ.update(environ)
    os.chdir(folder)
    status = _run()
    sys.stdout.flush()
    sys.stderr.flush()
    caller.sendall(str(status).encode())
    os._exit(0)


def _run() -> int:
    from pointledger.cli import main  # noqa: PLC0415  imported already

    try:
        main()
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    return 0


if __name__ == "__main__":
    serve(sys.argv[1])
