"""The pages of rules answer what earns points and what a change would do. None of it needs a script."""

from collections.abc import Callable
from urllib.parse import quote

import pytest

from pointledger import ApplyRule
from tests.console.browsing import Browsing, Html
from tests.console.conftest import applied
from tests.console.environment import ConsoleEnvironment
from tests.console.programs import page_of, reviewed, rule_id, versions

User = Callable[[], str]
Browse = Callable[[str], Browsing]


def test_the_list_says_what_each_rule_has_granted_and_in_which_state_it_is(
    console: ConsoleEnvironment, browse: Browse, user: User, rule: str
) -> None:
    anna = user()
    applied(
        console,
        *(
            ApplyRule(tenant_id="shop", user_id=anna, event_type=rule, event_id=f"{anna}-{number}")
            for number in range(2)
        ),
    )
    off = f"{rule}-off"
    console.ledger.rule("shop", name=off, event_type=rule, points=1, enabled=False)
    later = f"{rule}-later"
    console.ledger.rule("shop", name=later, event_type=rule, points=1, valid={"from": "2999-01-01T00:00:00"})
    browsing = browse("marketing")
    words = browsing.html("/console/shop/rules").words
    assert f"{rule} v1 active {rule} 5 8 points a day 0 2 8" in words
    assert f"{off} v1 disabled" in words
    assert f"{later} v1 scheduled" in words
    only = browsing.html("/console/shop/rules?state=disabled").links
    assert off in only and rule not in only


def test_a_tenant_without_rules_is_led_to_the_first(browse: Browse) -> None:
    html = browse("elsewhere").html("/console/other/rules")
    assert "There are no rules yet" in html.words
    assert "Make the first one." in html.links


def test_a_new_rule_is_reviewed_then_saved_with_a_reason_and_audited(
    console: ConsoleEnvironment, browse: Browse, user: User
) -> None:
    name = user()
    browsing = browse("marketing")
    review = reviewed(
        browsing,
        "/console/shop/rules/new",
        **{"name": name, "event_type": name, "award.base.kind": "fixed", "award.base.points": "7"},
    )
    assert "Nothing has changed yet" in review.words and "award.base.points – 7 added" in review.words
    assert versions(console, name) == 0
    form = review.form("/save")
    refused = browsing.send(form, reason=" ")
    assert refused.status_code == 422 and "say why" in Html(refused.text).words
    assert versions(console, name) == 0
    saved = browsing.send(form, reason="a welcome")
    assert "Version 1 is saved" in Html(saved.text).words
    browsing.send(form, reason="a welcome")
    assert versions(console, name) == 1, "the same form again changes nothing"
    (act,) = [
        act
        for act in console.ledger.client.audit_log("shop", actor="person:marketing", kind="rule-put")
        if act["after"]["name"] == name
    ]
    assert (act["reason"], act["state"]) == ("a welcome", "applied")


def test_a_new_version_is_shown_beside_the_one_before_with_who_and_why(
    console: ConsoleEnvironment, browse: Browse, rule: str
) -> None:
    browsing = browse("marketing")
    review = reviewed(browsing, page_of(console, rule), **{"award.base.points": "9", "award.max": "30"})
    assert "award.base.points 5 9 changed" in review.words
    assert "award.max – 30 added" in review.words
    page = Html(browsing.send(review.form("/save"), reason="spring").text)
    assert "award.base.points 5 → 9 ; award.max 30" in page.words
    assert "person:marketing spring" in page.words
    compared = browsing.html(page.links["Compare"])
    assert "Version 1 and version 2" in compared.words
    assert "award.base.points 5 9 changed" in compared.words
    same = browsing.html(f"{page_of(console, rule)}/versions?from=2&to=2")
    assert "the same in every field" in same.words


def test_a_rule_is_disabled_and_enabled_with_a_review(
    console: ConsoleEnvironment, browse: Browse, rule: str
) -> None:
    browsing = browse("marketing")
    for link, becomes in (("Disable", "disabled"), ("Enable", "active")):
        page = browsing.html(page_of(console, rule))
        review = browsing.html(page.links[link])
        assert "enabled" in review.words and "changed" in review.words
        after = Html(browsing.send(review.form("/save"), reason="a test").text)
        assert f"{rule} {becomes}" in after.words


def test_a_rule_is_scheduled_in_the_tenants_time(
    console: ConsoleEnvironment, browse: Browse, rule: str
) -> None:
    browsing = browse("marketing")
    form = browsing.html(page_of(console, rule)).form("/review")
    review = Html(browsing.send(form, **{"from": "2999-01-01T08:00"}).text)
    assert "valid.from – 2999-01-01T08:00:00 added" in review.words
    page = Html(browsing.send(review.form("/save"), reason="next campaign").text)
    assert f"{rule} scheduled" in page.words
    wrong = browsing.send(form, **{"from": "2999-01-01T08:00", "until": "2998-01-01T08:00"})
    assert wrong.status_code == 400 and "from lies before until" in Html(wrong.text).words
    assert versions(console, rule) == 2


