"""The readme's consumer and what it says of events."""

import json
import re
from typing import Any

import pytest

from pointledger import Earn
from pointledger.domain.events.outgoing import EVENT_TYPES
from pointledger.settings import Settings
from tests.cli.conftest import Run
from tests.docs.test_readme import README, blocks
from tests.events.listener import Listener, relay_all
from tests.events.sender import Sender
from tests.ledger import Ledger


def block_with(text: str) -> str:
    return next(block for block in blocks("python") if text in block)


def test_the_readmes_consumer_hears_events(
    ledger: Ledger,
    listener: Listener,
    settings: Settings,
    shop: dict[str, Any],
    capsys: pytest.CaptureFixture[str],
) -> None:
    ledger.apply(Earn(**shop, amount=5))
    relay_all(settings)
    consumer = block_with('Queue("points.events"').replace("redis://127.0.0.1:6379/0", settings.events)
    exec(consumer, {})
    assert "anna points.earned 1" in capsys.readouterr().out


def test_the_readmes_producer_is_understood(
    ledger: Ledger, settings: Settings, shop: dict[str, Any], run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.rule(
        name="a point per euro",
        event_type="basket.paid",
        base={"kind": "per_unit", "field": "amount_minor", "per": 100, "points": 1},
    )
    keys = next(block for block in blocks("json") if '"producers"' in block)
    monkeypatch.setenv("POINTLEDGER_INTAKE_KEYS", keys)
    producer = block_with("points.intake").replace("redis://127.0.0.1:6379/0", settings.events)
    with Sender(settings):
        exec(producer, {})
        assert run("intake", "--once", "--json").json == {"accepted": 1, "dead": 0, "held": 0}
    ledger.drain()
    assert ledger.balance("anna") == 19


def test_every_type_of_event_stands_in_the_readme() -> None:
    table = README.split("## Events out")[1].split("```json")[0]
    assert set(EVENT_TYPES) <= set(re.findall(r"`([a-z]+\.[a-z_]+)`", table))


def test_the_readmes_event_looks_like_one(ledger: Ledger, listener: Listener, shop: dict[str, Any]) -> None:
    shown = json.loads(next(block for block in blocks("json") if "specversion" in block))
    ledger.apply(Earn(**shop, amount=5))
    relay_all(ledger.settings)
    (event,) = listener.listen(1)
    assert set(shown) == set(event)
    assert set(shown["data"]) == set(event["data"])
    assert set(shown["data"]["transaction"]) - {"..."} <= set(event["data"]["transaction"])
