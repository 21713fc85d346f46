"""The editor of a rule, as a form and as JSON: nothing that was typed is lost, or is markup."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.api.test_naughty_strings import TEXTS
from tests.console.browsing import Browsing, Html
from tests.console.environment import ConsoleEnvironment
from tests.console.programs import page_of, versions

User = Callable[[], str]
Browse = Callable[[str], Browsing]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"award.base.points": "many"}, "Input should be a valid integer"),
        ({"award.multiplier": "1,5"}, "a multiplier is written like"),
        ({"when": "event.x ="}, "Syntax error"),
        ({"limits.0.max": "-1"}, "greater than or equal to 0"),
        ({"name": "another name"}, "the name of a rule cannot change"),
        ({"award.base.kind": "table", "award.base.brackets": "ten"}, "line 1: write each bracket like"),
    ],
)
def test_what_is_wrong_is_said_and_what_was_typed_stays(
    console: ConsoleEnvironment, browse: Browse, rule: str, fields: dict[str, str], said: str
) -> None:
    browsing = browse("marketing")
    form = browsing.html(f"{page_of(console, rule)}/edit").form("/edit")
    answer = browsing.send(form, **({"to": "review"} | fields))
    html = Html(answer.text)
    assert answer.status_code == 422
    assert "This cannot be saved yet" in html.words and said in html.words
    kept = html.form("/edit").fields
    assert {name: kept[name] for name in fields} == fields
    assert versions(console, rule) == 1


def test_a_check_answers_with_the_messages_for_each_field_and_changes_nothing(
    console: ConsoleEnvironment, browse: Browse, rule: str
) -> None:
    browsing, page = browse("marketing"), page_of(console, rule)
    form = browsing.html(f"{page}/edit").form("/edit")
    form.action = f"{page}/check"
    wrong = browsing.send(form, **{"award.base.points": "x"})
    assert wrong.status_code == 200
    assert '<p class="error" id="f-award-base-points-error" hx-swap-oob="true">Input' in wrong.text
    assert '<p class="error" id="f-priority-error" hx-swap-oob="true"></p>' in wrong.text
    right = browsing.send(form, **{"award.base.points": "11"})
    assert "The server accepts this" in Html(right.text).words
    assert "award.base.points 5 11 changed" in Html(right.text).words
    assert versions(console, rule) == 1


def test_a_rule_is_edited_as_json_and_goes_to_the_form_and_back(
    console: ConsoleEnvironment, browse: Browse, rule: str
) -> None:
    browsing, page = browse("marketing"), page_of(console, rule)
    form = browsing.html(f"{page}/edit").form("/edit")
    as_json = Html(browsing.send(form, **{"to": "json", "award.base.points": "6"}).text).form("/edit")
    assert '"points": 6' in as_json.fields["json"]
    changed = as_json.fields["json"].replace('"points": 6', '"points": 12')
    as_form = Html(browsing.send(as_json, to="form", json=changed).text).form("/edit")
    assert as_form.fields["award.base.points"] == "12"
    review = Html(browsing.send(as_json, to="review", json=changed).text)
    assert "award.base.points 5 12 changed" in review.words
    for text, said in (
        ("{", "line 1, column 2"),
        ("[]", "one object is expected"),
        ('{"a": 1, "a": 2}', "JSON"),
        ('{"limits.x.y": 1}', "Extra inputs are not permitted"),
        ("x" * 70_000, "at most 64 KiB"),
    ):
        wrong = browsing.send(as_json, to="review", json=text)
        assert wrong.status_code == 422 and said in Html(wrong.text).words, text[:20]
    assert versions(console, rule) == 1


def test_a_session_that_ends_while_a_rule_is_edited_loses_nothing_that_was_typed(
    console: ConsoleEnvironment, browse: Browse, rule: str
) -> None:
    browsing, page = browse("marketing"), page_of(console, rule)
    headers = {"Origin": console.url, "HX-Request": "true"}
    form = browsing.html(f"{page}/edit").form("/edit")
    check = browsing.client.post(f"{page}/check", data=form.fields, headers=headers)
    assert check.status_code == 200
    browsing.client.cookies.clear()
    check = browsing.client.post(f"{page}/check", data=form.fields, headers=headers)
    assert check.status_code == 401 and "HX-Redirect" not in check.headers, "the page with the text stays"

    ended = Html(browsing.send(form, **{"to": "review", "award.base.points": "13"}).text)
    again = Html(browsing.log_in("marketing", ended.links["Log in again"]).text)
    assert again.form("/edit").fields["award.base.points"] == "13"

    browsing.client.cookies.clear()
    long = browsing.send(form, to="review", when=f"event.a == '{'x' * 3000}'")
    assert long.status_code == 401
    assert "copy first what you typed" in Html(long.text).words and "x" * 3000 in long.text
    assert form.fields["_token"] not in long.text


def test_text_that_looks_like_markup_stays_text_in_every_field(
    console: ConsoleEnvironment, browse: Browse, rule: str
) -> None:
    markup = [text for text in TEXTS if "<" in text and len(text) < 200][
        ::4
    ]  # no more patterns in the others
    assert len(markup) > 50
    browsing = browse("admin")
    form = browsing.html(f"{page_of(console, rule)}/edit").form("/edit")

    def send(text: str) -> None:
        asked = {"actor": text, "user_id": text}, {"event_type": text, "metadata": text}
        for path, given in zip(("acts", "rules/try"), asked, strict=True):
            answer = browsing.client.get(f"/console/shop/{path}", params=given)
            assert answer.status_code in (200, 400, 422)
            assert (Html(answer.text).scripts, Html(answer.text).handlers) == (2, [])
        fields = form.fields | {"to": "check", "when": text, "event_type": text, "award.multiplier": text}
        answer = browsing.client.post(form.action, data=fields, headers={"Origin": console.url})
        assert answer.status_code == 422
        assert (Html(answer.text).scripts, Html(answer.text).handlers) == (2, [])

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(send, markup))
    assert versions(console, rule) == 1
