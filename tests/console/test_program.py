"""The page of the program answers how it is set up, and changes it with the checks of the HTTP API."""

import json
import re
from collections.abc import Callable
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from pydantic import SecretStr

from pointledger.settings import Settings
from pointledger.storage.ledger import program
from tests.console.browsing import Browsing, Html
from tests.console.environment import ConsoleEnvironment, open_console
from tests.console.programs import reviewed

Browse = Callable[[str], Browsing]
PAGE = "/console/other/program"
SECRET = "a secret of more than 32 characters, which no page shows"


def _config(console: ConsoleEnvironment) -> Any:
    with console.ledger.database.connect() as connection:
        return program.tenant(connection, "other")


def _set(console: ConsoleEnvironment, **fields: Any) -> None:
    console.ledger.tenant("other", **fields)


def test_the_configuration_is_shown_with_what_is_set(console: ConsoleEnvironment, browse: Browse) -> None:
    _set(console, hold_grace_days=11)
    answer = browse("elsewhere").get(PAGE)
    assert '<dd class="set">11</dd>' in answer.text
    assert '<dd class="quiet">UTC</dd>' in answer.text
    assert "Version" in Html(answer.text).words


def test_every_moment_of_versions_is_in_the_tenants_zone(
    console: ConsoleEnvironment, browse: Browse, rule: str
) -> None:
    browsing = browse("admin")
    for page in ("/console/shop/program", browsing.html("/console/shop/rules").links[rule]):
        times = re.findall(r'<time datetime="([^"]+)"[^>]*>([^<]+)</time>', browsing.get(page).text)
        assert times, page
        for utc, shown in times:
            local = datetime.fromisoformat(utc).astimezone(ZoneInfo("America/New_York"))
            assert shown == f"{local:%Y-%m-%d %H:%M:%S}", page


def test_a_change_is_reviewed_then_saved_with_a_reason_and_audited(
    console: ConsoleEnvironment, browse: Browse
) -> None:
    _set(console, hold_grace_days=7)
    before = _config(console)
    browsing = browse("elsewhere")
    review = reviewed(browsing, PAGE, hold_grace_days="21")
    assert "hold_grace_days 7 21 changed" in review.words
    assert _config(console) == before, "a review changes nothing"
    refused = browsing.send(review.form("/save"), reason="")
    assert refused.status_code == 422 and _config(console) == before
    saved = Html(browsing.send(review.form("/save"), reason="three weeks of returns").text)
    assert "is saved and counts now" in saved.words
    assert "person:elsewhere three weeks of returns hold_grace_days 7 → 21" in saved.words
    assert _config(console) == before.model_copy(update={"hold_grace_days": 21}), "and nothing else"
    act = console.ledger.client.audit_log("other", kind="tenant-put")[0]
    assert (act["actor"], act["reason"]) == ("person:elsewhere", "three weeks of returns")
    compared = browsing.html(saved.links["Compare"])
    assert "hold_grace_days 7 21 changed" in compared.words


def test_a_change_of_a_configuration_that_is_no_longer_the_latest_is_refused(
    console: ConsoleEnvironment, browse: Browse
) -> None:
    _set(console, hold_grace_days=7)
    browsing = browse("elsewhere")
    review = reviewed(browsing, PAGE, hold_grace_days="8")
    _set(console, hold_grace_days=7, refund_grace_days=3)
    late = browsing.send(review.form("/save"), reason="too late")
    assert late.status_code == 409 and "Another version was saved" in Html(late.text).words
    assert "refund_grace_days 3 30 changed" in Html(late.text).words
    assert (_config(console).hold_grace_days, _config(console).refund_grace_days) == (7, 3)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"timezone": "Mars/Olympus"}, "timezone"),
        ({"exchange_rate": "0"}, "greater than or equal to 1"),
        ({"currency": "XXX"}, "currency"),
        ({"expiry_mode": "rolling"}, "default_expiry_days"),
        ({"max_balance": "a lot"}, "Input should be a valid integer"),
        ({"expires_not_before": "tomorrow"}, "a moment is written like"),
    ],
)
def test_what_is_wrong_is_said_as_the_api_says_it_and_changes_nothing(
    console: ConsoleEnvironment, browse: Browse, fields: dict[str, str], said: str
) -> None:
    before = _config(console)
    browsing = browse("elsewhere")
    form = browsing.html(f"{PAGE}/edit").form("/edit")
    answer = browsing.send(form, **({"to": "review"} | fields))
    html = Html(answer.text)
    assert answer.status_code == 422 and said in html.words
    assert {name: html.form("/edit").fields[name] for name in fields} == fields
    assert _config(console) == before


@pytest.mark.parametrize("name", ["tenant_id", "former_zones"])
def test_what_the_ledger_keeps_itself_cannot_be_written(
    console: ConsoleEnvironment, browse: Browse, name: str
) -> None:
    browsing = browse("elsewhere")
    form = browsing.html(f"{PAGE}/edit?as=json").form("/edit")
    document = json.loads(form.fields["json"])
    assert name not in document
    value: Any = "shop" if name == "tenant_id" else []
    answer = browsing.send(form, to="review", json=json.dumps(document | {name: value}))
    assert answer.status_code == 422 and "the ledger keeps it" in Html(answer.text).words


def test_only_administrators_change_the_program(browse: Browse) -> None:
    for role in ("support", "marketing", "finance", "operator"):
        browsing = browse(role)
        assert "Edit" not in browsing.html("/console/shop/program").links
        assert browsing.get("/console/shop/program/edit").status_code == 403


def test_services_are_shown_to_operators_with_the_ids_of_their_keys_and_no_secret(settings: Settings) -> None:
    producers = {
        "producers": [
            {"name": "svc:till", "keys": [{"id": "k-2026", "secret": SECRET}], "tenants": ["shop"],
             "per_minute": 600},
            {"name": "svc:far", "keys": [{"id": "k-far", "secret": SECRET}], "tenants": ["elsewhere"]},
        ]
    }  # fmt: skip
    more: dict[str, Any] = {
        "ingest_keys": SecretStr(json.dumps(producers)),
        "http_services": {
            "svc:app": {"tenants": ["shop", "elsewhere"], "kinds": ["read", "spend"]},
            "svc:other": {"tenants": ["elsewhere"], "kinds": ["read"]},
        },
    }
    with open_console(settings, worker=False, **more) as console:
        console.ledger.tenant("shop")
        browsing = Browsing(console)
        browsing.log_in("operator")
        answer = browsing.get("/console/shop/program")
        words = Html(answer.text).words
        assert "svc:app requests read , spend" in words or "svc:app requests read, spend" in words
        assert "svc:till events apply-rule 600 k-2026" in words
        assert "svc:far" not in words and "svc:other" not in words and "elsewhere" not in words
        assert SECRET not in answer.text
        marketing = Browsing(console)
        marketing.log_in("marketing")
        assert "svc:till" not in marketing.get("/console/shop/program").text


def test_a_malformed_file_of_producers_is_said_and_the_page_goes_on(settings: Settings) -> None:
    with open_console(settings, worker=False, ingest_keys=SecretStr("{}")) as console:
        console.ledger.tenant("shop")
        browsing = Browsing(console)
        browsing.log_in("operator")
        words = browsing.html("/console/shop/program").words
        assert "The file of producers is malformed" in words and "Versions" in words
