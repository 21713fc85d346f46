"""Runs nginx and HAProxy with the guide's configurations. Only ports and paths are changed."""

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.api.processes import process
from tests.docs.blocks import block
from tests.observability.tls import certificate
from tests.ports import free_port
from tests.waiting import wait_until

KINDS = ("nginx", "haproxy")
_ESTABLISHED = "01"


def configuration(kind: str) -> str:
    """Return the guide's configuration for this proxy."""
    return block(kind)


@contextmanager
def run_proxy(
    api_port: int, kind: str, folder: Path, change: Callable[[str], str] = lambda text: text
) -> Iterator[tuple[str, Path]]:
    """Run a proxy, and yield its URL and certificate. `change` can shorten timeouts."""
    port, trusted = free_port(), certificate(folder)
    text = change(configuration(kind))
    for original, replacement in (
        ("listen 443 ", f"listen 127.0.0.1:{port} "),
        ("bind :443 ", f"bind 127.0.0.1:{port} "),
        ("127.0.0.1:8000", f"127.0.0.1:{api_port}"),
        ("/etc/ssl/points.example.pem", str(trusted)),
        ("/etc/ssl/points.example.key", str(trusted)),
    ):
        text = text.replace(original, replacement)
    log = folder / f"{kind}.log"
    with process(_command(kind, text, folder), log) as child:
        wait_until(lambda: child.poll() is not None or _is_listening(port), f"{kind} listens")
        assert child.poll() is None, log.read_text()
        yield f"https://127.0.0.1:{port}", trusted


def connections_to(port: int) -> int:
    """Count the established connections to a local port, at the server's end."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(line[1].endswith(f":{port:04X}") and line[3] == _ESTABLISHED for line in lines)


def _command(kind: str, text: str, folder: Path) -> list[str]:
    if kind == "haproxy":
        file = folder / "haproxy.cfg"
        file.write_text(text)
        return ["/usr/sbin/haproxy", "-db", "-f", str(file)]
    main = f"daemon off;\nmaster_process off;\npid {folder}/nginx.pid;\nerror_log stderr;\nevents {{}}\n"
    paths = "".join(
        f"{name}_temp_path {folder}/{name};\n"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    file = folder / "nginx.conf"
    file.write_text(f"{main}http {{\naccess_log off;\n{paths}{text}\n}}\n")
    return ["/usr/sbin/nginx", "-e", "stderr", "-p", str(folder), "-c", str(file)]


def _is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
