"""A form has every field of its document and loses nothing of it. Documents are compared field by field."""

import random
from datetime import UTC, datetime
from typing import Any

import pytest

from pointledger.api.console.documents import changes, compare
from pointledger.api.console.forms import Form, name_of, read, texts_of
from pointledger.api.console.rule_form import RULE_FORM
from pointledger.api.console.tenant_form import OWN, TENANT_FORM
from pointledger.domain.program.rule import RuleBody, rule_from
from pointledger.domain.program.tenant import Tenant, tenant_from
from pointledger.errors import InvalidRule
from tests.api.test_naughty_strings import TEXTS
from tests.model.random_programs import RandomPrograms


def _programs(seed: int) -> RandomPrograms:
    return RandomPrograms(random.Random(seed), datetime(2026, 3, 1, tzinfo=UTC))


def _paths(schema: dict[str, Any], definitions: dict[str, Any], path: str = "") -> set[str]:
    """Return every field that a document of the schema can have."""
    if "$ref" in schema:
        return _paths(definitions[schema["$ref"].rpartition("/")[2]], definitions, path)
    options = [each for name in ("anyOf", "oneOf") for each in schema.get(name, ())]
    options = [
        each
        for each in options
        if len(options) == 1 or each != {"type": "null"} or "$ref" not in str(options)
    ]
    if schema.get("type") != "object" and options:
        return set().union(*(_paths(each, definitions, path) for each in options))
    if "properties" not in schema:
        inner = schema.get("items", {})
        return _paths(inner, definitions, f"{path}.0") if "$ref" in inner else {path}
    found = (
        _paths(each, definitions, f"{path}.{name}" if path else name)
        for name, each in schema["properties"].items()
    )
    return set().union(*found)


def test_the_form_of_a_rule_has_every_field_that_a_rule_can_have() -> None:
    schema = RuleBody.model_json_schema(mode="serialization")
    paths = _paths(schema, schema["$defs"])
    shown = {each.path for each in RULE_FORM.fields()}
    table = RULE_FORM.table
    assert table is not None
    shown |= {f"{table.path}.0.{each.path}" for each in table.fields}
    constant = {"valid.tz", "pending.mode"}  # they have one value
    lines = {"award.base.brackets.0.from", "award.base.brackets.0.points"}  # of the text with brackets
    assert paths - constant - lines == shown - {"award.base.brackets"}


@pytest.mark.parametrize("seed", range(200))
def test_a_rule_that_goes_through_the_form_is_the_same_rule(seed: int) -> None:
    rule = rule_from(_programs(seed).rule("a rule"))
    again = read(RULE_FORM, texts_of(RULE_FORM, rule.model_dump(mode="json")))
    assert not again.errors
    assert rule_from(again.document) == rule


@pytest.mark.parametrize("seed", range(50))
def test_a_configuration_that_goes_through_the_form_is_the_same(seed: int) -> None:
    tenant = tenant_from(_programs(seed).config() | {"tenant_id": "shop"})
    document = tenant.model_dump(mode="json", exclude=set(OWN))
    again = read(TENANT_FORM, texts_of(TENANT_FORM, document))
    assert tenant_from(again.document | {"tenant_id": tenant.tenant_id}) == tenant


def test_a_configuration_that_sends_all_events_still_sends_all() -> None:
    document = Tenant(tenant_id="shop", events="all").model_dump(mode="json", exclude=set(OWN))
    assert read(TENANT_FORM, texts_of(TENANT_FORM, document)).document["events"] == "all"


@pytest.mark.parametrize(
    ("texts", "name", "message"),
    [
        ({"priority": "high"}, "priority", "valid integer"),
        ({"award.base.points": "-1"}, "award.base.points", "greater than or equal to 0"),
        ({"award.multiplier": "1,5"}, "award.multiplier", "a multiplier is written like"),
        ({"award.min": "5", "award.max": "1"}, None, "min is at most max"),
        ({"valid.from": "soon"}, "valid.from", "a local time is written like"),
        ({"valid.hours": "8-20"}, "valid.hours", "hours are written like"),
        ({"when": "event."}, "when", "Syntax error"),
        (
            {"limits.3.max": "x", "limits.1.max": "5", "limits.1.period": "day"},
            "limits.3.max",
            "valid integer",
        ),
        ({"limits.0.max": "5", "limits.0.period": "year"}, "limits.0.period", "Input should be 'day'"),
        ({"pending.days": "0"}, "pending.days", "greater than or equal to 1"),
        ({"expiry.mode": "rolling"}, None, "days"),
    ],
)
def test_what_is_wrong_with_a_rule_is_said_at_its_field(
    texts: dict[str, str], name: str | None, message: str
) -> None:
    right = {
        "name": "a", "event_type": "visit", "award.base.kind": "fixed", "award.base.points": "1",
    }  # fmt: skip
    found = read(RULE_FORM, right | texts)
    with pytest.raises(InvalidRule) as raised:
        rule_from(found.document)
    named: dict[str | None, str] = {}
    for path, text in raised.value.faults:
        named.setdefault(name_of(RULE_FORM, path, found.rows), text)
    if name is None:
        assert any(message in text for text in named.values()), named
    else:
        assert message in named[name], named


def test_a_bracket_that_is_none_is_named_by_its_line() -> None:
    texts = {"award.base.kind": "table", "award.base.field": "n", "award.base.brackets": "10 = 3\n\n20 to 5"}
    assert "line 2" in read(RULE_FORM, texts).errors["award.base.brackets"]


def _inputs(form: Form) -> list[str]:
    assert form.table is not None
    rows = [f"{form.table.path}.0.{each.path}" for each in form.table.fields]
    return [*(each.path for each in form.fields()), *rows]


def test_no_text_in_any_field_breaks_the_form() -> None:
    chance = random.Random(19)
    names = _inputs(RULE_FORM)
    for text in TEXTS:
        chosen = chance.sample(names, 6)
        found = read(RULE_FORM, dict.fromkeys(chosen, text))
        try:
            rule_from(found.document)
        except InvalidRule as error:
            for path, _ in error.faults:
                name_of(RULE_FORM, path, found.rows)


@pytest.mark.parametrize(
    "path", ["limits", "limits.x.max", "limits.9.max", "limits.0", "award.base", "", "."]
)
def test_a_path_that_no_input_has_is_named_at_none_or_above(path: str) -> None:
    assert name_of(RULE_FORM, path, (0,)) is None


def test_documents_are_compared_field_by_field() -> None:
    before = {"a": 1, "b": {"c": True, "d": None}, "e": [{"f": 1}], "g": ["x", "y"]}
    after = {"a": 1, "b": {"c": False, "d": 5}, "e": [], "g": ["x", "y"]}
    assert {(each.path, each.before, each.after, each.change) for each in compare(before, after)} == {
        ("a", "1", "1", "same"),
        ("b.c", "yes", "no", "changed"),
        ("b.d", None, "5", "added"),
        ("e.0.f", "1", None, "removed"),
        ("g", "x, y", "x, y", "same"),
    }
    assert [each.path for each in changes(None, {"a": 1})] == ["a"]
