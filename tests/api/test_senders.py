"""The audit log records what administrators do by what they are, whatever they are called."""

import json
from typing import Any

import pytest

from pointledger import Clawback, ConfirmDeduction, Freeze, Refund, Unfreeze
from pointledger.domain.commands.records import encode
from pointledger.domain.decisions.audit import is_audited
from pointledger.domain.events.ingested import commands_of
from pointledger.domain.events.producers import producers_from
from pointledger.domain.values.actor import is_machine_name, is_own_name
from pointledger.errors import InvalidProducers, SettingsInvalid
from pointledger.ids import new_id
from pointledger.settings import from_environment
from tests.api.environment import ApiEnvironment
from tests.domain.celery_messages import FIELDS, NOW, message, refused
from tests.domain.cloud_events import NOW as EVENTS_NOW
from tests.domain.cloud_events import TILL, event

ANNA: dict[str, Any] = {"tenant_id": "shop", "user_id": "anna", "amount": 1}
OWN_NAMES = ["job", "policy", "sweep", "operator", "cli:root", "person:anna", "erased:0123"]


def acts(api: ApiEnvironment, user_id: str) -> list[tuple[str, str]]:
    page = api.get(f"/admin/audit?user_id={user_id}", api.admin)
    return [(record["kind"], record["actor"]) for record in page.json()["items"]]


def test_an_administrator_who_freezes_their_own_points_is_recorded(api: ApiEnvironment) -> None:
    api.earn("both", 10)
    token = api.issuer.token("both", scope="points:admin")
    for _ in range(2):
        for path in ("freeze", "unfreeze"):
            done = api.post(f"/admin/points/both/{path}", token, {"amount": 1}, key=path)
            assert done.status_code == 200, done.text
    assert acts(api, "both") == [("unfreeze", "both"), ("freeze", "both")]


def test_what_a_service_freezes_is_not_an_act_of_an_administrator(api: ApiEnvironment) -> None:
    api.earn("frozen", 10)
    assert api.post("/admin/points/frozen/freeze", api.till, {"amount": 1}).status_code == 200
    assert acts(api, "frozen") == []


def test_a_request_cannot_say_what_its_sender_is(api: ApiEnvironment) -> None:
    api.earn("sent", 10)
    body = {"amount": 1, "sender": "service"}
    answer = api.post("/admin/points/sent/freeze", api.admin, body)
    assert answer.status_code == 400
    assert api.ledger.rows("SELECT FROM journal WHERE user_id = 'sent' AND kind = 'freeze'") == []


def test_the_sender_decides_and_without_one_the_name() -> None:
    for kind in (Freeze, Unfreeze):
        audited = {
            (sender, actor): is_audited(kind(**ANNA, actor=actor, sender=sender))
            for sender in (None, "administrator", "service", "user")
            for actor in ("service", "svc:till", "job", "boss", "anna")
        }
        assert {key for key, is_recorded in audited.items() if is_recorded} == {
            (None, "boss"),
            *(("administrator", actor) for actor in ("service", "svc:till", "job", "boss", "anna")),
        }


def test_what_a_person_reverses_at_the_console_is_recorded_and_what_a_service_reverses_is_not() -> None:
    entry = new_id()
    for command in (
        Refund(**ANNA, related_id=entry),
        Clawback(**ANNA, related_id=entry),
        ConfirmDeduction(**ANNA, hold_id=entry),
    ):
        assert not is_audited(command)
        assert is_audited(command.model_copy(update={"actor": "person:boss"}))


def test_a_repetition_from_before_the_upgrade_has_the_same_content() -> None:
    before, after = Freeze(**ANNA), Freeze(**ANNA, sender="administrator")
    assert encode(before, 16).fingerprint == encode(after, 16).fingerprint
    assert encode(before, 16).payload != encode(after, 16).payload


@pytest.mark.parametrize("name", OWN_NAMES)
def test_no_entry_point_takes_a_name_of_the_ledgers_own(
    name: str, api: ApiEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert api.get("/points/anna", api.issuer.token(name, scope="points:admin")).status_code == 401
    reason, error = refused(message(kwargs={**FIELDS, "actor": name}), NOW)
    assert (reason, error.partition(":")[0]) == ("INVALID_COMMAND", "actor")
    key = {"id": "k", "secret": "s" * 32}
    with pytest.raises(InvalidProducers, match="name"):
        producers_from({"producers": [{"name": name, "keys": [key], "tenants": "all"}]})
    services = {name: {"tenants": ["shop"], "kinds": ["earn"]}}
    monkeypatch.setenv("POINTLEDGER_HTTP_SERVICES", json.dumps(services))
    with pytest.raises(SettingsInvalid, match="http_services"):
        from_environment()


def test_services_names_are_no_persons_but_senders_may_have_them() -> None:
    for name in ("service", "svc:till"):
        assert is_machine_name(name)
        assert not is_own_name(name)
        assert message(kwargs={**FIELDS, "actor": name}).command(NOW).actor == name


def test_a_producer_is_a_service_whatever_it_is_called() -> None:
    raw = json.dumps(event(kind="freeze", data={"amount": 1})).encode()
    (frozen,) = commands_of(raw, TILL.model_copy(update={"kinds": ("freeze",)}), EVENTS_NOW)
    assert isinstance(frozen, Freeze)
    assert (frozen.sender, is_audited(frozen)) == ("service", False)
