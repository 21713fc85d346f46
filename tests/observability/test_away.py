"""While Redis or Postgres is away our own programs say so in a line on stderr, and answer in JSON as ever."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy.engine import make_url

from pointledger.settings import Settings
from tests.api.issuer import Issuer
from tests.api.served import Served, http_settings, serving
from tests.chaos.proxy import Link, Proxy
from tests.cli.conftest import Ran, Run
from tests.client.programs import servers
from tests.environments import stranger
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
    ("acts", "shop"),
    ("tenant", "pause", "shop"),
    ("sweep", "expiry"),
    ("dead", "show", TASK),
    ("outbox",),
    ("audit",),
    ("doctor",),
    ("metrics",),
]
LINES = {"replay": '{"kind": "earn", "tenant_id": "shop", "user_id": "anna", "amount": 1}\n'}
LINES["batch-earn"] = '{"user_id": "anna", "amount": 1}\n'


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("away", NOWHERE)
def test_a_command_answers_in_one_json_document(
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


@pytest.mark.parametrize("process", [("serve", "--port", "0"), ("relay",), ("intake",)])
def test_a_process_that_cannot_start_without_postgres_says_so_in_a_line(
    settings: Settings, tmp_path: Path, process: tuple[str, ...]
) -> None:
    given = http_settings(settings, Issuer(), tmp_path)
    http = {"POINTLEDGER_HTTP_ISSUER": str(given.http_issuer), "POINTLEDGER_HTTP_KEYS": str(given.http_keys)}
    environ = servers(settings) | http | {"POINTLEDGER_DATABASE_URL": NOWHERE["postgres"]}
    ran = program(*process, environ=environ)
    told = [line for line in ran.stderr.splitlines() if not line.startswith("listening on")]
    assert (ran.status, ran.stdout, len(told)) == (1, "", 1), told
    assert told[0].startswith("pointledger: The database does not answer")


def program(*arguments: str, environ: dict[str, str]) -> Ran:
    """The program itself, with its logs."""
    ran = subprocess.run(
        [Path(sys.executable).with_name("pointledger"), *arguments],
        env=stranger(**environ),
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return Ran(ran.returncode, ran.stdout, ran.stderr)


# --------------------------------------------------------------------------------------- the gateway


@pytest.fixture
def postgres(settings: Settings) -> Iterator[Link]:
    proxy = Proxy()
    yield Link(proxy, "postgres", make_url(settings.database).port or 0)
    proxy.stop()


@pytest.fixture
def served(settings: Settings, ledger: Ledger, postgres: Link, tmp_path: Path) -> Iterator[Served]:
    """A gateway that reaches Postgres through the link; the worker does not."""
    issuer = Issuer()
    url = make_url(settings.database).set(host="127.0.0.1", port=postgres.port)
    through = {"database_url": url.render_as_string(hide_password=False)}
    given = http_settings(settings.model_copy(update=through), issuer, tmp_path)
    with working(ledger), serving(given, issuer, working=False) as opened:
        yield opened


def test_the_gateway_says_that_a_command_may_be_done_and_with_the_same_key_it_is_done_once(
    served: Served, postgres: Link, ledger: Ledger
) -> None:
    def earn() -> httpx.Response:
        return served.post("/points/anna/earn", served.till, {"amount": 5}, key="k")

    postgres.cut_commits(1_000)
    unclear = earn()
    assert unclear.status_code == 503
    assert "may be done; ask again, with the same key" in unclear.json()["message"]
    assert unclear.headers["Retry-After"] == "1"
    postgres.heal()
    assert [earn().status_code, earn().status_code] == [200, 200]
    assert ledger.balance("anna") == 5


def test_the_gateway_says_that_the_database_is_away_and_goes_on_when_it_is_back(
    served: Served, postgres: Link
) -> None:
    served.earn("anna", 5)
    postgres.refuse(True)
    for answer in (
        served.get("/points/anna", served.till),
        served.post("/points/anna/earn", served.till, {"amount": 5}),
    ):
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
        assert answer.json()["message"] == "something that is needed is away; ask again"
    postgres.refuse(False)
    served.earn("anna", 5)


def test_what_postgres_rejects_is_no_outage_to_the_gateway(served: Served, ledger: Ledger) -> None:
    with ledger.owner.begin() as owner:
        owner.exec_driver_sql("ALTER TABLE wallets RENAME TO elsewhere")
    asked = httpx.get(f"{served.url}/wallets/anna", headers={"Authorization": f"Bearer {served.till}"})
    assert asked.status_code == 500  # which no description foretells
