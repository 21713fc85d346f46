"""Acts answer who did what: by person, kind, member and time, page by page, and as a file."""

import csv
import io
import json
from collections.abc import Callable
from datetime import datetime

import httpx
import pytest

from pointledger import Adjust, SetStatus
from pointledger.storage.ledger import program
from tests.console.browsing import Browsing
from tests.console.conftest import applied
from tests.console.environment import ConsoleEnvironment

User = Callable[[], str]
Browse = Callable[[str], Browsing]


def _acts(console: ConsoleEnvironment, user: str) -> None:
    applied(
        console, Adjust(tenant_id="shop", user_id=user, amount=500, reason="entered twice", actor="carla")
    )
    applied(
        console,
        SetStatus(tenant_id="shop", user_id=user, status="suspended", reason="=HYPERLINK(1)", actor="-carla"),
    )
    applied(console, Adjust(tenant_id="shop", user_id=user, amount=-9_000, reason="too much", actor="carla"))


def test_an_act_says_who_what_why_and_what_changed(
    console: ConsoleEnvironment, browse: Browse, user: User
) -> None:
    anna = user()
    _acts(console, anna)
    words = browse("finance").html(f"/console/shop/acts?user_id={anna}").words
    assert f"carla adjust refused {anna} INSUFFICIENT_BALANCE too much" in words
    assert f"-carla set-status {anna} status active → suspended =HYPERLINK(1)" in words
    assert "entered twice" in words


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({}, 3),
        ({"actor": "carla"}, 2),
        ({"actor": "-carla"}, 1),
        ({"kind": "set-status"}, 1),
        ({"state": "refused"}, 1),
        ({"from": "{today}", "to": "{today}"}, 3),
        ({"to": "2001-01-01"}, 0),
        ({"from": "2998-01-01"}, 0),
    ],
)
def test_acts_are_filtered_by_person_kind_outcome_and_days_of_the_tenant(
    console: ConsoleEnvironment, browse: Browse, user: User, filters: dict[str, str], found: int
) -> None:
    anna = user()
    _acts(console, anna)
    browsing = browse("finance")
    today = console.ledger.client.account("shop", anna)["as_of"]
    with console.ledger.database.connect() as connection:
        day = program.tenant(connection, "shop").local_date(datetime.fromisoformat(today))
    given = {name: value.format(today=day) for name, value in filters.items()}
    form = browsing.html("/console/shop/acts").form("/acts")
    answer = browsing.send(form, user_id=anna, **given)
    assert answer.status_code == 200
    assert answer.text.count(f">{anna}</a>") == found
    if not found:
        assert "No act fits" in answer.text


def test_acts_are_paged_by_cursor_without_gap_or_repetition(
    console: ConsoleEnvironment, browse: Browse, user: User
) -> None:
    anna = user()
    applied(console, *(Adjust(tenant_id="shop", user_id=anna, amount=n + 1, reason="r") for n in range(70)))
    browsing = browse("finance")
    first = browsing.html(f"/console/shop/acts?user_id={anna}&kind=adjust")
    second = browsing.get(first.links["Older"])
    assert browsing.last is not None
    both = browsing.get(f"/console/shop/acts?user_id={anna}&kind=adjust").text.count(f">{anna}</a>")
    assert (both, second.text.count(f">{anna}</a>")) == (50, 20)
    assert "kind=adjust" in str(second.url)


def exported(browsing: Browsing, path: str) -> httpx.Response:
    """Return the file that the page offers."""
    return browsing.send(browsing.html(path).form("/export"), reason="an audit")


def test_an_export_as_csv_has_the_filtered_acts_and_no_formula(
    console: ConsoleEnvironment, browse: Browse, user: User
) -> None:
    anna = user()
    _acts(console, anna)
    finance = browse("finance")
    links = finance.html(f"/console/shop/acts?user_id={anna}").links
    answer = exported(finance, links["CSV"])
    assert answer.headers["content-disposition"] == 'attachment; filename="acts.csv"'
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["kind"] for row in rows] == ["adjust", "set-status", "adjust"]
    assert rows[1]["actor"] == "'-carla" and rows[1]["reason"] == "'=HYPERLINK(1)"
    assert json.loads(rows[2]["after"])["account"]["balance"] == 500
    lines = [json.loads(line) for line in exported(finance, links["JSON lines"]).text.splitlines()]
    assert lines.pop(0)["kind"] == "export", "that of the CSV"
    assert [line["id"] for line in lines] == [row["id"] for row in rows]
    assert lines[1]["reason"] == "=HYPERLINK(1)", "JSON is no spreadsheet"


def test_an_export_of_acts_is_an_act_of_the_person_and_not_in_its_own_file(
    console: ConsoleEnvironment, browse: Browse, user: User
) -> None:
    anna = user()
    _acts(console, anna)
    finance = browse("finance")
    path = f"/console/shop/acts/export?user_id={anna}&kind=adjust&format=jsonl"
    assert len(exported(finance, path).text.splitlines()) == 2
    latest = console.ledger.rows(
        "SELECT actor, reason, after FROM audit_log ORDER BY recorded_at DESC LIMIT 1"
    )
    (actor, reason, after) = latest[0]
    assert (actor, reason) == ("person:finance", "an audit")
    account_id = str(after.pop("account_id"))
    assert after == {"exported": "acts", "format": "jsonl", "kind": "adjust"}, "no user: the log stays"
    assert account_id == str(
        console.ledger.rows("SELECT id FROM accounts WHERE user_id = %(u)s", u=anna)[0][0]
    )
    assert f"export {anna} exported acts" in finance.html(f"/console/shop/acts?user_id={anna}").words


def test_a_tenant_without_the_filtered_acts_gets_a_file_with_the_head_only(browse: Browse) -> None:
    answer = exported(browse("finance"), "/console/shop/acts/export?actor=no-one-has-this-name")
    assert answer.status_code == 200 and len(answer.text.splitlines()) == 1


def test_operators_look_at_acts_and_export_none_and_others_see_none(browse: Browse) -> None:
    operator = browse("operator")
    assert "CSV" not in operator.html("/console/shop/acts").links
    assert operator.get("/console/shop/acts/export").status_code == 403
    assert browse("support").get("/console/shop/acts").status_code == 403


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("kind=bribe", "kind: one of"),
        ("state=maybe", "state: one of"),
        ("from=yesterday", "from: a day like"),
        ("from=2027-02-01&to=2027-01-01", "to: the last day"),
        ("to=9999-01-01", "to: a day between"),
        ("actor=" + "x" * 300, "actor: at most"),
        ("user_id=%00", "user_id: at most"),
        ("before=x", "before"),
    ],
)
def test_a_filter_that_cannot_be_is_named_with_its_limit(browse: Browse, query: str, said: str) -> None:
    browsing = browse("finance")
    for path in ("/console/shop/acts", "/console/shop/acts/export"):
        if "before" in query and path.endswith("export"):
            continue
        answer = browsing.get(f"{path}?{query}")
        assert answer.status_code == 400 and said in answer.text, path
    assert browsing.get("/console/shop/acts/export?format=xls").status_code == 400
