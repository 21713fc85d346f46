"""A rule's cost is known before it is evaluated: what could hold up other tenants is refused or skipped."""

from typing import Any
from uuid import UUID

import pytest
from cel_expr_python import cel

from pointledger.domain.commands.outcomes import Applied, Refused
from pointledger.domain.program.budget import (
    MAX_LIMITS,
    MAX_MICROSECONDS,
    MAX_RULES,
    MAX_TOGETHER_MICROSECONDS,
    Together,
    refused_together,
)
from pointledger.domain.program.expressions import ExpressionFailed, cost_of, evaluate
from pointledger.domain.program.rule import Rule, RuleBody, rule_as_saved, rule_from
from pointledger.domain.program.rules import Rules
from pointledger.domain.values.json_values import METADATA_BYTES
from pointledger.errors import InvalidRule
from tests.domain.books import SHOP, Shop


def rule(when: str, **fields: Any) -> RuleBody:
    return rule_from({"name": "r", "event_type": "visit", "points": 5, "when": when, **fields})


def saved(when: str, name: str = "r", **fields: Any) -> RuleBody:
    """A rule that an older version saved, which did not estimate costs."""
    award = {"base": {"kind": "fixed", "points": 5}}
    return rule_as_saved({"name": name, "event_type": "visit", "award": award, "when": when, **fields})


def doubled(levels: int, start: str, end: str) -> str:
    source, last = "", start
    for level in range(levels):
        source, last = f"{source}[{last}+{last}].all(a{level},", f"a{level}"
    return source + end.replace("@", last) + ")" * levels


def per_element(*conditions: str, joined: str = "&&", times: int = 1) -> str:
    return f"event.l.all(x, {joined.join(conditions * times)})"


@pytest.mark.parametrize(
    ("when", "part"),
    [
        (per_element("event.l == event.l", times=90), "=="),
        (per_element("event == event", times=90), "=="),
        (per_element("x == event.l[0] || event.l == event.m"), "=="),
        (per_element("!(2 in event.l)"), "in"),
        (doubled(22, "event.l", "size(@)>0"), "+"),
        (doubled(20, "event.l", "@==@"), "+"),
        (doubled(27, "event.s", "@==''||true"), "+"),
        (doubled(22, "[0,0,0,0,0,0,0,0,0,0]", "size(@)>0"), "+"),
        (per_element("size(event.s) > 0", times=90), "size"),
        (per_element("event.s.contains(event.t)", "true", joined="||", times=50), "contains"),
        (per_element("event.s + 'a' != ''"), "+"),
        (per_element("event.s.matches(event.r)"), "matches"),
        (per_element("!event.s.matches('(.*a){90}b')", times=40), "matches"),
        ("event.s.matches(event.r)", "matches"),
        ("event.s.matches('(a?){900}b')", "matches"),
        ("event.s.matches('((a?){30}){30}b')", "matches"),
        (r"event.s.matches('\\pL{100}')", "matches"),
        (per_element("timestamp(x).getHours(event.zone) > 1"), "getHours"),
        ("event.l.filter(x, event.l.map(y, event.l+event.l).size()>0).size()>0", "filter or map"),
        ("event.l.filter(x, x > 1).exists(y, y == 2)", "filter or map"),
        ("event.l.map(x, x.price).exists(y, y == 2)", "filter or map"),
        ("event.l.exists(x, event.m.exists(y, x + y < 0))", "+"),
        ("google.protobuf.ListValue{values: event.l} == event.l", "a message"),
    ],
)
def test_an_expression_that_could_be_too_dear_is_refused_with_its_dearest_part(when: str, part: str) -> None:
    with pytest.raises(InvalidRule) as refused:
        rule(when)

    message = str(refused.value)
    assert f"when: an event of {METADATA_BYTES} bytes could cost " in message
    assert "and the limit is 10 ms" in message or "and the limit is 16 MB" in message
    assert f"most of it is {part}" in message and ", at character " in message


