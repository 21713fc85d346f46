"""Tests conditions and formulas in CEL."""

from decimal import Decimal
from typing import Any

import pytest

from pointledger.domain.program.expressions import ACCOUNT, MAX_CHARACTERS, NOW
from pointledger.domain.program.rule import rule_as_saved, rule_from
from pointledger.errors import InvalidRule
from tests.domain.books import Shop, data_of, moment, reason_of, refusal_of

NAMES: dict[str, Any] = {"name": "a", "event_type": "visit"}


def grants(when: str, metadata: dict[str, Any] | None = None, **config: Any) -> bool:
    """Return whether a rule with only this condition grants."""
    shop = Shop(**config)
    shop.rule(when=when, points=1)
    decision = shop.event("anna", metadata=metadata or {})
    return "grants" in getattr(decision, "data", {})


def formula(expr: str, metadata: dict[str, Any] | None = None, **award: Any) -> int:
    shop = Shop()
    shop.rule(award={"base": {"kind": "formula", "expr": expr}, **award})
    return int(data_of(shop.event("anna", metadata=metadata or {}))["points_earned"])


# ------------------------------------------------------------------------------------------ at save


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("foo > 1", "undeclared reference to 'foo'"),
        ("user.tier == 'gold'", "undeclared"),
        ("event.a >", "Syntax error"),
        ("", "at least 1 character"),
        ("1 + 'a' > 2", "no matching overload"),
        ("event.a + 1", "it gives INT, not BOOL"),
        ("event.vip", "it gives DYN, not BOOL; compare it"),
        ("'true'", "it gives STRING"),
        ("account.blance > 1", "undeclared"),
        ("account.balance == '1'", "no matching overload"),
        ("now.second > 1", "undeclared"),
        ("now", "undeclared"),
        ("has(account.balance)", "it gives INT"),
        ("true\x00", "control characters"),
        ("(" * 40 + "true" + ")" * 40, "recursion"),
        ("true" + " " * MAX_CHARACTERS, "2000 characters"),
        ("event.x.lowerAscii() == 'a'", "undeclared"),
        (True, "string"),
        (5, "string"),
    ],
)
def test_an_invalid_condition_is_refused_when_it_is_saved(source: Any, message: str) -> None:
    with pytest.raises(InvalidRule, match=r"\(when: ") as refused:
        rule_from({**NAMES, "points": 1, "when": source})
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("expr", ["event.a", "1.5", "event.a > 1", "double(event.a) * 1.15", "'1'", "1u"])
def test_a_formula_that_is_not_an_integer_is_refused_when_it_is_saved(expr: str) -> None:
    with pytest.raises(InvalidRule, match=r"expr: .*not INT"):
        rule_from({**NAMES, "base": {"kind": "formula", "expr": expr}})


def test_a_saved_expression_is_compiled_only_when_needed() -> None:
    """A stricter engine must not make a tenant's other rules unreadable."""
    body = rule_as_saved({**NAMES, "award": {"base": {"points": 1, "kind": "fixed"}}, "when": "gone > 1"})
    shop = Shop()
    shop.rule(points=3)
    known = shop.rule(name="b", points=1)
    shop.book.rules["shop"] = type(shop.book.rules["shop"])(
        (*shop.book.rules["shop"].versions[:1], type(known)(known.id, 1, None, body))
    )
    data = data_of(shop.event("anna"))
    assert (data["points_earned"], data["grants"][1]["detail"]) == (3, "COMPILATION")


# ------------------------------------------------------------------------------------------ evaluation


