"""One command goes through client, worker, beat, relay, ingest and HTTP API, for each kind of URL.

Postgres and Redis are Debian's or the embedded ones: nothing in between is ours.
"""

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from urllib.parse import quote

import httpx
import psycopg
import pytest

from pointledger import Earn, PointsClient
from pointledger.messaging import redis_client
from pointledger.messaging.doorbell import seconds_since_beat
from pointledger.observability.doctor import examine
from pointledger.settings import Settings
from pointledger.storage.urls import parse
from pointledger_demo.processes import ProcessGroup
from tests.debian import PASSWORD, Sentinels, debians_redis, pgbouncer, sentinels
from tests.events.listener import Listener
from tests.faults.conftest import ROOT
from tests.ledger import Ledger
from tests.observability.tls import certificate, in_front_of
from tests.ports import free_port
from tests.waiting import wait_until

pytestmark = pytest.mark.long

SECONDS = 60
LOGIN = f"points:{quote(PASSWORD, safe='')}@"
Changed = AbstractContextManager[dict[str, str]]
Change = Callable[[Settings, Path], Changed]


# ------------------------------------------------------------------------------------------ Postgres


def _address(settings: Settings) -> tuple[str, str, str]:
    """Return login, host with port, and database."""
    part = parse(settings.database, "POINTLEDGER_DATABASE_URL")
    return f"{part['user']}:{part['password']}", f"{part['host']}:{part['port']}", part["dbname"]


@contextmanager
def postgres_by_socket(settings: Settings, folder: Path) -> Iterator[dict[str, str]]:
    with pgbouncer(folder, settings.database, mode="session", size=100) as (url,):
        part, (login, _, database) = parse(url, "POINTLEDGER_DATABASE_URL"), _address(settings)
        host = quote(str(folder), safe="")
        yield {"database_url": f"postgres://{login}@{host}:{part['port']}/{database}"}


@contextmanager
def postgres_by_pooler(settings: Settings, folder: Path) -> Iterator[dict[str, str]]:
    with pgbouncer(folder, settings.database) as (url,):
        yield {"database_url": url}


@contextmanager
def postgres_of_several(settings: Settings, folder: Path) -> Iterator[dict[str, str]]:
    login, host, database = _address(settings)
    several = f"127.0.0.1:1,{host}"  # nothing listens on port 1
    url = f"postgresql://{login}@{several}/{database}?target_session_attrs=read-write&connect_timeout=3"
    yield {"database_url": url}