@pytest.mark.parametrize(
    "when",
    [
        "event.amount_minor >= 1000 && event.channel == 'app' && has(event.store) && event.store.zip > 1",
        "event.country in ['de', 'at', 'ch', 'fr', 'it', 'es', 'pt', 'nl', 'be', 'lu', 'dk', 'se']",
        "!(event.sku in [" + ", ".join(f"'sku-{number:05}'" for number in range(150)) + "])",
        "event.items.exists(i, i.sku == 'A-17' && i.quantity > 2 && i.category in ['food', 'drink'])",
        "event.items.all(i, i.price_minor * i.quantity < 100000)",
        "event.items.filter(i, i.category == 'food' && i.quantity > 1).size() >= 3",
        "size(event.items.filter(i, i.category == 'food')) >= 3",
        "event.items.exists_one(i, i.gift == true)",
        "event.items.exists(i, i.name.contains('organic') || i.name.startsWith('bio'))",
        "event.orders.exists(o, o.items.exists(i, i.sku == 'A-17'))",
        "event.items.exists(i, i.sku == event.featured_sku)",
        "event.tags.exists(t, t == 'vip') && event.items.exists(i, i.sku == 'A') && 'x' in event.tags",
        "event.note.contains('thank you')",
        r"event.email.matches('^[a-zA-Z0-9._%+-]+@[a-zA-Z0-9.-]+\\.[a-zA-Z]{2,10}$')",
        "event.plu.matches('^[0-9]{4,5}$')",
        "event.net + event.tax > 1000 && event.name + event.surname != ''",
        "event.items == event.returned_items",
        "size(event.message) < 280",
        "timestamp(event.at).getHours('Europe/Berlin') < 12",
        "account.is_new && now.weekday in [6, 7] && now.date < '2026-12-24'",
        "event.scores.map(s, s).size() > 0",
    ],
)
def test_an_ordinary_condition_is_far_from_the_limit_for_the_largest_event(when: str) -> None:
    assert rule(when).worst_cost.is_bounded
    assert cost_of(when, "BOOL", METADATA_BYTES).microseconds < MAX_MICROSECONDS * 0.8


def test_a_formula_has_the_same_limit() -> None:
    base = {"kind": "formula", "expr": "event.l.filter(x, x in event.l).size()"}
    with pytest.raises(InvalidRule, match=r"base\.formula\.expr: .* the limit is 10 ms"):
        rule_from({"name": "r", "event_type": "visit", "base": base})


def test_a_disabled_rule_costs_nothing() -> None:
    assert not rule("event.l.all(x, x in event.l)", enabled=False).enabled
    with pytest.raises(InvalidRule, match="the limit is 10 ms"):
        rule("event.l.all(x, x in event.l)", enabled=True)


def test_the_estimate_grows_with_the_event_and_is_the_same_each_time() -> None:
    costs = [
        cost_of("event.l.all(x, x in event.l)", "BOOL", size) for size in (0, 300, 2_000, METADATA_BYTES)
    ]

    assert costs == sorted(costs, key=lambda cost: cost.microseconds)
    assert len({cost.microseconds for cost in costs}) == len(costs)


# Rules that an older version saved.


def shop_with(*bodies: RuleBody) -> Shop:
    shop = Shop()
    shop.book.rules[SHOP] = Rules(
        tuple(Rule(UUID(int=number), 1, None, body) for number, body in enumerate(bodies, 1))
    )
    return shop


CUBIC = per_element("event.l == event.l", times=90)


def test_a_rule_that_is_too_dear_for_an_event_is_skipped_before_it_is_evaluated() -> None:
    shop = shop_with(saved(CUBIC), saved("event.l != null", name="other"))

    outcome = shop.event("anna", metadata={"l": [1] * 1_200})

    assert isinstance(outcome, Applied)
    assert outcome.data["points_earned"] == 5
    (skipped,) = [line for line in outcome.data["grants"] if "skipped" in line]
    assert (skipped["rule"], skipped["skipped"], skipped["detail"]) == ("r", "cost", "over 10 ms")
    ((error, commands),) = shop.book.rule_errors.items()
    assert (error.rule_id, error.detail, commands) == (UUID(int=1), "over 10 ms", 1)


def test_a_rule_that_is_too_dear_for_the_largest_event_grants_for_a_small_one() -> None:
    shop = shop_with(saved(per_element("x in event.l")))

    assert isinstance(shop.event("anna", metadata={"l": [1, 2, 3]}), Applied)
    refused = shop.event("anna", metadata={"l": [1] * 8_000})
    assert isinstance(refused, Refused)
    assert "r (cost)" in refused.message