@pytest.mark.parametrize(
    ("when", "metadata"),
    [
        ("event.amount_minor >= 10000 && event.channel == 'app'", {"amount_minor": 10000, "channel": "app"}),
        ("event.rate > 1.2", {"rate": 1.5}),
        ("event.rate > 1.2", {"rate": 2}),
        ("event.vip == true", {"vip": True}),
        ("event.nothing == null", {"nothing": None}),
        ("event.tags.exists(tag, tag == 'x')", {"tags": ["y", "x"]}),
        ("event.items[0].sku == 'é漢'", {"items": [{"sku": "é漢"}]}),
        ("event['an odd name'] == 1", {"an odd name": 1}),
        ("!has(event.a) && size(event) == 0", {}),
        ("event.n == 9223372036854775807", {"n": 2**63 - 1}),
        ("event.a == 1 || event.missing", {"a": 1}),
        ("event.a > 2 // why\n", {"a": 3}),
        ("event . a > 2 && now\n.hour == 12", {"a": 3}),
    ],
)
def test_a_rule_whose_condition_is_true_grants(when: str, metadata: dict[str, Any]) -> None:
    assert grants(when, metadata)


@pytest.mark.parametrize(
    ("when", "metadata", "detail"),
    [
        ("event.missing > 3", {}, "NOT_FOUND"),
        ("event.a.b > 3", {"a": {}}, "NOT_FOUND"),
        ("event.a > 3", {"a": "text"}, "UNKNOWN"),
        ("event.a / 0 == 1", {"a": 1}, "INVALID_ARGUMENT"),
        ("event.a + 1 > 0", {"a": 2**63 - 1}, "OUT_OF_RANGE"),
        ("int(event.a) > 0", {"a": "secret"}, "INVALID_ARGUMENT"),
        ("event.l.exists(x, event.l.exists(y, x * y < 0))", {"l": list(range(500))}, "INTERNAL"),
        ("event.a ? true : event.b == 1", {"a": "x"}, None),
    ],
)
def test_a_failing_condition_grants_nothing_and_quotes_no_data(
    when: str, metadata: dict[str, Any], detail: str | None
) -> None:
    shop = Shop()
    shop.rule(name="sound", points=1)
    shop.rule(name="fails", when=when, points=100)
    data = data_of(shop.event("anna", metadata=metadata))
    assert data["points_earned"] == 1
    skipped = data["grants"][1]
    assert (skipped["rule"], skipped["skipped"]) == ("fails", "error")
    assert detail is None or skipped["detail"] == detail
    assert "secret" not in str(data)


def test_has_guards_an_optional_field() -> None:
    when = "has(event.coupon) && event.coupon == 'X'"
    assert not grants(when)
    assert grants(when, {"coupon": "X"})


def test_a_value_that_is_not_boolean_at_run_time_grants_nothing() -> None:
    assert grants("event.a == 1 ? event.b == 1 : true", {"a": 1, "b": 1})
    with pytest.raises(InvalidRule, match="DYN"):
        rule_from({**NAMES, "points": 1, "when": "true ? event.b : event.b"})


def test_a_refusal_names_the_reason_why_each_rule_was_skipped() -> None:
    shop = Shop()
    shop.rule(name="app", when="event.channel == 'app'", points=1)
    shop.rule(name="web", when="event.channel == 'web'", points=1, valid={"weekdays": [1]})
    shop.rule(name="units", base={"kind": "per_unit", "field": "n", "per": 1, "points": 1})
    refused = refusal_of(shop.event("anna"))
    assert refused.reason.name == "NO_MATCHING_RULE"
    assert refused.message == "no enabled rule matches visit: app (error), web (window), units (field)"
    assert shop.book.accounts == {}


def test_a_refusal_names_five_rules_and_counts_the_others() -> None:
    shop = Shop()
    for number in range(8):
        shop.rule(name=f"r{number}", when="false", points=1)
    assert refusal_of(shop.event("anna")).message.endswith("r4 (condition), 3 more")


def test_an_outcome_names_twenty_skipped_rules_and_counts_the_others() -> None:
    shop = Shop()
    shop.rule(name="grants", points=1)
    for number in range(25):
        shop.rule(name=f"r{number}", when="false", points=1)
    data = data_of(shop.event("anna"))
    assert (len(data["grants"]), data["more_skipped"]) == (21, 5)


# ------------------------------------------------------------------------------------------------ facts


