"""The member's page answers: what has she, why, and what will happen? None of it needs a script."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from pointledger import ApplyRule, Earn, Freeze, Spend
from pointledger.api.console.pages import member as member_page
from pointledger.api.console.pages import statement
from tests.console.browsing import Browsing, Html
from tests.console.conftest import applied
from tests.console.environment import ConsoleEnvironment

User = Callable[[], str]
Browse = Callable[[str], Browsing]


def test_the_page_shows_what_is_available_frozen_pending_and_owed(
    console: ConsoleEnvironment, browse: Browse, user: User
) -> None:
    anna, now = user(), datetime.now(UTC)
    applied(
        console,
        Earn(tenant_id="shop", user_id=anna, amount=12_000),
        Earn(tenant_id="shop", user_id=anna, amount=70, activates_at=now + timedelta(days=3)),
        Freeze(tenant_id="shop", user_id=anna, amount=2_000, reason="checkout 7"),
    )
    words = browse("support").html(f"/console/shop/members/{anna}").words
    assert "Available 10,000 Frozen 2,000 Pending 70 Debt 0" in words
    assert "checkout 7" in words


def test_moments_are_of_the_tenants_zone_with_utc_beside_them(
    console: ConsoleEnvironment, browse: Browse, user: User
) -> None:
    anna = user()
    happened = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    applied(console, Earn(tenant_id="shop", user_id=anna, amount=1, occurred_at=happened))
    text = browse("support").get(f"/console/shop/members/{anna}").text
    assert 'title="2026-01-02 03:04:05 UTC">2026-01-01 22:04:05</time>' in text


def test_the_chart_has_a_bar_for_each_month_and_a_table_with_its_numbers(
    console: ConsoleEnvironment, browse: Browse, user: User
) -> None:
    anna, now = user(), datetime.now(UTC)
    soon, late = now + timedelta(days=40), now + timedelta(days=700)
    applied(
        console,
        Earn(tenant_id="shop", user_id=anna, amount=300, expires_at=soon),
        Earn(tenant_id="shop", user_id=anna, amount=200, expires_at=late),
        Earn(tenant_id="shop", user_id=anna, amount=100),
    )
    page = browse("support").html(f"/console/shop/members/{anna}")
    month = console.ledger.client.expiring("shop", anna, 365).lots[0]["expires_at"][:7]
    assert f"{month}: 300 points" in page.words
    assert "later: 200 points" in page.words and "never: 100 points" in page.words
    assert "2 lots that expire, 500 points" in page.words


def test_entries_come_by_cursor_and_by_type_and_each_has_an_address(
    console: ConsoleEnvironment, browse: Browse, user: User
) -> None:
    anna, most = user(), member_page.ENTRIES
    applied(console, *(Earn(tenant_id="shop", user_id=anna, amount=2) for _ in range(most + 5)))
    applied(console, Spend(tenant_id="shop", user_id=anna, amount=1, description="a cup"))
    browsing = browse("support")
    first = browsing.html(f"/console/shop/members/{anna}")
    assert f"{most} on this page" in first.words
    second = browsing.html(first.links["Older"])
    assert "6 on this page" in second.words and "Older" not in second.links
    assert "a cup" in browsing.html(second.links["Newest"]).words
    spent = browsing.html(f"/console/shop/members/{anna}?type=spend")
    assert "a cup" in spent.words and "earn · manual" not in spent.words
    assert "No entry of this type" in browsing.html(f"/console/shop/members/{anna}?type=refund").words


def test_why_did_i_get_7_points_is_answered_in_two_clicks_after_the_search(
    console: ConsoleEnvironment, browse: Browse, user: User
) -> None:
    anna = user()
    events = [
        ApplyRule(tenant_id="shop", user_id=anna, event_type="visit", event_id=f"{anna}-{number}")
        for number in range(2)
    ]
    applied(console, *events)
    browsing = browse("support")
    start = browsing.html("/console/shop/members")
    found = browsing.send(start.form("/members"), q=anna)  # 1: the search leads to the member
    assert found.url.path == f"/console/shop/members/{anna}"
    why = browsing.html(Html(found.text).links["Why?"]).words  # 2: the newest entry's reason
    for part in (
        "Rule visit version 1",
        "Wanted 10",
        "Granted 7",
        "Held by points per user and day",
        "Sent by service",
        f"Its event id: {anna}-1.",
        "came, active",
    ):
        assert part in why, part
    assert '"kind": "apply-rule"' in why, "the raw command"


def test_the_search_finds_ids_by_their_beginning_and_says_when_there_is_none(
    console: ConsoleEnvironment, browse: Browse, user: User
) -> None:
    prefix = f"find/{user()}-"
    ids = [f"{prefix}{name}" for name in ("a", "b%", "c?d")]
    applied(console, *(Earn(tenant_id="shop", user_id=each, amount=1) for each in ids))
    browsing = browse("support")
    found = Html(browsing.client.get("/console/shop/members", params={"q": prefix}).text)
    assert set(ids) <= found.links.keys()
    for each in ids:
        assert each in browsing.html(found.links[each]).words
    assert "No member is called" in browsing.html("/console/shop/members?q=nobody-has-this").words


def test_another_members_entry_and_another_tenants_member_are_not_found(
    console: ConsoleEnvironment, browse: Browse, user: User
) -> None:
    anna, ben = user(), user()
    applied(
        console,
        Earn(tenant_id="shop", user_id=anna, amount=1),
        Earn(tenant_id="other", user_id=ben, amount=1),
    )
    entry = console.ledger.entries(anna)[0]["id"]
    other_entry = console.ledger.entries(ben, "other")[0]["id"]
    browsing = browse("both")
    assert browsing.get(f"/console/shop/members/{anna}/entries/{entry}").status_code == 200
    assert browsing.get(f"/console/shop/members/{ben}/entries/{entry}").status_code == 404
    assert browsing.get(f"/console/shop/members/{ben}").status_code == 404
    assert browsing.get(f"/console/shop/members/{ben}/entries/{other_entry}").status_code == 404
    assert browsing.get(f"/console/other/members/{anna}/entries/{entry}").status_code == 404


def test_a_statement_leads_from_opening_to_closing_and_its_csv_holds_no_formula(
    console: ConsoleEnvironment, browse: Browse, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    anna = user()
    applied(
        console,
        Earn(tenant_id="shop", user_id=anna, amount=500, reason="=1+1"),
        Spend(tenant_id="shop", user_id=anna, amount=120),
    )
    browsing = browse("support")
    page = browsing.html(f"/console/shop/members/{anna}/statement")
    assert "Opening, available 0" in page.words
    assert "Movement +380" in page.words and "Closing, available 380" in page.words
    assert "earn manual 1 +500" in page.words and "spend purchase 1 −120" in page.words
    export = browsing.html(page.links["CSV"])
    assert "Entries 2" in export.words and "keeps that you export it" in export.words
    lines = browsing.send(export.form("/csv"), reason="her tax adviser asks").text.splitlines()
    assert len(lines) == 3 and "'=1+1" in lines[1]
    before = browsing.html(f"/console/shop/members/{anna}/statement?from=2020-01-01&to=2020-01-31")
    assert "No entries in these days" in before.words
    for wrong in ("from=x", "from=2027-02-01&to=2027-01-01", "from=2020-01-01&to=2026-01-01"):
        for path in ("statement", "statement/csv"):
            assert browsing.get(f"/console/shop/members/{anna}/{path}?{wrong}").status_code == 400
    monkeypatch.setattr(statement, "_MOST", 1)
    refused = browsing.send(export.form("/csv"), reason="all of it")
    assert refused.status_code == 400 and "at most 1 are read" in Html(refused.text).words


def test_an_export_has_everything_and_is_a_download(
    console: ConsoleEnvironment, browse: Browse, user: User
) -> None:
    anna = user()
    applied(console, Earn(tenant_id="shop", user_id=anna, amount=5))
    browsing = browse("finance")
    form = browsing.html(f"/console/shop/members/{anna}/export").form("/export")
    answer = browsing.send(form, reason="she asks for her data")
    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.json()["account"]["balance"] == 5
    assert browse("support").get(f"/console/shop/members/{anna}/export").status_code == 403


def test_the_act_of_an_export_names_a_member_without_an_account(
    console: ConsoleEnvironment, browse: Browse, user: User
) -> None:
    anna = user()
    applied(console, Spend(tenant_id="shop", user_id=anna, amount=5))
    browsing = browse("admin")
    form = browsing.html(f"/console/shop/members/{anna}/export").form("/export")
    assert browsing.send(form, reason="asked for").json()["account"] is None
    assert f"export {anna} exported member" in browsing.html(f"/console/shop/acts?user_id={anna}").words


def test_an_export_without_a_reason_is_none_and_each_other_is_an_act(
    console: ConsoleEnvironment, browse: Browse, user: User
) -> None:
    anna = user()
    applied(console, Earn(tenant_id="shop", user_id=anna, amount=5))
    browsing = browse("admin")
    pages = {
        "export": f"/console/shop/members/{anna}/export",
        "csv": f"/console/shop/members/{anna}/statement/csv?from=2020-01-01&to=2020-12-31",
    }
    for name, path in pages.items():
        form = browsing.html(path).form(f"/{name}")
        assert browsing.send(form, reason=" ").status_code == 422
        assert "content-disposition" in browsing.send(form, reason=f"asked for {name}").headers
    acts = browsing.html(f"/console/shop/acts?user_id={anna}").words
    assert f"person:admin export {anna} exported member asked for export" in acts
    about = "exported statement ; from 2020-01-01 ; to 2020-12-31 and 1 more entries 0 asked for csv"
    assert f"person:admin export {anna} {about}" in acts
    assert acts.count(f"export {anna}") == 2
