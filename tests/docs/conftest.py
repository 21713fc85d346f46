"""Provides the command line and a worker as a reader of the docs has them, and a system for each page."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from pointledger import Earn
from pointledger.settings import Settings
from pointledger_demo.processes import ProcessGroup
from pointledger_demo.program import RULES, TENANT, TENANT_CONFIG
from tests import environments
from tests.cli.conftest import environment, ledger, run, working
from tests.docs.blocks import ROOT, blocks_of, pages
from tests.docs.session import PageSession
from tests.ledger import Ledger
from tests.ports import free_port
from tests.waiting import wait_until

__all__ = ["environment", "ledger", "run", "working"]

_OWN_PROGRAMS = Path(sys.executable).parent  # `pointledger`, if the reader's environment has none
_PROGRAM = "docs/tutorial/first-points.md"  # later pages use its shop
_INTEGRATION = "docs/tutorial/first-integration.md"
_FRIEND = "household-906"  # a user of the demonstration, to whom the pages give points

ReadPage = Callable[..., None]


@pytest.fixture
def read(
    settings: Settings, programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ReadPage]:
    """Yield a function that follows a page while `./dev run` serves: servers, a worker and the API.

    `python` is the reader's interpreter; the default is this one.
    """
    secret = settings.erasure_key
    assert secret
    monkeypatch.setenv("POINTLEDGER_ERASURE_KEY", secret.get_secret_value())
    monkeypatch.setenv("POINTLEDGER_HTTP_WAIT_SECONDS", "60")  # a busy host responds late
    with ExitStack() as stack:

        def read_page(page: str, python: Path | None = None) -> None:
            system = _system(settings, tmp_path, with_api="127.0.0.1:8000" in (ROOT / page).read_text())
            stack.callback(system.stop)
            _put_program(system.start())
            if system.api_url:
                wait_until(lambda: _is_ready(system.api_url), "the API is ready")
            reader = python or Path(sys.executable)
            environ = _environ(system.settings, programs, reader.parent)
            session = PageSession(tmp_path, environ, _addresses(system), reader)
            stack.callback(session.close)
            if page in (_INTEGRATION, *pages("guides")):
                for each in blocks_of(_PROGRAM):
                    if " put " in each.text:
                        session.run_shell(each)
            session.read(page)

        yield read_page


def _system(settings: Settings, folder: Path, *, with_api: bool) -> ProcessGroup:
    given = settings.model_copy(update={"result_url": settings.redis_url})
    return ProcessGroup(
        ROOT,
        data=folder / ".data",
        settings=given,
        workers=1,
        beat=False,
        api_for=TENANT if with_api else None,
    )


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz").is_success
    except httpx.TransportError:
        return False


def _put_program(settings: Settings) -> None:
    """Create what `./dev run` creates, as far as the pages use it."""
    with Ledger(settings) as opened:
        opened.tenant(**TENANT_CONFIG)
        for rule in RULES:
            opened.rule(TENANT, **rule)
        opened.client.wait(
            opened.client.enqueue(Earn(tenant_id=TENANT, user_id=_FRIEND, amount=1)), timeout=60
        )


def _environ(settings: Settings, programs: Path, installed: Path) -> dict[str, str]:
    """Return the variables of a clean environment, and the exports that `./dev run` prints.

    `installed` is the folder of the programs of the reader's environment.
    """
    assert settings.database_url
    assert settings.redis_url
    return {
        **environments.clean_environ(),
        "PATH": os.pathsep.join([str(programs), str(installed), str(_OWN_PROGRAMS), os.environ["PATH"]]),
        "POINTLEDGER_DATABASE_URL": settings.database_url,
        "POINTLEDGER_REDIS_URL": settings.redis_url,
        "POINTLEDGER_OWNER_URL": settings.owner,
        "POINTLEDGER_REDIS_PREFIX": settings.redis_prefix,
        "POINTLEDGER_ERASURE_KEY": os.environ["POINTLEDGER_ERASURE_KEY"],
        "POINTLEDGER_ALLOW_UNSAFE": os.environ["POINTLEDGER_ALLOW_UNSAFE"],
    }


def _addresses(system: ProcessGroup) -> dict[str, str]:
    """Map addresses and timeouts on the pages to those of this system."""
    settings = system.settings
    assert settings.redis_url
    return {
        "timeout=10": "timeout=60",  # for a busy host
        "--wait 10": "--wait 60",
        "8001": str(free_port()),  # for a page that starts its own API
        "8010": str(free_port()),  # for a page that starts a shop
        "http://127.0.0.1:8000": system.api_url or "http://127.0.0.1:8000",
        "redis://127.0.0.1:6379/0": settings.redis_url,
    }
