"""nginx and HAProxy with the configurations of the README, as they stand but for ports and paths."""

import re
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.api.running import ROOT, process
from tests.observability.tls import certificate
from tests.waiting import wait_until

README = (ROOT / "README.md").read_text()
KINDS = ("nginx", "haproxy")
_ESTABLISHED = "01"


def configuration(kind: str) -> str:
    """The one block of this kind."""
    (found,) = re.findall(rf"```{kind}\n(.*?)```", README, re.DOTALL)
    return str(found)


@contextmanager
def in_front_of(
    gateway_port: int, kind: str, folder: Path, change: Callable[[str], str] = lambda text: text
) -> Iterator[tuple[str, Path]]:
    """The URL of a proxy, and who vouches for it. `change`: of what a test cannot wait for."""
    port, trusted = _free_port(), certificate(folder)
    text = change(configuration(kind))
    for told, ours in (
        ("listen 443 ", f"listen 127.0.0.1:{port} "),
        ("bind :443 ", f"bind 127.0.0.1:{port} "),
        ("127.0.0.1:8000", f"127.0.0.1:{gateway_port}"),
        ("/etc/ssl/points.example.pem", str(trusted)),
        ("/etc/ssl/points.example.key", str(trusted)),
    ):
        text = text.replace(told, ours)
    log = folder / f"{kind}.log"
    with process(_command(kind, text, folder), log) as child:
        wait_until(lambda: child.poll() is not None or _listens(port), f"{kind} listens")
        assert child.poll() is None, log.read_text()
        yield f"https://127.0.0.1:{port}", trusted


def connections_to(port: int) -> int:
    """How many connections to a port of this machine are open, counted at the end that was connected to."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(line[1].endswith(f":{port:04X}") and line[3] == _ESTABLISHED for line in lines)


def _command(kind: str, text: str, folder: Path) -> list[str]:
    if kind == "haproxy":
        file = folder / "haproxy.cfg"
        file.write_text(text)
        return ["/usr/sbin/haproxy", "-db", "-f", str(file)]
    around = f"daemon off;\nmaster_process off;\npid {folder}/nginx.pid;\nerror_log stderr;\nevents {{}}\n"
    paths = "".join(
        f"{name}_temp_path {folder}/{name};\n"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    file = folder / "nginx.conf"
    file.write_text(f"{around}http {{\naccess_log off;\n{paths}{text}\n}}\n")
    return ["/usr/sbin/nginx", "-e", "stderr", "-p", str(folder), "-c", str(file)]


def _free_port() -> int:
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        return int(trial.getsockname()[1])


def _listens(port: int) -> bool:
    with socket.socket() as trial:
        return trial.connect_ex(("127.0.0.1", port)) == 0
