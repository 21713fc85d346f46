"""The console on a real port, beside a ledger whose commands are applied, with a provider of its own."""

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import uvicorn

from pointledger.api import server
from pointledger.settings import Settings
from pointledger_demo.provider import CLIENT_ID, CLIENT_SECRET, Person, Provider
from tests.ledger import Ledger
from tests.waiting import wait_until
from tests.working import working

KEY = "a key that only the tests know, of 32 characters"
ROLES = ("support", "marketing", "finance", "operator", "admin")
CREWS_TENANTS = ("mill", "mine", "quiet", "empty", "broken", "till", "vault")
PEOPLE = (
    *(Person(role, f"{role.title()} Person", (role,), ("shop",)) for role in ROLES),
    Person("agent", "Agent Person", ("support",), ("shop",)),
    Person("clerk", "Clerk Person", ("support",), ("shop",)),
    Person("both", "Both Tenants", ("admin",), ("shop", "other")),
    Person("elsewhere", "Elsewhere", ("admin",), ("other",)),
    Person(
        "crew", "Crew Person", ("operator",), ("mill", "mine", "quiet", "empty", "broken", "till", "vault")
    ),
    Person("desk", "Desk Person", ("support",), ("mill",)),
    Person("nothing", "Nothing", (), ("shop",)),
    Person("homeless", "Homeless", ("admin",), ()),
)


class ConsoleEnvironment:
    """A running console: its URL, the provider, and the ledger behind it."""

    def __init__(self, ledger: Ledger, provider: Provider, url: str) -> None:
        self.ledger = ledger
        self.provider = provider
        self.url = url


def console_settings(settings: Settings, issuer: str, url: str, **more: Any) -> Settings:
    given: dict[str, Any] = {
        "console_issuer": issuer,
        "console_client_id": CLIENT_ID,
        "console_client_secret": CLIENT_SECRET,
        "console_url": url,
        "console_key": KEY,
        "console_rate": 1_000,
        "http_stranger_rate": 1_000,
    }
    return Settings(**(settings.model_dump(exclude_unset=True) | given | more))


@contextmanager
def serving(app: Any, bound: socket.socket) -> Iterator[None]:
    """Serve an ASGI application on a socket, until the end of the block."""
    config = uvicorn.Config(app, log_config=None, access_log=False, ws="none")
    with running(uvicorn.Server(config), bound):
        yield


@contextmanager
def running(uvicorn_server: uvicorn.Server, bound: socket.socket) -> Iterator[None]:
    """Run a server on a socket in a thread, until the end of the block."""
    thread = threading.Thread(target=uvicorn_server.run, kwargs={"sockets": [bound]}, daemon=True)
    thread.start()
    try:
        wait_until(lambda: uvicorn_server.started or not thread.is_alive(), "the server starts")
        assert uvicorn_server.started
        yield
    finally:
        uvicorn_server.should_exit = True
        thread.join(60)
        assert not thread.is_alive()


@contextmanager
def open_console(settings: Settings, *, worker: bool = True, **more: Any) -> Iterator[ConsoleEnvironment]:
    """Run the console and a provider in this process. With `worker`, a thread applies commands."""
    with ExitStack() as stack:
        for_provider = stack.enter_context(server.listening("127.0.0.1", 0))
        for_console = stack.enter_context(server.listening("127.0.0.1", 0))
        issuer, url = (f"http://127.0.0.1:{each.getsockname()[1]}" for each in (for_provider, for_console))
        provider = Provider(issuer, f"{url}/console/-/callback", PEOPLE)
        settings = console_settings(settings, issuer, url, **more)
        ledger = stack.enter_context(Ledger(settings))
        stack.enter_context(serving(provider.app(), for_provider))
        stack.enter_context(running(server.console_server_of(settings), for_console))
        if worker:
            stack.enter_context(working(ledger))
        yield ConsoleEnvironment(ledger, provider, url)
