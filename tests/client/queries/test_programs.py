"""Rules with what they grant, and the versions of rules and configuration with who saved them."""

from typing import Any

import pytest

from pointledger import Actor, ApplyRule
from pointledger.client.queries.console import ConsoleQueries
from pointledger.domain.program.rule import rule_from
from pointledger.domain.program.tenant import tenant_from
from pointledger.errors import InvalidCommand, TenantMissing
from pointledger.ids import new_id, show_id
from pointledger.storage.ledger import program
from tests.ledger import Ledger

EVA, OLE = Actor("person:eva", "a campaign"), Actor("person:ole", None)
ALWAYS: dict[str, Any] = {"event_type": "basket.paid", "points": 7}


def put_rule(ledger: Ledger, actor: Actor, **fields: Any) -> str:
    with ledger.database.begin() as connection:
        return show_id(program.put_rule(connection, "shop", rule_from(ALWAYS | fields), actor).id)


def test_rules_have_their_state_and_are_in_the_order_of_evaluation(
    ledger: Ledger, console: ConsoleQueries
) -> None:
    put_rule(ledger, EVA, name="now", priority=5)
    put_rule(ledger, EVA, name="later", priority=4, valid={"from": "2999-01-01T00:00:00"})
    put_rule(ledger, EVA, name="over", priority=3, valid={"until": "2017-01-01T00:00:00"})
    put_rule(ledger, EVA, name="within", priority=2, valid={"from": "2017-01-01T00:00:00", "weekdays": [1]})
    put_rule(ledger, EVA, name="off", enabled=False)
    assert [(line.rule.body.name, line.state, line.times, line.points) for line in console.rules("shop")] == [
        ("now", "active", 0, 0),
        ("later", "scheduled", 0, 0),
        ("over", "ended", 0, 0),
        ("within", "active", 0, 0),
        ("off", "disabled", 0, 0),
    ]


def test_the_grants_of_all_versions_of_a_rule_count_together(ledger: Ledger, console: ConsoleQueries) -> None:
    for points in (7, 9):
        put_rule(ledger, EVA, name="basket", points=points)
        ledger.apply(ApplyRule(tenant_id="shop", user_id="anna", event_type="basket.paid"))
    (line,) = console.rules("shop")
    assert (line.rule.version, line.times, line.points) == (2, 2, 16)


def test_the_versions_of_a_rule_say_who_saved_them_and_why(ledger: Ledger, console: ConsoleQueries) -> None:
    rule_id = put_rule(ledger, EVA, name="basket")
    put_rule(ledger, OLE, name="visit")
    put_rule(ledger, OLE, name="basket", points=9)
    put_rule(ledger, OLE, name="basket", points=9)
    newest, oldest = console.rule_versions("shop", rule_id)
    assert [(v.version, v.actor, v.reason) for v in (newest, oldest)] == [
        (2, "person:ole", None),
        (1, "person:eva", "a campaign"),
    ]
    assert (oldest.in_force_from, newest.in_force_from) == (None, newest.saved_at)
    assert [v.content["award"]["base"]["points"] for v in (newest, oldest)] == [9, 7]
    assert console.rule_versions("shop", rule_id, limit=1) == [newest]
    assert console.rule_versions("shop", rule_id, before=2) == [oldest]


def test_the_versions_of_the_configuration_say_who_saved_them_and_why(
    ledger: Ledger, console: ConsoleQueries
) -> None:
    for actor, days in ((EVA, 30), (OLE, 60)):
        with ledger.database.begin() as connection:
            tenant = tenant_from({"tenant_id": "shop", "default_expiry_days": days})
            program.put_tenant(connection, tenant, actor)
    found = console.configurations("shop")
    assert [(v.version, v.actor, v.reason, v.content["default_expiry_days"]) for v in found] == [
        (3, "person:ole", None, 60),
        (2, "person:eva", "a campaign", 30),
        (1, "operator", None, None),
    ]
    assert console.configurations("shop", before=3, limit=1) == [found[1]]


def test_unknown_and_malformed_questions_are_answered_clearly(
    ledger: Ledger, console: ConsoleQueries
) -> None:
    assert console.rule_versions("shop", show_id(new_id())) == []
    for ask in (console.rules, console.configurations):
        with pytest.raises(TenantMissing):
            ask("nowhere")
    with pytest.raises(InvalidCommand, match="rule_id: "):
        console.rule_versions("shop", "basket")
    with pytest.raises(InvalidCommand, match="days: must be 1 to 366, not 0"):
        console.rules("shop", days=0)
