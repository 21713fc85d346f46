"""A batch reads only the versions of rules that it needs, and the rules in force are bounded."""

from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from pointledger import ApplyRule
from pointledger.domain.commands.accepted import Accepted
from pointledger.domain.program.budget import MAX_RULES
from pointledger.domain.program.rules import Rules
from pointledger.errors import InvalidRule
from pointledger.storage.database import autocommit_engine, read_only
from pointledger.storage.ledger import program
from pointledger.storage.ledger.program import Programs, send_versions
from tests.ledger import Ledger, data_of

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
VERSIONS = 2_000

ADD_VERSIONS = """
INSERT INTO rule_versions (tenant_id, name, version, rule_id, body, in_force_from, saved_at)
SELECT tenant_id, name, n, rule_id, jsonb_set(body::jsonb, '{award,base,points}', to_jsonb(n))::json,
       %(first)s::timestamptz + n * interval '1 second', %(first)s::timestamptz + n * interval '1 second'
FROM rule_versions, generate_series(2, %(last)s) n WHERE version = 1 AND name = %(name)s"""


def visit(at: datetime) -> ApplyRule:
    return ApplyRule(tenant_id="shop", user_id="anna", event_type="visit", occurred_at=at)


def add_versions(ledger: Ledger, name: str, last: int, first: datetime) -> None:
    """Add versions 2, 3, ... of a rule, a second after the other. Version n grants n points."""
    with autocommit_engine(ledger.owner).connect() as connection:
        connection.exec_driver_sql(ADD_VERSIONS, {"name": name, "last": last, "first": first})


def rules_for(ledger: Ledger, programs: Programs, *moments: datetime) -> Rules:
    batch = [Accepted(0, visit(at), at) for at in moments]
    with read_only(ledger.database) as connection:
        return programs.current(connection, send_versions(connection, ["shop"]), batch).rules["shop"]


def test_a_batch_reads_only_the_versions_that_its_moments_need(ledger: Ledger) -> None:
    ledger.tenant()
    ledger.rule(name="r", event_type="visit", points=1)
    ledger.rule(name="s", event_type="visit", points=1)
    add_versions(ledger, "r", VERSIONS, NOON)
    programs = Programs()

    now = rules_for(ledger, programs, NOON + timedelta(days=1))
    past = rules_for(ledger, programs, NOON + timedelta(seconds=10.5), NOON + timedelta(seconds=20.5))

    assert [(rule.body.name, rule.version) for rule in now.versions] == [("r", VERSIONS), ("s", 1)]
    assert [rule.version for rule in past.versions] == [10, 20, VERSIONS, 1]
    assert rules_for(ledger, programs, NOON + timedelta(days=2)) is now, "it is cached until a rule changes"
    ledger.rule(name="s", event_type="visit", points=3)
    later = datetime.now(UTC) + timedelta(days=1)
    assert [rule.version for rule in rules_for(ledger, programs, later).versions] == [VERSIONS, 2]


def test_any_moments_find_the_same_rules_as_all_versions_would(ledger: Ledger) -> None:
    ledger.tenant()
    chance = Random(17)
    for name in ("a", "b", "c"):
        ledger.rule(name=name, event_type="visit", points=1, priority=chance.randrange(3))
        add_versions(ledger, name, chance.randrange(2, 40), NOON + timedelta(seconds=chance.randrange(20)))
    with read_only(ledger.database) as connection:
        everything = Rules(tuple(program.every_rule(connection, "shop")))
    programs = Programs()
    for _ in range(40):
        moments = [NOON + timedelta(seconds=chance.randrange(-5, 70)) for _ in range(chance.randrange(1, 6))]
        found = rules_for(ledger, programs, *moments)
        for moment in moments:
            assert found.for_event("visit", moment) == everything.for_event("visit", moment)


def test_each_event_finds_its_version_among_very_many(ledger: Ledger) -> None:
    ledger.tenant()
    ledger.rule(name="r", event_type="visit", points=1)
    add_versions(ledger, "r", VERSIONS, NOON)

    outcomes = ledger.apply(
        *(visit(NOON + timedelta(seconds=second + 0.5)) for second in (-9, 7, 1_500, 9_000))
    )

    assert [data_of(outcome)["points_earned"] for outcome in outcomes] == [1, 7, 1_500, VERSIONS]


def test_more_rules_of_an_event_type_than_the_limit_are_refused_until_one_is_disabled(ledger: Ledger) -> None:
    ledger.tenant()
    for number in range(MAX_RULES):
        ledger.rule(name=f"r{number}", event_type="visit", points=1)
    ledger.rule(name="other", event_type="order", points=1)

    with pytest.raises(InvalidRule, match=r"enabled: the enabled rules of visit would be 101.*disable"):
        ledger.rule(name="one more", event_type="visit", points=1)
    with pytest.raises(InvalidRule, match="the limit is 100"):
        ledger.rule(name="other", event_type="visit", points=1)

    ledger.rule(name="r7", event_type="visit", points=2)
    ledger.rule(name="one more", event_type="visit", points=1, enabled=False)
    ledger.rule(name="r7", event_type="visit", points=2, enabled=False)
    ledger.rule(name="one more", event_type="visit", points=1)
