"""`serve --console` serves both on one port, and a process without the console's settings does not start."""

import zipfile
from importlib.resources import files
from pathlib import Path

import httpx
import pytest

from pointledger.api import server
from pointledger.api.starting import create_starting_app
from pointledger.errors import ConsoleNotConfigured
from pointledger.settings import Settings
from tests import environments
from tests.api.environment import http_settings
from tests.api.issuer import Issuer
from tests.console.environment import console_settings, running, serving


def test_the_api_and_the_console_share_a_port(settings: Settings, tmp_path: Path) -> None:
    with server.listening("127.0.0.1", 0) as bound:
        url = f"http://127.0.0.1:{bound.getsockname()[1]}"
        both = console_settings(http_settings(settings, Issuer(), tmp_path), "https://login.example.com", url)
        with running(server.server_of(both, console=True), bound):
            assert httpx.get(f"{url}/healthz").json()["data"] == {"status": "ok"}
            assert httpx.get(f"{url}/points/anna").status_code == 401
            assert httpx.get(f"{url}/console").headers["location"].startswith("/console/-/login")
            assert httpx.get(f"{url}/consoles").json()["code"] == 404
            assert "/console" not in httpx.get(f"{url}/openapi.json").text


def test_a_console_that_waits_for_its_database_says_so_on_a_page() -> None:
    with server.listening("127.0.0.1", 0) as bound, serving(create_starting_app(), bound):
        url = f"http://127.0.0.1:{bound.getsockname()[1]}"
        page = httpx.get(f"{url}/console/shop/members")
        assert (page.status_code, page.headers["refresh"]) == (503, "5")
        assert "waits for the database" in page.text
        assert httpx.get(f"{url}/points/anna").json()["code"] == 503


@pytest.mark.long
def test_the_wheel_has_the_templates_and_what_pages_load() -> None:
    names = set(zipfile.ZipFile(environments.wheel()).namelist())
    folder = Path(str(files("pointledger.api.console")))
    needed = [*folder.glob("templates/*"), *folder.glob("static/*")]
    assert needed
    assert {f"pointledger/api/console/{path.relative_to(folder)}" for path in needed} <= names


def test_without_its_settings_neither_starts(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(ConsoleNotConfigured, match="POINTLEDGER_CONSOLE_ISSUER"):
        server.console_server_of(settings)
    with pytest.raises(ConsoleNotConfigured, match="POINTLEDGER_CONSOLE_KEY"):
        server.server_of(http_settings(settings, Issuer(), tmp_path), console=True)