@pytest.mark.parametrize(
    ("when", "zone", "at"),
    [
        ("now.hour == 12 && now.minute == 34 && now.weekday == 7", "UTC", "2026-03-01 12:34"),
        (
            "now.date == '2026-03-02' && now.weekday == 1 && now.hour == 0",
            "Asia/Shanghai",
            "2026-03-01 16:00",
        ),
        ("now.weekday in [6, 7]", "America/New_York", "2026-03-02 04:59"),
    ],
)
def test_now_is_the_tenants_local_time(when: str, zone: str, at: str) -> None:
    shop = Shop(timezone=zone)
    shop.rule(when=when, points=1)
    assert data_of(shop.event("anna", at=moment(at)))["points_earned"] == 1


def test_now_is_when_the_event_happened() -> None:
    shop = Shop()
    shop.rule(when="now.date == '2026-02-01'", points=1)
    assert data_of(shop.event("anna", occurred_at=moment("2026-02-01")))["points_earned"] == 1
    assert reason_of(shop.event("anna")) == "NO_MATCHING_RULE"


def test_an_expression_sees_the_account_before_the_event() -> None:
    shop = Shop()
    shop.rule(name="welcome", when="account.is_new", points=100, priority=2)
    shop.rule(name="poor", when="account.balance < 50 && account.total_earned == 0", points=1, priority=1)
    assert data_of(shop.event("anna"))["points_earned"] == 101  # the grant of "welcome" does not count yet
    assert reason_of(shop.event("anna")) == "NO_MATCHING_RULE"


@pytest.mark.parametrize("fact", [f"account.{name}" for name in ACCOUNT] + [f"now.{name}" for name in NOW])
def test_an_expression_reads_every_fact_however_it_is_written(fact: str) -> None:
    root, name = fact.split(".")
    for written in (fact, f"{root} . {name}", f"{root}\n  .{name}", f"({fact})"):
        assert grants(f"{written} == {written}"), written


def test_due_points_expire_before_a_condition_is_evaluated() -> None:
    shop = Shop()
    shop.rule(when="account.balance == 0 && account.expired_points == 5", points=1)
    shop.earn("anna", 5, expires_at=moment("2026-03-02"))
    assert reason_of(shop.event("anna")) == "NO_MATCHING_RULE"
    assert data_of(shop.event("anna", at=moment("2026-03-02")))["points_earned"] == 1


# -------------------------------------------------------------------------------------------- formulas


@pytest.mark.parametrize(
    ("expr", "metadata", "points"),
    [
        ("event.amount_minor / 100", {"amount_minor": 1999}, 19),
        ("int(event.n)", {"n": 7}, 7),
        ("event.vip == true ? 10 : 1", {"vip": True}, 10),
        ("size(event.items) * 5", {"items": [1, 2]}, 10),
        ("event.n * -1", {"n": 7}, 0),  # A2: an award never debits
        ("event.n * 1000000", {"n": 10**12}, 10**15),
        ("account.balance + now.weekday", {}, 7),
    ],
)
def test_a_formula_computes_in_integers(expr: str, metadata: dict[str, Any], points: int) -> None:
    assert formula(expr, metadata) == points


def test_a_formula_is_multiplied_and_clamped() -> None:
    assert formula("event.n * 1", {"n": 7}, multiplier="1.1") == 7
    assert formula("event.n * 1", {"n": 7}, multiplier="1.1", rounding="ceil") == 8
    assert formula("event.n * 1", {"n": 7}, max=5) == 5
    assert formula("event.n * 1", {"n": -7}, min=2) == 2


def test_a_formula_that_fails_skips_its_rule() -> None:
    shop = Shop()
    shop.rule(award={"base": {"kind": "formula", "expr": "int(event.n / event.m)"}})
    for metadata in ({}, {"n": 1, "m": 0}, {"n": 1.5, "m": 1}, {"n": "1", "m": 1}):
        assert reason_of(shop.event("anna", metadata=metadata)) == "NO_MATCHING_RULE"
    assert data_of(shop.event("anna", metadata={"n": 4, "m": 2}))["points_earned"] == 2


def test_a_multiplier_stays_exact_beside_a_formula() -> None:
    assert formula("event.n + 0", {"n": 100}, multiplier=str(Decimal("1.15"))) == 115
