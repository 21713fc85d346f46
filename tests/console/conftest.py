"""Fixtures: one console for the whole folder, clients that log in by the real flow, pages of one browser."""

import secrets
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from pointledger.embedded import ServerUrls
from pointledger.settings import Settings
from tests.console.browsing import BrowserPages, Browsing
from tests.console.environment import ConsoleEnvironment, open_console
from tests.databases import Clones, as_worker
from tests.waiting import wait_until

_NUMBERS = count(1)
_RULES = count(1)
ERASURE_KEY = SecretStr("k" * 32)  # of the workers


@pytest.fixture(scope="package")  # its worker must not run beside tests of other folders
def console(servers: ServerUrls, clones: Clones) -> Iterator[ConsoleEnvironment]:
    """The console with the tenants `shop`, with a rule, `other`, and those of the person `crew`: `mill`,
    `mine` and `quiet`, whose queues tests disturb, and `empty`. Each test has members of its own."""
    with clones.one() as url:
        urls: dict[str, Any] = {"database_url": as_worker(servers, url), "owner_url": url}
        prefix = f"console-{secrets.token_hex(4)}"
        settings = Settings(
            **urls, redis_url=servers.redis_url, redis_prefix=prefix, broker_url=None, erasure_key=ERASURE_KEY
        )
        with open_console(settings) as opened:
            opened.ledger.tenant("shop", timezone="America/New_York", transfer_enabled=True)
            for tenant_id in ("other", "mill", "mine", "quiet", "empty"):
                opened.ledger.tenant(tenant_id)
            opened.ledger.rule("shop", name="visit", event_type="visit", points=10, daily_limit=17)
            yield opened


@pytest.fixture
def user() -> Callable[[], str]:
    """A function that returns a new user id."""
    return lambda: f"member-{next(_NUMBERS)}"


@pytest.fixture
def rule(console: ConsoleEnvironment) -> str:
    """A new rule: 5 points for an event type of its own, which has its name."""
    name = f"rule-{next(_RULES)}"
    console.ledger.rule("shop", name=name, event_type=name, points=5, daily_limit=8)
    return name


@pytest.fixture
def cause(user: Callable[[], str]) -> str:
    """The error of a test's own dead commands: a word without digits, which groups leave as it is."""
    return "Cause" + "".join("abcdefghij"[int(digit)] for digit in user().partition("-")[2])


@pytest.fixture
def browse(console: ConsoleEnvironment) -> Iterator[Callable[[str], Browsing]]:
    """A function that logs a person in, by the real flow and without a browser."""
    opened: list[Browsing] = []

    def log_in(person: str) -> Browsing:
        browsing = Browsing(console)
        opened.append(browsing)
        browsing.log_in(person)
        return browsing

    yield log_in
    for browsing in opened:
        browsing.client.close()


@pytest.fixture
def stranger(console: ConsoleEnvironment) -> Iterator[httpx.Client]:
    """A client that has not logged in."""
    with httpx.Client(base_url=console.url, timeout=30) as client:
        yield client


@pytest.fixture(scope="package")
def browser() -> Iterator[BrowserPages]:
    """Debian's Chromium, one for all tests of this process. Its pages are closed after each test."""
    with BrowserPages() as opened:
        yield opened


@pytest.fixture
def page(browser: BrowserPages, console: ConsoleEnvironment) -> Iterator[Callable[..., Any]]:
    """A function that logs a person in and returns a page of the browser. A script's error fails the test."""
    with browser.of_a_test(console) as log_in:
        yield log_in


def applied(console: ConsoleEnvironment, *commands: Any) -> list[str]:
    """Send commands and wait until they are applied. Return their task ids."""
    task_ids = console.ledger.client.enqueue_many(list(commands))
    outcomes = console.ledger.client
    wait_until(lambda: all(outcomes.outcome(each).is_final for each in task_ids), "the commands are decided")
    return task_ids