@contextmanager
def postgres_by_service(settings: Settings, folder: Path) -> Iterator[dict[str, str]]:
    part = parse(settings.database, "POINTLEDGER_DATABASE_URL")
    file = folder / "services.conf"
    file.write_text("[points]\n" + "".join(f"{name}={value}\n" for name, value in part.items()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PGSERVICEFILE", str(file))
        yield {"database_url": "postgresql://?service=points"}


@contextmanager
def postgres_in_a_schema(settings: Settings, folder: Path) -> Iterator[dict[str, str]]:
    with psycopg.connect(settings.owner, autocommit=True) as owner:
        owner.execute("CREATE SCHEMA cell_7")
    options = "?options=-csearch_path%3Dcell_7"
    yield {"database_url": f"{settings.database}{options}", "owner_url": f"{settings.owner}{options}"}


@contextmanager
def postgres_by_tls(settings: Settings, folder: Path) -> Iterator[dict[str, str]]:
    login, host, database = _address(settings)
    file = certificate(folder)
    with in_front_of(int(host.rpartition(":")[2]), file) as port:
        checked = f"sslmode=verify-full&sslrootcert={file}&sslnegotiation=direct"
        yield {"database_url": f"postgresql+psycopg://{login}@127.0.0.1:{port}/{database}?{checked}"}


# --------------------------------------------------------------------------------------------- Redis


@contextmanager
def redis_by_login(settings: Settings, folder: Path) -> Iterator[dict[str, str]]:
    with debians_redis(folder, "redis") as server:
        yield {"redis_url": f"redis://{LOGIN}127.0.0.1:{server.port}/2"}


@contextmanager
def redis_by_socket(settings: Settings, folder: Path) -> Iterator[dict[str, str]]:
    with debians_redis(folder, "redis", f"unixsocket {folder}/redis.sock", "unixsocketperm 777"):
        yield {"redis_url": f"unix://{LOGIN}{folder}/redis.sock?db=1"}


@contextmanager
def redis_by_tls(settings: Settings, folder: Path) -> Iterator[dict[str, str]]:
    file = certificate(folder)
    port = free_port()
    lines = [f"tls-port {port}", f"tls-cert-file {file}", f"tls-key-file {file}", f"tls-ca-cert-file {file}"]
    with debians_redis(folder, "redis", *lines, "tls-auth-clients no"):
        yield {"redis_url": f"rediss://{LOGIN}127.0.0.1:{port}/0?ssl_ca_certs={file}"}


@contextmanager
def redis_by_sentinel(settings: Settings, folder: Path) -> Iterator[dict[str, str]]:
    with sentinels(folder) as found:
        yield {"redis_url": found.url}


@pytest.mark.parametrize(
    ("postgres", "redis"),
    [
        (postgres_by_socket, redis_by_tls),
        (postgres_of_several, redis_by_login),
        (postgres_by_service, redis_by_socket),
        (postgres_in_a_schema, redis_by_sentinel),
        (postgres_by_tls, redis_by_login),
        (postgres_by_pooler, redis_by_socket),
    ],
    ids=lambda kind: kind.__name__,
)
def test_one_command_goes_through_every_process(
    settings: Settings, server_home: Path, programs: Path, postgres: Change, redis: Change
) -> None:
    server_home.chmod(0o755)  # PgBouncer runs as a user of its own
    for name in ("postgres", "redis", "system"):
        (server_home / name).mkdir()
    with (
        postgres(settings, server_home / "postgres") as database,
        redis(settings, server_home / "redis") as cache,
    ):
        given = settings.model_copy(update={**database, **cache, "result_url": cache["redis_url"]})
        system = ProcessGroup(ROOT, data=server_home / "system", settings=given, workers=1, api_for="shop")
        with system as started, Ledger(started) as ledger:
            ledger.tenant(events="all")
            check_client(started)
            check_api(system)
            check_beat(started)
            check_events(system, programs / "pointledger")
            assert not [one for one in examine(started).findings if one.verdict == "danger"]


def check_client(settings: Settings) -> None:
    with PointsClient.connect(settings) as client:
        task_id = client.enqueue(Earn(tenant_id="shop", user_id="anna", amount=5))
        assert client.wait(task_id, SECONDS).state == "applied"


def check_api(system: ProcessGroup) -> None:
    headers = {"Authorization": f"Bearer {system.token_file.read_text().strip()}"}
    api = system.api
    assert api is not None
    wait_until(lambda: is_ready(system.api_url) or api.poll() is not None, "the API is ready")
    assert api.poll() is None, (system._data / "logs" / "api.log").read_text()
    done = httpx.post(
        f"{system.api_url}/points/ben/earn", headers=headers, json={"amount": 3}, timeout=SECONDS
    )
    assert done.status_code == 200, done.text
    found = httpx.get(f"{system.api_url}/points/ben", headers=headers, timeout=SECONDS)
    assert found.json()["data"]["balance"] == 3


def is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def check_beat(settings: Settings) -> None:
    with redis_client.connect(settings) as client:
        wait_until(lambda: seconds_since_beat(client, settings) is not None, "a worker has a message of beat")


def check_events(system: ProcessGroup, pointledger: Path) -> None:
    with Listener(system.settings) as listener:
        assert run(system, pointledger, "relay", "--once", "--json")["sent"] >= 2
        assert {event["data"]["user_id"] for event in listener.listen(2)} >= {"anna", "ben"}
    assert run(system, pointledger, "ingest", "--once", "--json") == {"accepted": 0, "dead": 0, "deferred": 0}


def run(system: ProcessGroup, *command: str | Path) -> dict[str, int]:
    done = subprocess.run(
        command,
        env=system._environment(),
        check=False,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, int] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("fault", ["killed", "stopped", "demoted"])
def test_workers_go_on_with_the_primary_that_the_sentinels_promote(
    settings: Settings, server_home: Path, fault: str
) -> None:
    (server_home / "system").mkdir()
    with sentinels(server_home) as found:
        given = settings.model_copy(update={"redis_url": found.url})
        system = ProcessGroup(ROOT, data=server_home / "system", settings=given, workers=2)
        with system as started, Ledger(started) as ledger, PointsClient.connect(started) as client:
            ledger.tenant()
            check_client(started)
            before = found.primary()
            (old,) = [server for server in found.servers if server.port == before]
            (new,) = [server for server in found.servers if server.port != before]
            strike(fault, old.process.pid, found)
            ids = [client.enqueue(earn(number)) for number in range(20)]
            wait_until(lambda: found.primary() == new.port, "the Sentinels promote the replica", SECONDS)
            assert {client.wait(task_id, SECONDS).state for task_id in ids} == {"applied"}
            wait_until(lambda: new.client.info("replication")["role"] == "master", "a new primary", SECONDS)
            new.client.flushdb()  # what is there from now on was written after the failover
            check_beat(started)
            ids = [client.enqueue(earn(number)) for number in range(20, 40)]
            assert {client.wait(task_id, SECONDS).state for task_id in ids} == {"applied"}
            wait_until(lambda: consumers(new.client.client_list()) >= 2, "both workers wait there", SECONDS)
            assert system.dead() == []
            assert ledger.balance("anna") == 5 + 40


def earn(number: int) -> Earn:
    return Earn(tenant_id="shop", user_id="anna", amount=1, reason=f"number {number}")


def strike(fault: str, pid: int, found: Sentinels) -> None:
    if fault == "demoted":
        wait_until(found.fail_over, "a Sentinel begins a failover")
        return
    os.kill(pid, signal.SIGKILL if fault == "killed" else signal.SIGSTOP)


def consumers(clients: list[dict[str, str]]) -> int:
    """Count the connections that wait for Celery's messages."""
    return sum(client["cmd"] == "brpop" for client in clients)