def test_a_change_of_a_version_that_is_no_longer_the_latest_is_refused(
    console: ConsoleEnvironment, browse: Browse, rule: str
) -> None:
    browsing, page = browse("marketing"), page_of(console, rule)
    first = reviewed(browsing, page, **{"award.base.points": "6"})
    second = reviewed(browsing, page, **{"award.base.points": "7"})
    browsing.send(first.form("/save"), reason="the first")
    late = browsing.send(second.form("/save"), reason="too late")
    html = Html(late.text)
    assert late.status_code == 409 and "Another version was saved" in html.words
    assert "award.base.points 6 7 changed" in html.words, "beside the latest"
    assert versions(console, rule) == 2
    again = Html(browsing.send(html.form("/edit"), to="review").text)
    browsing.send(again.form("/save"), reason="now on the latest")
    assert versions(console, rule) == 3


def test_rules_that_cost_too_much_together_are_refused_before_they_are_saved(
    console: ConsoleEnvironment, browse: Browse, rule: str
) -> None:
    for number in range(99):
        console.ledger.rule("shop", name=f"{rule}-{number}", event_type=rule, points=1)
    name = f"{rule}-too-many"
    browsing = browse("marketing")
    form = browsing.html("/console/shop/rules/new").form("/edit")
    fields = {"name": name, "event_type": rule, "award.base.kind": "fixed", "award.base.points": "1"}
    answer = browsing.send(form, **({"to": "review"} | fields))
    assert answer.status_code == 422 and "the limit is 100" in Html(answer.text).words


def test_an_event_is_tried_against_all_rules(
    console: ConsoleEnvironment, browse: Browse, user: User, rule: str
) -> None:
    console.ledger.rule("shop", name=f"{rule}-off", event_type=rule, points=1, enabled=False)
    anna = user()
    applied(console, ApplyRule(tenant_id="shop", user_id=anna, event_type=rule, event_id=anna))
    support = browse("support")
    form = support.html("/console/shop/rules/try").form("/try")
    tried = Html(support.send(form, event_type=rule, user_id=anna, metadata="{}").text)
    assert f"{rule} v1 5 3 Held by points per user and day" in tried.words
    assert "The rule is disabled." in tried.words
    new = Html(support.send(form, event_type=rule, metadata="{}").text)
    assert f"{rule} v1 5 5 It grants what it wants." in new.words
    none = Html(support.send(form, event_type="nothing.like.it", metadata="{}").text)
    assert "NO_MATCHING_RULE" in none.words and "No rule takes events of this type" in none.words
    for fields, said in (
        ({"event_type": rule, "metadata": "{"}, "Metadata: line 1, column 2"),
        ({"event_type": rule, "metadata": "[1]"}, "one object is expected"),
        ({"event_type": "", "metadata": "{}"}, "Event type: fill this in"),
        ({"event_type": "x" * 300, "metadata": "{}"}, "event_type: String should have at most"),
    ):
        wrong = support.send(form, **fields)
        assert wrong.status_code == 422 and said in Html(wrong.text).words, fields


def test_marketing_tries_events_for_a_new_member_because_it_sees_no_others(browse: Browse, rule: str) -> None:
    marketing = browse("marketing")
    assert "user_id" not in marketing.html("/console/shop/rules/try").form("/try").fields
    answer = marketing.get(f"/console/shop/rules/try?event_type={quote(rule)}&user_id=anna")
    assert answer.status_code == 403


@pytest.mark.parametrize("role", ["support", "finance", "operator"])
def test_who_only_looks_at_rules_gets_no_way_to_change_them(
    console: ConsoleEnvironment, browse: Browse, rule: str, role: str
) -> None:
    browsing, page = browse(role), page_of(console, rule)
    links = browsing.html(page).links
    assert "Try an event" in links
    assert not {"Edit", "Disable", "New rule"} & links.keys()
    assert browsing.get(f"{page}/edit").status_code == 403
    assert browsing.get(f"{page}/review?enabled=no").status_code == 403


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("none", 404),
        ("01M7YS5T0G1V9RJ7Y6C6V2Q3XA", 404),
        ("01M7YS5T0G1V9RJ7Y6C6V2Q3XA/edit", 404),
        ("{rule}/versions?from=7", 404),
        ("{rule}/versions?from=0", 400),
        ("{rule}/versions?to=x", 400),
        ("{rule}?before=99999999999", 400),
        ("{rule}/review?enabled=maybe", 400),
    ],
)
def test_a_wrong_address_of_a_rule_is_answered_in_words(
    console: ConsoleEnvironment, browse: Browse, rule: str, path: str, status: int
) -> None:
    filled = path.replace("{rule}", rule_id(console, rule))
    answer = browse("admin").get(f"/console/shop/rules/{filled}")
    assert answer.status_code == status and "fault of the console" not in answer.text
