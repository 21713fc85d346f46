"""The client works in other servers, each in its own environment: gunicorn, uWSGI, Celery, gevent, uvloop."""

import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from celery import Celery
from sqlalchemy.engine import make_url

from pointledger.settings import Settings
from tests import environments
from tests.client.programs import HERE, end_all, program, servers
from tests.ledger import Ledger
from tests.processes import connections
from tests.waiting import wait_until
from tests.working import working

pytestmark = pytest.mark.long

REQUESTS = 40
TASKS = 16
SECONDS = 60


@pytest.fixture
def ledger(settings: Settings) -> Iterator[Ledger]:
    with Ledger(settings) as opened:
        opened.tenant()
        with working(opened):
            yield opened


@contextmanager
def hosted(
    program: tuple[str, ...], options: Sequence[str], log: Path, env: dict[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server with the tests' programs in its folder. It must end on a signal, without an error in its
    log."""
    environment, *called = program
    python = environments.python(environment)
    with log.open("wb") as output:
        process = subprocess.Popen(
            [python, "-m", *called, *options] if called else [python.with_name(environment), *options],
            cwd=HERE,
            env=environments.clean_environ(**env),
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield process
        process.send_signal(signal.SIGINT if environment == "uwsgi" else signal.SIGTERM)
        process.wait(SECONDS)
        written = log.read_text()
        assert "Traceback" not in written, written
        assert "pointledger" not in written, written
    finally:
        end_all(process)


@pytest.mark.parametrize("workers", [("gthread", "--threads=4"), ("gevent", "--config=patched.py")])
def test_gunicorns_workers_share_a_client_of_their_master(
    ledger: Ledger, tmp_path: Path, workers: tuple[str, ...]
) -> None:
    address = tmp_path / "socket"
    kind, *more = workers
    options = ["--preload", "--workers=3", f"--bind=unix:{address}", f"--worker-class={kind}", *more]
    log = tmp_path / "log"
    with hosted(("web", "gunicorn"), [*options, "web:application"], log, servers(ledger.settings)) as master:
        wait_until(lambda: address.exists() or master.poll() is not None, "the server listens")
        assert address.exists(), log.read_text()
        before = connections(master.pid)
        first = requests(address)
        os.kill(min(first), signal.SIGTERM)  # gunicorn forks another worker
        wait_until(lambda: not requests(address) <= first, "the new worker responds")
        assert before <= connections(master.pid), "the master's connections are still open"
    assert ledger.counts("accounts") == [REQUESTS + 1]


def test_uwsgis_workers_share_a_client_although_its_forks_bypass_pythons_hooks(
    ledger: Ledger, tmp_path: Path
) -> None:
    address, log = tmp_path / "socket", tmp_path / "log"
    options = ["--master", "--processes=3", f"--http-socket={address}", "--wsgi-file=web.py", "--need-app"]
    with hosted(("uwsgi",), options, log, servers(ledger.settings)) as master:
        wait_until(lambda: address.exists() or master.poll() is not None, "the server listens")
        assert address.exists(), log.read_text()
        requests(address)
    assert ledger.counts("accounts") == [REQUESTS + 1]


def requests(address: Path) -> set[int]:
    """Send concurrent requests that must succeed, and return the processes that responded."""
    transport = httpx.HTTPTransport(uds=str(address), retries=5)
    close = {"Connection": "close"}  # so that any worker can accept the next request
    with (
        httpx.Client(transport=transport, timeout=SECONDS, headers=close) as client,
        ThreadPoolExecutor(8) as pool,
    ):
        responses = list(pool.map(client.post, [f"http://shop/user-{number}" for number in range(REQUESTS)]))
    assert {response.status_code for response in responses} == {200}
    bodies: list[dict[str, Any]] = [response.json() for response in responses]
    assert {body["state"] for body in bodies} == {"applied"}
    processes = {body["process"] for body in bodies}
    assert len(processes) > 1
    return processes


@pytest.mark.parametrize("broker", ["valkey", "rabbitmq"])
def test_celerys_prefork_pool_shares_a_client_of_its_module(
    ledger: Ledger, tmp_path: Path, broker: str, request: pytest.FixtureRequest
) -> None:
    settings = ledger.settings
    if broker == "rabbitmq":
        settings = settings.model_copy(update={"broker_url": request.getfixturevalue("rabbitmq_url")})
    options = ["--pool=prefork", "--concurrency=2", "--loglevel=WARNING"]
    options += ["--max-tasks-per-child=5"]  # forks children during the test as well
    log, env = tmp_path / "log", servers(settings) | {"SHOP_BROKER": settings.redis}
    shop = Celery("test", broker=settings.redis, backend=settings.redis, set_as_current=False)
    shop.conf.broker_transport_options = {"global_keyprefix": "shop:"}
    with shop, hosted(("prefork", "celery", "-A", "shop_tasks", "worker"), options, log, env) as master:
        shop.send_task("shop_tasks.grant", ["first"]).get(timeout=SECONDS)
        before = connections(master.pid)
        broker_port = f":{make_url(settings.broker).port:04X}"
        assert any(there.endswith(broker_port) for _, there in before), (
            "the connection of its doorbells is open"
        )
        sent = [shop.send_task("shop_tasks.grant", [f"user-{number}"]) for number in range(TASKS)]
        results = [one.get(timeout=SECONDS) for one in sent]
        assert {state for _, state in results} == {"applied"}
        assert len({process for process, _ in results}) > 2
        assert not any(one.children for one in sent), "doorbells are not children of the user's tasks"
        assert before <= connections(master.pid), "the master's connections are still open"
    assert ledger.counts("accounts") == [TASKS + 2]


def test_greenlets_share_a_client_and_wait_concurrently(ledger: Ledger) -> None:
    python = environments.python("web")
    with program("greenlets.py", settings=ledger.settings, python=python) as running:
        assert running.says() == {"greenlets": True}
        assert running.says() == {"child": True}
        assert running.says() == "ready"
        with ledger.owner.begin() as locked:
            locked.exec_driver_sql("LOCK TABLE accounts")
            running.go_on()
            assert running.says() == "outcome"
        assert running.says() == "account"
        assert running.says() == {"closed": True}


def test_tasks_under_uvloop_share_a_client_and_a_child_is_refused(ledger: Ledger) -> None:
    python = environments.python("asyncio")
    with program("loops.py", settings=ledger.settings, python=python) as running:
        assert running.says() == {"tasks": True}
        assert running.says() == {"canceled": True}
        assert running.says() == {"child": True}
        assert running.says() == {"rows": 3}
        assert running.says() == {"loop": "uvloop"}