def test_a_rule_that_would_build_too_much_is_skipped() -> None:
    shop = shop_with(saved(doubled(24, "[0, 0, 0]", "size(@) > 0")))

    refused = shop.event("anna", metadata={})

    assert isinstance(refused, Refused)
    assert "r (cost)" in refused.message
    assert [error.detail for error in shop.book.rule_errors] == ["over 16 MB"]


def test_rules_after_the_common_limit_of_an_event_are_skipped() -> None:
    when = "event.l.all(x, " + " && ".join(["x != 2"] * 10) + ")"
    each = cost_of(when, "BOOL", METADATA_BYTES).microseconds
    fit = MAX_TOGETHER_MICROSECONDS // each
    shop = shop_with(*(saved(when, name=f"rule {number}") for number in range(fit + 3)))

    large = shop.event("anna", metadata={"l": [1] * 8_100})
    small = shop.event("anna", metadata={"l": [1] * 10})

    assert isinstance(large, Applied) and isinstance(small, Applied)
    skipped = [line for line in large.data["grants"] if "skipped" in line]
    assert [line["rule"] for line in skipped] == [f"rule {fit + more}" for more in range(3)]
    assert {line["detail"] for line in skipped} == {"over 50 ms together"}
    assert small.data["points_earned"] == 5 * (fit + 3)


# All rules of an event type.


@pytest.mark.parametrize(
    ("after", "field", "limit"),
    [
        (Together(MAX_RULES + 1, 0, 0), "enabled", str(MAX_RULES)),
        (Together(1, MAX_LIMITS + 1, 0), "limits", str(MAX_LIMITS)),
        (Together(1, 0, MAX_TOGETHER_MICROSECONDS + 1), "when", "50 ms"),
    ],
)
def test_too_many_or_too_dear_rules_are_refused_unless_they_were_so_before(
    after: Together, field: str, limit: str
) -> None:
    message = refused_together(Together(0, 0, 0), after, "visit")

    assert message is not None and message.startswith(f"{field}: ")
    assert limit in message and "visit" in message and "disable" in message
    assert refused_together(after, after, "visit") is None
    assert refused_together(Together(0, 0, 0), Together(MAX_RULES, MAX_LIMITS, 0), "visit") is None


# Counting instead of collecting.


@pytest.mark.parametrize(
    "expression",
    [
        "event.l.filter(x, x > 2).size()",
        "size(event.l.filter(x, x > 2))",
        "size(event.l.filter(x, x.a > 2))",
        "event.l.filter(x, x).size()",
        "event.l.filter(x, 5 / x > 1).size()",
        "event.l.filter(x, x > 1 || 1 / x > 0).size()",
        "event.l.map(x, x).size()",
        "event.l.map(x, 5 / x).size()",
        "event.l.map(x, x > 1, x).size()",
        "event.l.map(x, x > 1, 5 / (x - 2)).size()",
        "event.l.filter(x, event.l.filter(y, y > x).size() > 1).size() + event.l.filter(x, x < 3).size()",
        "[event.l.filter(x, x > 1).size()][0]",
        "{'a': event.l.filter(x, x > 1).size()}['a']",
        "size(event.l) + size('text') + size(event.l + event.l)",
        "1.5 < 2.5 ? event.l.filter(x, double(x) > 1.5).size() : -1",
    ],
)
@pytest.mark.parametrize("numbers", [[], [1], [1, 2, 3, 4], [0, 1, 2], [5, "x", 1], [True, False], [3, 0, 3]])
def test_counting_gives_what_collecting_gives(expression: str, numbers: list[Any]) -> None:
    environment = cel.NewEnv(variables={"event": cel.Type.Map(cel.Type.STRING, cel.Type.DYN)})
    try:
        collected = environment.compile(expression).eval(data={"event": {"l": numbers}})
        value = collected.value() if collected.type() == cel.Type.INT else None
    except RuntimeError:
        value = None

    try:
        counted: int | None = evaluate(expression, "INT", lambda _: {"event": {"l": numbers}})
    except ExpressionFailed:
        counted = None
    assert counted == value
