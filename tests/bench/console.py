"""Measures the console's pages on a ledger with millions of entries, and what they cost live commands.

Two workers, the console and the people who look at it share the machine.
"""

import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from urllib.parse import quote, urljoin

import httpx

from pointledger import PointsClient
from pointledger.api import server
from pointledger.ids import show_id
from pointledger.jobs.day_totals import DayTotals
from pointledger_demo.provider import CLIENT_ID, CLIENT_SECRET, Person, Provider
from tests.bench import console_history, workload
from tests.bench.console_history import WHALE, Members
from tests.bench.environment import BenchmarkEnvironment, BenchmarkStuck
from tests.bench.harness import BenchmarkOptions, BenchmarkReport, DifferentWork, Side, compare
from tests.bench.http import processes_of
from tests.bench.ledger import BenchmarkLedger, apply_one, enqueue, new_ledger, running_workers, timed
from tests.bench.open_loop import OpenLoop, percentile
from tests.bench.workload import TENANT, BasketEvent, EndlessEvents
from tests.console.browsing import Html
from tests.console.environment import serving
from tests.ports import free_port

NAME = "console"
ALONE, BESIDE = "commands alone", "commands beside people"
_PAGES_PER_SECOND = 1.0  # of one person who looks at the console and reads
_RATE = 100  # commands per second whose latency is measured
_WARM_UP = 3  # of each page: templates, plans and Postgres' cache
_ADMIN = Person("admin", "Admin", ("admin",), (TENANT,))
_SEED = 20170104
_TOTALS_SECONDS = 3_600.0


@dataclass(frozen=True, slots=True)
class ConsoleSize:
    """The size of the ledger and the load: commands in bulk, then seconds of single ones."""

    rounds: int
    entries: int
    of_whale: int  # entries of the member with most
    users: int
    looks: int  # at each page
    people: int
    commands: int
    warm_up: int
    seconds: float


# Five people are a busy office. A goal holds for a ledger of ten million entries.
FULL = ConsoleSize(
    3, 10_000_000, 100_000, 100_000, looks=200, people=5, commands=100_000, warm_up=5_000, seconds=20
)
QUICK = ConsoleSize(1, 3_000, 1_000, 20, looks=2, people=1, commands=200, warm_up=50, seconds=0.5)


def run(environment: BenchmarkEnvironment, options: BenchmarkOptions) -> Iterator[BenchmarkReport]:
    """Measure each page, then commands with and without people who look at pages."""
    size = QUICK if options.quick else FULL
    with ExitStack() as stack:
        ledger, many = _load(environment, stack, size)
        pages = _pages_of(ledger, many, size)
        url = stack.enter_context(_console(ledger))
        applied = workload.events(f"{NAME}-warm-up", size.warm_up, many.user_ids)
        client, workers = stack.enter_context(running_workers(environment, ledger, warm_up=applied))
        looking = Side("the console", partial(_measure_pages, url, pages, size.looks))
        rounds = compare(NAME, [looking], options.rounds or size.rounds, environment.on_progress)
        yield rounds.report(f"{NAME}: pages", "milliseconds, p95")

        def commands(people: int) -> dict[str, float]:
            with _people(url, pages, people):
                name = f"{NAME}-{len(applied)}"
                bulk = workload.events(name, size.commands, many.user_ids)
                rate = timed(workers, partial(enqueue, client), ledger.is_drained, bulk)
                applied.extend(bulk)
                return {"rate": rate} | _latencies(client, f"{name}-single", size, many, applied)

        sides = [Side(BESIDE, partial(commands, size.people)), Side(ALONE, partial(commands, 0))]
        rounds = compare(NAME, sides, options.rounds or size.rounds, environment.on_progress)
        environment.on_progress(f"{NAME}: verifying", 0, 1)
        ledger.verify(lambda connection: _check(connection.exec_driver_sql, many, size, applied))
        yield rounds.report(f"{NAME}: rate", "commands per second", "rate")
        yield rounds.report(f"{NAME}: latency", "milliseconds", "latency")


