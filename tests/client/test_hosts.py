"""The client within other people's programs, each in an environment of its own: gunicorn, Celery, gevent."""

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
    """Somebody's server, which has our programs in its folder; it ends well when it is told to, and nothing
    went wrong in it."""
    environment, *called = program
    python = environments.python(environment)
    with log.open("wb") as written:
        process = subprocess.Popen(
            [python, "-m", *called, *options] if called else [python.with_name(environment), *options],
            cwd=HERE,
            env=environments.stranger(**env),
            stdout=written,
            stderr=written,
            start_new_session=True,
        )
    try:
        yield process
        process.send_signal(signal.SIGINT if environment == "uwsgi" else signal.SIGTERM)
        process.wait(SECONDS)
        told = log.read_text()
        assert "Traceback" not in told, told
        assert "pointledger" not in told, told
    finally:
        end_all(process)


@pytest.mark.parametrize("workers", [("gthread", "--threads=4"), ("gevent", "--config=patched.py")])
def test_gunicorns_workers_share_a_client_that_was_made_before_they_were(
    ledger: Ledger, tmp_path: Path, workers: tuple[str, ...]
) -> None:
    address = tmp_path / "socket"
    kind, *more = workers
    options = ["--preload", "--workers=3", f"--bind=unix:{address}", f"--worker-class={kind}", *more]
    log = tmp_path / "log"
    with hosted(("web", "gunicorn"), [*options, "web:application"], log, servers(ledger.settings)) as master:
        wait_until(lambda: address.exists() or master.poll() is not None, "it listens")
        assert address.exists(), log.read_text()
        before = connections(master.pid)
        first = requests(address)
        os.kill(min(first), signal.SIGTERM)  # gunicorn forks another one
        wait_until(lambda: not requests(address) <= first, "that one answers, too")
        assert before <= connections(master.pid), "the master's own are as they were"
    assert ledger.counts("accounts") == [REQUESTS + 1]


def test_uwsgis_workers_do_too_although_it_does_not_tell_python_of_its_forks(
    ledger: Ledger, tmp_path: Path
) -> None:
    address, log = tmp_path / "socket", tmp_path / "log"
    options = ["--master", "--processes=3", f"--http-socket={address}", "--wsgi-file=web.py", "--need-app"]
    with hosted(("uwsgi",), options, log, servers(ledger.settings)) as master:
        wait_until(lambda: address.exists() or master.poll() is not None, "it listens")
        assert address.exists(), log.read_text()
        requests(address)
    assert ledger.counts("accounts") == [REQUESTS + 1]


def requests(address: Path) -> set[int]:
    """Which processes have answered requests that came at once, each of them well."""
    transport = httpx.HTTPTransport(uds=str(address), retries=5)
    anew = {"Connection": "close"}  # by whichever worker takes it
    with (
        httpx.Client(transport=transport, timeout=SECONDS, headers=anew) as client,
        ThreadPoolExecutor(8) as pool,
    ):
        answers = list(pool.map(client.post, [f"http://shop/user-{number}" for number in range(REQUESTS)]))
    assert {answer.status_code for answer in answers} == {200}
    told: list[dict[str, Any]] = [answer.json() for answer in answers]
    assert {one["state"] for one in told} == {"applied"}
    processes = {one["process"] for one in told}
    assert len(processes) > 1
    return processes


@pytest.mark.parametrize("broker", ["valkey", "rabbitmq"])
def test_a_prefork_pool_of_celerys_shares_a_client_that_its_module_made(
    ledger: Ledger, tmp_path: Path, broker: str, request: pytest.FixtureRequest
) -> None:
    settings = ledger.settings
    if broker == "rabbitmq":
        settings = settings.model_copy(update={"broker_url": request.getfixturevalue("rabbitmq_url")})
    options = ["--pool=prefork", "--concurrency=2", "--loglevel=WARNING"]
    options += ["--max-tasks-per-child=5"]  # children are forked in the midst, too
    log, env = tmp_path / "log", servers(settings) | {"SHOP_BROKER": settings.redis}
    shop = Celery("test", broker=settings.redis, backend=settings.redis, set_as_current=False)
    shop.conf.broker_transport_options = {"global_keyprefix": "shop:"}
    with shop, hosted(("prefork", "celery", "-A", "shop_tasks", "worker"), options, log, env) as master:
        shop.send_task("shop_tasks.grant", ["first"]).get(timeout=SECONDS)
        before = connections(master.pid)
        broker_port = f":{make_url(settings.broker).port:04X}"
        assert any(there.endswith(broker_port) for _, there in before), "its doorbells' is open still"
        sent = [shop.send_task("shop_tasks.grant", [f"user-{number}"]) for number in range(TASKS)]
        told = [one.get(timeout=SECONDS) for one in sent]
        assert {state for _, state in told} == {"applied"}
        assert len({process for process, _ in told}) > 2
        assert not any(one.children for one in sent), "our doorbells are no children of the user's tasks"
        assert before <= connections(master.pid), "the master's own are as they were"
    assert ledger.counts("accounts") == [TASKS + 2]


def test_greenlets_share_a_client_and_wait_beside_each_other(ledger: Ledger) -> None:
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
