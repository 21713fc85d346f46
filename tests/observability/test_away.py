"""While Redis or Postgres is away, programs report it in one line on stderr and still print JSON."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy.engine import make_url

from pointledger.settings import Settings
from tests.api.environment import ApiEnvironment, http_settings, open_api
from tests.api.issuer import Issuer
from tests.chaos.proxy import Link, Proxy
from tests.cli.conftest import Ran, Run
from tests.client.programs import servers
from tests.environments import clean_environ
from tests.ledger import Ledger
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


@pytest.mark.parametrize("process", [("serve", "--port", "0"), ("relay",), ("ingest",)])
def test_a_process_reports_in_one_line_that_postgres_is_away(
    settings: Settings, tmp_path: Path, process: tuple[str, ...]
) -> None:
    given = http_settings(settings, Issuer(), tmp_path)
    http = {"POINTLEDGER_HTTP_ISSUER": str(given.http_issuer), "POINTLEDGER_HTTP_KEYS": str(given.http_keys)}
    environ = servers(settings) | http | {"POINTLEDGER_DATABASE_URL": NOWHERE["postgres"]}
    ran = program(*process, environ=environ)
    lines = [line for line in ran.stderr.splitlines() if not line.startswith("listening on")]
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


# ------------------------------------------------------------------------------------------- the API


@pytest.fixture
def postgres(settings: Settings) -> Iterator[Link]:
    proxy = Proxy()
    yield Link(proxy, "postgres", make_url(settings.database).port or 0)
    proxy.stop()


@pytest.fixture
def api(settings: Settings, ledger: Ledger, postgres: Link, tmp_path: Path) -> Iterator[ApiEnvironment]:
    """An API that reaches Postgres through the link. The worker reaches it directly."""
    issuer = Issuer()
    url = make_url(settings.database).set(host="127.0.0.1", port=postgres.port)
    through = {"database_url": url.render_as_string(hide_password=False)}
    given = http_settings(settings.model_copy(update=through), issuer, tmp_path)
    with working(ledger), open_api(given, issuer, worker=False) as opened:
        yield opened


def test_the_api_reports_an_unknown_outcome_and_the_same_key_applies_once(
    api: ApiEnvironment, postgres: Link, ledger: Ledger
) -> None:
    def earn() -> httpx.Response:
        return api.post("/points/anna/earn", api.till, {"amount": 5}, key="k")

    postgres.cut_commits(1_000)
    unclear = earn()
    assert unclear.status_code == 503
    assert "may be done; retry with the same key" in unclear.json()["message"]
    assert unclear.headers["Retry-After"] == "1"
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