def _load(
    environment: BenchmarkEnvironment, stack: ExitStack, size: ConsoleSize
) -> tuple[BenchmarkLedger, Members]:
    ledger = stack.enter_context(new_ledger(environment))
    many, whale = console_history.members_of(size.entries, size.users, size.of_whale)
    environment.on_progress(f"{NAME}: writing {many.entries + whale.entries:,} entries", 0, 1)
    console_history.write(ledger.database, (many, whale), ledger.settings.lanes)
    console_history.settle(ledger.database)
    environment.on_progress(f"{NAME}: summing up their days", 0, 1)
    totals, give_up_at = DayTotals(ledger.database, lag_seconds=0), time.monotonic() + _TOTALS_SECONDS
    totals.sum_up()  # the first run only asks which transactions are open
    while totals.sum_up():
        if time.monotonic() > give_up_at:
            raise BenchmarkStuck("the entries are not summed up")
    return ledger, many


# ------------------------------------------------------------------------------------------------ pages

Draw = Callable[[random.Random], str]


def _pages_of(ledger: BenchmarkLedger, many: Members, size: ConsoleSize) -> dict[str, Draw]:
    """Return each page's address below the tenant's, for a member who is drawn."""
    with PointsClient.connect(ledger.settings) as client:
        latest = client.entries(TENANT, WHALE, limit=1).entries[0]
    rule = show_id(ledger.opening.id)
    fixed = {
        "today": "today",
        "member, search": "members?q=user-0",
        "member with most entries": f"members/{WHALE}",
        "member with most entries, older": f"members/{WHALE}?before={size.of_whale // 2}",
        "member with most entries, a rare type": f"members/{WHALE}?type=spend",
        "member with most entries, statement": f"members/{WHALE}/statement",
        "member with most entries, statement of a year": f"members/{WHALE}/statement?{_last_year(latest)}",
        "entry, why": f"members/{WHALE}/entries/{latest['id']}",
        "command": f"commands/{latest['command_id']}",
        "queue": "queue",
        "dead commands": "queue/dead",
        "dead letters": "queue/dead-letters",
        "batches": "queue/batches",
        "rules": "rules",
        "rule": f"rules/{rule}",
        "acts": "acts",
        "program": "program",
        "goodwill, dry run": f"members/{WHALE}/actions/goodwill/check?amount=5",
    }
    pages: dict[str, Draw] = {name: partial(_fixed, path) for name, path in fixed.items()}
    pages["member"] = partial(_of_member, many.user_ids, "members/{}")
    pages["statement"] = partial(_of_member, many.user_ids, "members/{}/statement")
    return pages


def _last_year(latest: Mapping[str, str]) -> str:
    last = date.fromisoformat(latest["created_at"][:10])
    return f"from={last - timedelta(days=364)}&to={last}"


def _fixed(path: str, _chance: random.Random) -> str:
    return path


def _of_member(user_ids: list[str], path: str, chance: random.Random) -> str:
    return path.format(quote(chance.choice(user_ids)))


def _measure_pages(url: str, pages: Mapping[str, Draw], looks: int) -> dict[str, float]:
    """Look at each page in turn, and return the 95th percentile of its milliseconds."""
    took: dict[str, list[float]] = {name: [] for name in pages}
    chance = random.Random(_SEED)
    with logged_in(url) as browser:
        for number in range(_WARM_UP + looks):
            for name, draw in pages.items():
                seconds = _look(browser, draw(chance))
                if number >= _WARM_UP:
                    took[name].append(1000 * seconds)
    return {name: percentile(times, 0.95) for name, times in took.items()}


def _look(browser: httpx.Client, path: str) -> float:
    """Get a page and return the seconds until its end. Raises DifferentWork unless it is there."""
    began = time.perf_counter()
    answer = browser.get(f"/console/{TENANT}/{path}")
    seconds = time.perf_counter() - began
    if answer.status_code != 200:
        raise DifferentWork(f"{path}: status {answer.status_code}")
    return seconds


