"""The console of `./dev run`: its settings, and the provider at which one click logs in."""

import secrets
import socket
import threading
from pathlib import Path
from typing import Any

import uvicorn
from pydantic import SecretStr

from pointledger.embedded.private_files import make_private_folder, write_private
from pointledger_demo.provider import CLIENT_ID, CLIENT_SECRET, Person, Provider

_ROLES = ("support", "marketing", "finance", "operator", "admin")
_STOP_SECONDS = 5.0  # for requests in progress; then the process ends anyway


def people_of(tenant_id: str) -> list[Person]:
    """Return a person for each role of the console."""
    return [Person(f"{role}-1", f"Demo {role}", (role,), (tenant_id,)) for role in _ROLES]


class DemoProvider:
    """The provider, in a thread of this process. It ends with the process, or with `stop`."""

    def __init__(self, port: int, console_url: str, tenant_id: str) -> None:
        issuer = f"http://127.0.0.1:{port}"
        provider = Provider(issuer, f"{console_url}/console/-/callback", people_of(tenant_id))
        self._bound = socket.create_server(("127.0.0.1", port))
        self._server = uvicorn.Server(uvicorn.Config(provider.app(), log_config=None, access_log=False))
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._bound]}, name="provider", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """End it."""
        self._server.should_exit = True
        self._thread.join(_STOP_SECONDS)
        self._bound.close()


def console_settings(folder: Path, provider_port: int, console_url: str) -> dict[str, Any]:
    """Return the console's settings. The key stays in the folder, so sessions survive a second run."""
    return {
        "console_issuer": f"http://127.0.0.1:{provider_port}",
        "console_client_id": CLIENT_ID,
        "console_client_secret": SecretStr(CLIENT_SECRET),
        "console_url": console_url,
        "console_key": SecretStr(_key(folder)),
    }


def _key(folder: Path) -> str:
    path = make_private_folder(folder) / "key"
    if not path.exists():
        write_private(path, secrets.token_urlsafe(32).encode())
    return path.read_text()
