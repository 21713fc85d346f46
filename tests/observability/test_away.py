"""While Redis or Postgres is away, programs report it in one line on stderr and still print JSON."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from sqlalchemy import make_url

from pointledger.settings import Settings
from tests.api.environment import ApiEnvironment, http_settings, open_api
from tests.api.issuer import Issuer
from tests.chaos.proxy import Link
from tests.cli.conftest import Ran, Run
from tests.client.programs import servers
from tests.environments import clean_environ
from tests.ledger import Ledger
from tests.links import link_to, through
from tests.waiting import wait_until
from tests.working import working

NOWHERE = {"redis": "redis://127.0.0.1:1/0", "postgres": "postgresql://me:secret@127.0.0.1:1/none"}
TASK = "01M7YS5T0G1V9RJ7Y6C6V2Q3XA"
EARN = '{"tenant_id": "shop", "user_id": "anna", "amount": 1}'

COMMANDS: list[tuple[str, ...]] = [
    ("enqueue", "earn", EARN),
    ("enqueue", "earn", EARN, "--wait", "0.1"),
    ("outcome", TASK),
    ("cancel", TASK),
    ("replay", "-"),
    ("batch-earn", "shop", "-", "--key", "k"),
    ("account", "shop", "anna"),
    ("export", "shop", "anna"),
    ("audit-log", "shop"),
    ("tenant", "pause", "shop"),
    ("jobs", "expire"),
    ("dead", "show", TASK),
    ("outbox",),
    ("verify",),
    ("doctor",),
    ("metrics",),
]
LINES = {"replay": '{"kind": "earn", "tenant_id": "shop", "user_id": "anna", "amount": 1}\n'}
LINES["batch-earn"] = '{"user_id": "anna", "amount": 1}\n'


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("away", NOWHERE)
def test_a_command_prints_one_json_document(
    run: Run, ledger: Ledger, monkeypatch: pytest.MonkeyPatch, away: str, command: tuple[str, ...]
) -> None:
    ledger.tenant()
    name = {"redis": "POINTLEDGER_REDIS_URL", "postgres": "POINTLEDGER_DATABASE_URL"}[away]
    monkeypatch.setenv(name, NOWHERE[away])
    ran = run(*command, "--json", stdin=LINES.get(command[0]))
    assert isinstance(json.loads(ran.stdout), dict | list)
    if away == "postgres" and command[0] != "doctor":
        assert ran.status == 1
        assert "The database does not answer" in ran.json["error"]
        assert ran.stderr == f"pointledger: {ran.json['error']}\n"
    else:
        assert ran.stderr == "" or ran.json["error"] in ran.stderr


@pytest.mark.parametrize("process", [("relay", "--once"), ("ingest", "--once")])
def test_a_process_that_runs_once_reports_in_one_line_that_postgres_is_away(
    settings: Settings, process: tuple[str, ...]
) -> None:
    environ = servers(settings) | {"POINTLEDGER_DATABASE_URL": NOWHERE["postgres"]}
    ran = program(*process, environ=environ)
    lines = ran.stderr.splitlines()
    assert (ran.status, ran.stdout, len(lines)) == (1, "", 1), lines
    assert lines[0].startswith("pointledger: The database does not answer")


def program(*arguments: str, environ: dict[str, str]) -> Ran:
    """Run the program as a process, with its logs."""
    ran = subprocess.run(
        [Path(sys.executable).with_name("pointledger"), *arguments],
        env=clean_environ(**environ),
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return Ran(ran.returncode, ran.stdout, ran.stderr)


# --------------------------------------------------------------------------------- before Postgres is there


@contextmanager
def process_without_postgres(
    settings: Settings, link: Link, log: Path, program: str, *arguments: str, **more: str
) -> Iterator[Callable[[], str]]:
    """Run a process that reaches Postgres through the link, which refuses. Yield what reads its log."""
    url = make_url(settings.database).set(host="127.0.0.1", port=link.port)
    through = {
        "POINTLEDGER_DATABASE_URL": url.render_as_string(hide_password=False),
        "POINTLEDGER_ALLOW_UNSAFE": '["postgres-durability"]',
    }
    link.refuse(True)
    with log.open("wb") as sink:
        process = subprocess.Popen(
            [Path(sys.executable).with_name(program), *arguments],
            env=clean_environ(**servers(settings) | through | more),
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
        )
    try:
        wait_until(lambda: "database_is_away" in log.read_text(), "it says what it waits for")
        yield log.read_text
        assert process.poll() is None
    finally:
        process.terminate()
        assert process.wait(60) in (0, -signal.SIGTERM), "uvicorn ends with the signal"
    assert log.read_text().count("database_is_away") == 1
    assert "The database does not answer" in log.read_text(), "with the reason"
    assert "Traceback" not in log.read_text()


def status_of(url: str) -> int:
    try:
        return httpx.get(url, timeout=30).status_code
    except httpx.TransportError:  # of a connection that waits while one server takes the place of the other
        return 0


def test_the_api_waits_for_postgres_and_says_so(
    settings: Settings, ledger: Ledger, postgres: Link, tmp_path: Path
) -> None:
    given = http_settings(settings, Issuer(), tmp_path)
    http = {"POINTLEDGER_HTTP_ISSUER": str(given.http_issuer), "POINTLEDGER_HTTP_KEYS": str(given.http_keys)}
    arguments = ("pointledger", "serve", "--port", "0", "--admin-port", "0")
    with process_without_postgres(settings, postgres, tmp_path / "log", *arguments, **http) as log:
        url, for_operators = (line.split()[-1].removesuffix("/metrics") for line in log().splitlines()[:2])
        for each in (url, for_operators):
            assert [status_of(f"{each}/{path}") for path in ("healthz", "readyz")] == [200, 503]
        waits = httpx.post(f"{url}/points/anna/earn", json={"amount": 5})
        assert (waits.status_code, waits.headers["Retry-After"]) == (503, "1")
        assert "waits for the database" in waits.json()["message"]
        postgres.refuse(False)
        for each in (url, for_operators):
            wait_until(lambda each=each: status_of(f"{each}/readyz") == 200, "it is ready")  # type: ignore[misc]
        assert httpx.post(f"{url}/points/anna/earn", json={"amount": 5}).status_code == 401


@pytest.mark.parametrize(
    "command",
    [
        ("pointledger", "relay"),
        ("pointledger", "ingest"),
        ("pointledger", "worker"),
        ("celery", "-A", "workers", "worker"),
    ],
    ids=" ".join,
)
def test_a_process_waits_for_postgres(
    settings: Settings, ledger: Ledger, postgres: Link, tmp_path: Path, command: tuple[str, ...]
) -> None:
    keys = tmp_path / "keys.json"
    keys.write_text('{"producers": []}')
    more = {"POINTLEDGER_INGEST_KEYS_FILE": str(keys)}
    with process_without_postgres(settings, postgres, tmp_path / "log", *command, **more) as log:
        postgres.refuse(False)
        wait_until(lambda: "database_is_back" in log(), "it goes on")


# ------------------------------------------------------------------------------------------- the API


@pytest.fixture
def postgres(settings: Settings) -> Iterator[Link]:
    with link_to(settings.database) as link:
        yield link


@pytest.fixture
def api(settings: Settings, ledger: Ledger, postgres: Link, tmp_path: Path) -> Iterator[ApiEnvironment]:
    """An API that reaches Postgres through the link. The worker reaches it directly."""
    issuer = Issuer()
    linked = settings.model_copy(update={"database_url": through(settings.database, postgres)})
    given = http_settings(linked, issuer, tmp_path)
    with working(ledger), open_api(given, issuer, worker=False) as opened:
        yield opened


def test_the_api_reports_an_unknown_outcome_and_the_same_key_applies_once(
    api: ApiEnvironment, postgres: Link, ledger: Ledger
) -> None:
    def earn() -> httpx.Response:
        return api.post("/points/anna/earn", api.till, {"amount": 5}, key="k")

    api.earn("ben", 1)  # opens a connection
    port, postgres.port_of_server = postgres.port_of_server, 1  # the next attempt cannot connect
    postgres.cut_commits(1_000)
    unclear = earn()
    assert unclear.status_code == 503
    assert "may be done; retry with the same key" in unclear.json()["message"]
    assert unclear.headers["Retry-After"] == "1"
    postgres.port_of_server = port
    postgres.heal()
    assert [earn().status_code, earn().status_code] == [200, 200]
    assert ledger.balance("anna") == 5


def test_the_api_reports_a_database_that_is_away_and_recovers(api: ApiEnvironment, postgres: Link) -> None:
    api.earn("anna", 5)
    postgres.refuse(True)
    for answer in (
        api.get("/points/anna", api.till),
        api.post("/points/anna/earn", api.till, {"amount": 5}),
    ):
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
        assert answer.json()["message"] == "a required service is unavailable; retry"
    postgres.refuse(False)
    api.earn("anna", 5)


def test_an_sql_error_is_no_outage_to_the_api(api: ApiEnvironment, ledger: Ledger) -> None:
    with ledger.owner.begin() as owner:
        owner.exec_driver_sql("ALTER TABLE wallets RENAME TO elsewhere")
    response = httpx.get(f"{api.url}/wallets/anna", headers={"Authorization": f"Bearer {api.till}"})
    assert response.status_code == 500  # the API's description has no 500, so `api` cannot check it