# --------------------------------------------------------------------------------------------- commands


def _latencies(
    client: PointsClient, name: str, size: ConsoleSize, many: Members, applied: list[BasketEvent]
) -> dict[str, float]:
    events = EndlessEvents(name, many.user_ids)
    with OpenLoop(_RATE, lambda number: apply_one(client, events[number])) as loop:
        time.sleep(size.seconds)
    loop.verify()
    applied.extend(events[number] for number in range(loop.begun))
    shares = {"p50": 0.5, "p99": 0.99}
    return {f"latency {share}": 1000 * percentile(loop.latencies, part) for share, part in shares.items()}


def _check(
    execute: Callable[[str], object], many: Members, size: ConsoleSize, applied: list[BasketEvent]
) -> None:
    """Check that each command was applied once. Raises DifferentWork."""
    found = execute("SELECT count(*), sum(balance)::bigint FROM accounts")
    accounts, points = found.one()  # type: ignore[attr-defined]
    entries = many.entries + size.of_whale
    expected = entries * console_history.POINTS + sum(event.points for event in applied)
    if (accounts, points) != (size.users + 1, expected):
        raise DifferentWork(f"{accounts} accounts have {points} points, not {expected}")


@contextmanager
def _people(url: str, pages: Mapping[str, Draw], count: int) -> Iterator[None]:
    """Let this many people look at pages until the end of the block. Raises DifferentWork."""
    stop, failures = threading.Event(), []

    def look(number: int) -> None:
        chance = random.Random(_SEED + number)
        try:
            with logged_in(url) as browser:
                while not stop.wait(chance.uniform(0, 2 / _PAGES_PER_SECOND)):
                    _look(browser, chance.choice(list(pages.values()))(chance))
        except (DifferentWork, httpx.HTTPError) as error:
            failures.append(error)

    threads = [threading.Thread(target=look, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    if failures:
        raise DifferentWork(f"a page: {failures[0]!r}")


# ------------------------------------------------------------------------------------------ the console


@contextmanager
def _console(ledger: BenchmarkLedger) -> Iterator[str]:
    """Serve the console in a process of its own, with a provider in this one. Yield its URL."""
    with ExitStack() as stack:
        for_provider = stack.enter_context(server.listening("127.0.0.1", 0))
        port = free_port()
        issuer = f"http://127.0.0.1:{for_provider.getsockname()[1]}"
        url = f"http://127.0.0.1:{port}"
        provider = Provider(issuer, f"{url}/console/-/callback", [_ADMIN])
        stack.enter_context(serving(provider.app(), for_provider))
        settings = {
            "POINTLEDGER_CONSOLE_ISSUER": issuer,
            "POINTLEDGER_CONSOLE_CLIENT_ID": CLIENT_ID,
            "POINTLEDGER_CONSOLE_CLIENT_SECRET": CLIENT_SECRET,
            "POINTLEDGER_CONSOLE_URL": url,
            "POINTLEDGER_CONSOLE_KEY": "k" * 32,
            "POINTLEDGER_CONSOLE_RATE": "100000",  # one session looks at all pages in a row
        }
        command = ["console", "--port", str(port), "--admin-port", "0"]
        stack.enter_context(processes_of(ledger.env | settings, command))
        yield url


@contextmanager
def logged_in(url: str) -> Iterator[httpx.Client]:
    """Log the administrator in by the real flow. Raises DifferentWork."""
    with httpx.Client(base_url=url, timeout=60, follow_redirects=True) as browser:
        asked = browser.get("/console")
        link = next(href for href in Html(asked.text).links.values() if "person=admin" in href)
        answer = browser.get(urljoin(str(asked.url), link))
        if not answer.is_success or not str(answer.url).startswith(url):
            raise DifferentWork(f"the login ends at {answer.url} with status {answer.status_code}")
        yield browser
