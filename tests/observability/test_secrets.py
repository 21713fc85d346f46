"""No log or error contains a secret: the tests plant canaries and search for them."""

import io
import json
import logging
import sys
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
from celery import Celery
from pydantic import SecretStr

from pointledger import Earn
from pointledger.logs import Log
from pointledger.observability.log_lines import log_in_lines, masking
from pointledger.settings import Settings
from pointledger_demo.processes import ProcessGroup
from tests.cli.conftest import Run
from tests.faults.conftest import ROOT
from tests.ledger import Ledger
from tests.logged import kept_configuration
from tests.waiting import wait_until

CANARY = "c4nary/with:odd@letters"
IN_URL = quote(CANARY, safe="")


def found(text: str) -> list[str]:
    return [secret for secret in (CANARY, IN_URL, "c4nary") if secret in text]


@pytest.fixture
def planted() -> Settings:
    """Settings with a canary for every secret."""
    return Settings(
        database_url=f"postgresql://me:{IN_URL}@127.0.0.1:1/none",
        owner_url=f"postgresql://owner:{IN_URL}@127.0.0.1:1/none",
        redis_url=f"redis://:{IN_URL}@127.0.0.1:1/0",
        broker_url=f"amqp://me:{IN_URL}@127.0.0.1:1//",
        erasure_key=SecretStr(CANARY),
        ingest_keys=SecretStr(json.dumps({"producers": [{"keys": [{"id": "1", "secret": CANARY}]}]})),
    )


def test_secrets_are_masked_in_all_lines(planted: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.StringIO()
    monkeypatch.setattr(sys, "stderr", written)
    with kept_configuration():
        log_in_lines(planted)
        log = Log("pointledger.tests")
        for url in (planted.database_url, planted.redis_url, planted.broker_url):
            logging.getLogger("kombu").warning("cannot connect to %s", url)
            log.error("away", url=url, user="anna")
        log.error("key", value=CANARY, header=f"Authorization: Bearer {'x' * 40}.c4nary.y")
        try:
            raise ConnectionError(f"no answer from {planted.redis_url}")
        except ConnectionError as error:
            log.error("bug", exc_info=error)
            logging.getLogger("celery").exception("task failed")
    lines = written.getvalue()
    assert found(lines) == []
    assert "***" in lines
    assert "anna" in lines, "only secrets are masked"
    assert "ConnectionError" in lines


def test_passwords_in_other_urls_are_masked() -> None:
    mask = masking(Settings.model_construct())
    assert mask("redis://user:c4nary@host:6379/0 is away") == "redis://user:***@host:6379/0 is away"
    assert mask("http://host/path: 404 @ noon") == "http://host/path: 404 @ noon"


@pytest.mark.parametrize(
    "command",
    [
        ("doctor",),
        ("migrate",),
        ("relay", "--once"),
        ("ingest", "--once"),
        ("metrics",),
        ("accounts", "shop"),
    ],
)
def test_no_command_shows_a_secret_when_servers_are_away(
    run: Run, planted: Settings, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    for name in ("database_url", "owner_url", "redis_url", "broker_url"):
        monkeypatch.setenv(f"POINTLEDGER_{name.upper()}", getattr(planted, name))
    monkeypatch.setenv("POINTLEDGER_ERASURE_KEY", CANARY)
    for ran in (run(*command), run(*command, "--json")):
        assert ran.status != 0
        assert found(ran.stdout + ran.stderr) == []


@pytest.mark.parametrize("value", [f"postgresql://me:{CANARY}@host:port/x", f"{CANARY}://nonsense"])
def test_no_malformed_url_is_shown(run: Run, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("POINTLEDGER_DATABASE_URL", value)
    ran = run("accounts", "shop", "--json")
    assert ran.status != 0
    assert found(ran.stdout + ran.stderr) == []


def test_logs_of_running_processes_contain_no_secret(
    ledger: Ledger, tmp_path: Path, planted: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets = [
        password
        for url in (ledger.settings.database, ledger.settings.redis)
        if (password := urlsplit(url).password)
    ]
    assert secrets, "the servers have passwords"
    monkeypatch.setenv("POINTLEDGER_ERASURE_KEY", CANARY)
    running = ProcessGroup(ROOT, data=tmp_path, settings=ledger.settings, workers=1)
    running.start()
    try:
        ledger.client.wait(ledger.client.enqueue(Earn(tenant_id="shop", user_id="anna", amount=5)), 30)
        with Celery(broker=ledger.settings.broker, set_as_current=False) as app:
            invalid = app.send_task("points.earn", kwargs={"amount": CANARY}, queue="points.commands")
            assert ledger.client.wait(invalid.id, 30).state == "refused"
    finally:
        running.stop()
    lines = "".join(log.read_text() for log in (tmp_path / "logs").iterdir())
    assert "drained" in lines
    assert {path.stat().st_mode & 0o077 for path in [tmp_path / "logs", *(tmp_path / "logs").iterdir()]} == {
        0
    }
    assert found(lines) + [secret for secret in secrets if secret in lines] == []


def test_a_worker_without_its_broker_logs_no_password(
    ledger: Ledger, tmp_path: Path, planted: Settings
) -> None:
    unreachable = ledger.settings.model_copy(
        update={"redis_url": planted.redis_url, "broker_url": planted.broker_url}
    )
    running = ProcessGroup(ROOT, data=tmp_path, settings=unreachable, workers=1)
    log = tmp_path / "logs" / "worker-1.log"
    running.start()
    try:
        wait_until(lambda: log.exists() and "broker_is_away" in log.read_text(), "the worker logs the error")
    finally:
        running.stop()
    assert found("".join(log.read_text() for log in (tmp_path / "logs").iterdir())) == []


def test_printed_settings_show_no_secret(planted: Settings) -> None:
    assert found(repr(planted) + str(planted)) == []
