"""The doctor names the rules that cost most, and those of an older version that can be too dear."""

from pointledger.storage.database import autocommit_engine
from tests.ledger import Ledger
from tests.observability.test_doctor import FINE, WARNING, found

EXISTS = "event.items.exists(i, i.sku == 'a' && i.quantity > 2)"


def test_the_dearest_rules_are_named_with_their_estimates(ledger: Ledger) -> None:
    ledger.tenant()
    ledger.rule(name="plain", event_type="visit", points=1)
    assert found(ledger.settings, "dear-rules").seen == "no rule has a condition or a formula"
    ledger.rule(name="of the app", event_type="visit", points=1, when="event.app == true")
    ledger.rule(name="with sku", event_type="visit", points=1, when=EXISTS)

    finding = found(ledger.settings, "dear-rules")

    assert finding.verdict is FINE
    first, second = finding.seen.partition("at most, for one event: ")[2].split(", ")
    assert finding.tenants == {"shop"}, "people of other tenants do not get it"
    assert first.startswith("shop “with sku” ") and second.startswith("shop “of the app” ")


def test_a_rule_of_an_older_version_that_can_be_too_dear_is_a_warning(ledger: Ledger) -> None:
    ledger.tenant()
    ledger.rule(name="dear", event_type="visit", points=1, when="event.l != null")
    with autocommit_engine(ledger.owner).connect() as connection:
        connection.exec_driver_sql("ALTER TABLE rule_versions DISABLE TRIGGER ALL")
        connection.exec_driver_sql(
            """UPDATE rule_versions
               SET body = jsonb_set(body::jsonb, '{when}', '"event.l.all(x, x in event.l)"')"""
        )

    finding = found(ledger.settings, "dear-rules")

    assert finding.verdict is WARNING
    assert "shop “dear”" in finding.seen and "10 ms" in finding.seen

    ledger.rule(name="dear", event_type="visit", points=1, when="event.l != null", enabled=False)
    assert found(ledger.settings, "dear-rules").verdict is FINE


def test_many_rules_that_are_too_dear_together_are_a_warning(ledger: Ledger) -> None:
    ledger.tenant()
    when = "event.l.all(x, " + " && ".join(["x != 2"] * 12) + ")"
    for number in range(6):
        ledger.rule(name=f"r{number}", event_type=f"visit {number}", points=1, when=when)
    assert found(ledger.settings, "dear-rules").verdict is FINE
    with autocommit_engine(ledger.owner).connect() as connection:
        connection.exec_driver_sql("ALTER TABLE rule_versions DISABLE TRIGGER ALL")
        connection.exec_driver_sql(
            """UPDATE rule_versions SET body = jsonb_set(body::jsonb, '{event_type}', '"visit"')"""
        )

    finding = found(ledger.settings, "dear-rules")

    assert finding.verdict is WARNING
    assert "the rules of shop for visit" in finding.seen
