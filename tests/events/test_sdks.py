"""CloudEvents' SDKs for Python and JavaScript, in environments without this project: the ledger accepts their
events, and they read the ledger's events."""

import json
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from pydantic import SecretStr

from pointledger import Earn
from pointledger.client.acceptor import Acceptance
from pointledger.domain.events.outgoing import EVENT_TYPES
from pointledger.events.ingest import Ingest
from pointledger.settings import Settings
from pointledger.storage.events import reminders
from pointledger.storage.ledger import program
from pointledger.storage.queue import dead_letters
from tests import environments
from tests.events.listener import Listener, relay_all
from tests.events.sender import NEW_KEY, Sender, opened_ingest_queue, producers
from tests.faults.every_kind import prepare_scenarios
from tests.ledger import Ledger, data_of

SDKS = Path(__file__).with_name("sdks")
CASES = {
    "object", "typed", "charset", "suffix", "schema", "bytes", "text", "trace", "earn", "parameters",
    "batch1", "batch2",
}  # fmt: skip
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
EVERY_CHARACTER = 'aZ09_.:@-|+/ %?#"\\é😀'  # of many kinds, because ids can have all but control characters

pytestmark = pytest.mark.long

Sdk = Callable[..., Any]


@pytest.fixture(params=["cloudevents", "cloudevents-1", "cloudevents-js"])
def sdk(request: pytest.FixtureRequest, settings: Settings) -> Sdk:
    """Runs `produce` or `consume` with one SDK, and returns its output."""
    name = request.param

    def run(script: str, *arguments: object) -> Any:
        if name.endswith("-js"):
            source = (SDKS / f"{script}.mjs").read_text()
            command, folder = ["node", "--input-type=module", "-"], environments.node(name)
        else:
            source = (SDKS / f"{script}.py").read_text()
            command, folder = [str(environments.python(name)), "-"], Path("/")
        done = subprocess.run(
            [*command, settings.events, *map(str, arguments)],
            input=source,
            cwd=folder,
            env=environments.clean_environ(),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


@pytest.fixture
def settings(settings: Settings, owner_url: str) -> Settings:
    """Settings that every command kind can be applied with."""
    return settings.model_copy(update={"owner_url": owner_url, "erasure_key": SecretStr("k" * 32)})


def test_every_form_of_an_sdks_event_is_accepted_or_rejected_with_a_reason(ledger: Ledger, sdk: Sdk) -> None:
    ledger.rule(
        name="a point per euro",
        event_type="basket.paid",
        base={"kind": "per_unit", "field": "amount_minor", "per": 100, "points": 1},
    )
    with Sender(ledger.settings):
        sent = sdk("produce", NEW_KEY)
    assert set(sent) == CASES
    counts = ingest_all(ledger)
    ledger.drain()

    outcomes = {case: ledger.client.outcome(task_id) for case, task_id in sent.items()}
    assert {case: data_of(outcome)["points_earned"] for case, outcome in outcomes.items()} == dict.fromkeys(
        CASES, 19
    )
    assert counts["accepted"] == len(CASES) - 1, "one message has two of them"
    extensions = dict(ledger.rows("SELECT user_id, extensions FROM journal WHERE extensions IS NOT NULL"))
    kept = {
        "traceparent": TRACE,
        "tracestate": "a=b",
        "partitionkey": "anna",
        "sampledrate": 30,
        "cold": True,
    }
    assert extensions == {"trace": kept}

    with ledger.database.connect() as connection:
        errors = {dead_letter.reason: dead_letter.error for dead_letter in dead_letters.find(connection)}
    assert set(errors) == {"BINARY_MODE", "INVALID_EVENT"}
    assert "send structured mode" in errors["BINARY_MODE"]
    assert errors["INVALID_EVENT"].startswith("datacontenttype: ")


def ingest_all(ledger: Ledger) -> dict[str, int]:
    """Ingest until the queue is empty."""
    acceptance = Acceptance(ledger.database, ledger.doorbells, ledger.settings)
    ingest = Ingest(ledger.database, acceptance, producers())
    ingest_queue = opened_ingest_queue(ledger.settings)
    counts = ingest.step(ingest_queue, wait_seconds=5)
    while more := ingest.step(ingest_queue, wait_seconds=0.5):
        counts += more
    ingest_queue.close()
    return counts


def test_every_event_is_read_by_the_sdks(ledger: Ledger, listener: Listener, sdk: Sdk) -> None:
    commands = prepare_scenarios(ledger)
    ledger.tenant(points_type="cash_equivalent", transfer_enabled=True, default_expiry_days=365, events="all")
    ledger.apply(*commands)
    for tenant in (EVERY_CHARACTER, "erased:" + "0" * 32, "a" * 64):
        ledger.tenant(tenant, events="all")
        earn = Earn(
            tenant_id=tenant, user_id=EVERY_CHARACTER, amount=10**15, extensions={"traceparent": TRACE}
        )
        assert ledger.apply(earn)[0].state == "applied"
    write_reminders(ledger)
    sent = relay_all(ledger.settings).events

    received = sdk("consume", sent)

    assert {event["type"] for event in received} == set(EVENT_TYPES)
    assert len({event["id"] for event in received}) == sent
    for event in received:
        data = event["data"]
        assert event["specversion"] == "1.0"
        assert unquote(event["source"]) == f"/pointledger/{data['tenant_id']}"
        assert event.get("subject") == data.get("user_id")
        assert event["datacontenttype"] == "application/json"
        recorded = data.get("transaction", {}).get("created_at", event["time"])
        assert abs(moment(event["time"]) - moment(recorded)) < timedelta(milliseconds=1), (
            "JavaScript has whole milliseconds"
        )
    assert {event["data"]["tenant_id"] for event in received if event.get("traceparent") == TRACE} == {
        EVERY_CHARACTER, "erased:" + "0" * 32, "a" * 64
    }  # fmt: skip


def write_reminders(ledger: Ledger) -> None:
    """Write the events that have no command."""
    today = datetime.now(UTC).date()
    with ledger.database.begin() as connection:
        shop = program.tenant(connection, "shop")
        reminders.write_expiring(connection, shop, today, "", 100)
        connection.exec_driver_sql(
            """INSERT INTO closed_windows (tenant_id, local_date, users, points)
               VALUES ('shop', %(day)s, 1, 7)""",
            {"day": today},
        )
        reminders.write_window_closed(connection, shop, today)


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)
