"""The Today page: points, work, audits and the doctor's findings. Without a browser."""

from collections.abc import Callable

import pytest

from pointledger import Actor, Earn, Spend
from pointledger.api.console.pages import doctor, today
from pointledger.jobs.verifying import TenantChecks
from pointledger.observability.doctor import Finding, Severity
from tests.console.browsing import Browsing, Html
from tests.console.conftest import applied
from tests.console.environment import ConsoleEnvironment
from tests.waiting import wait_until

Browse = Callable[[str], Browsing]
User = Callable[[], str]

TODAY = "/console/vault/today"
OTHERS = Finding("backlog", Severity.WARNING, "most of rival", "Start more workers.", frozenset({"rival"}))
WELL = Finding("beat", Severity.FINE, "last heartbeat 1 s ago")
LOST = Finding("postgres", Severity.DANGER, "does not answer", "Check that Postgres runs.")


def page_with(browsing: Browsing, words: str) -> Html:
    """Return the page that has these words. Those who look within seconds share one reading."""
    found: list[Html] = []

    def shows() -> bool:
        found.append(browsing.html(TODAY))
        return words in found[-1].words

    wait_until(shows, f"the page shows {words}")
    return found[-1]


def test_today_shows_points_by_day_and_runs_an_audit_once_per_form(
    console: ConsoleEnvironment, browse: Browse, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(today, "POINTS_SECONDS", 0.0)
    console.ledger.tenant("vault")
    browsing, anna = browse("crew"), user()
    empty = browsing.html(TODAY).words
    assert "No points have been issued yet" in empty and "No audit of this tenant was run yet" in empty
    applied(
        console,
        Earn(tenant_id="vault", user_id=anna, amount=12_345),
        Spend(tenant_id="vault", user_id=anna, amount=345),
    )
    shown = page_with(browsing, "12,345").words
    assert "Outstanding 12,000" in shown and "Redeemed today 345" in shown

    form = browsing.html("/console/vault/today/audit").form("/today/audit")
    assert "Reason: say why" in Html(browsing.send(form).text).words
    browsing.send(form, reason="the month closes")
    browsing.send(form, reason="the month closes")
    assert "Asked for by person:crew" in page_with(browsing, "waiting").words
    checks = TenantChecks(console.ledger.database)
    checks.go_on(0.0)
    assert "rows" in page_with(browsing, "running").words
    while checks.go_on():
        pass
    assert "No violation in 2 entries of 1 account," in page_with(browsing, "sound").words
    browsing.send(form, reason="a second tab that is old")
    assert not checks.go_on(), "the old form asks for no second audit"
    audits = browsing.html("/console/vault/today/audits").words
    assert audits.count("the month closes") == 1
    assert "person:crew" in audits


def test_a_broken_ledger_comes_before_everything_that_waits(
    console: ConsoleEnvironment, browse: Browse, user: User
) -> None:
    console.ledger.tenant("broken")
    anna = user()
    applied(console, Earn(tenant_id="broken", user_id=anna, amount=5))
    with console.ledger.owner.begin() as connection:
        connection.exec_driver_sql("UPDATE accounts SET version = version + 1 WHERE tenant_id = 'broken'")
    console.ledger.client.verify("broken", Actor("person:crew", "a test"))
    checks = TenantChecks(console.ledger.database)
    while checks.go_on():
        pass
    browsing = browse("crew")
    shown = browsing.html("/console/broken/today")
    assert "The last audit found violations." in shown.words
    found = browsing.html(shown.links["See the violations"])
    assert anna in found.words


def test_a_role_without_the_queue_or_the_doctor_does_not_see_them(browse: Browse) -> None:
    marketing = browse("marketing").html("/console/shop/today")
    assert "Outstanding" in marketing.words
    assert not {"Run the audit", "See what the doctor finds"} & marketing.links.keys()
    assert not [href for href in marketing.links.values() if "/queue" in href]
    operator = browse("operator")
    shown = operator.html("/console/shop/today")
    assert {"Run the audit", "See what the doctor finds"} <= shown.links.keys()
    findings = operator.html(shown.links["See what the doctor finds"]).words
    assert "checks are fine" in findings and "noeviction" in findings


def test_the_doctor_shows_dangers_first_and_nothing_of_other_tenants() -> None:
    found = doctor.findings_for([LOST, OTHERS, WELL], frozenset({"shop"}))
    assert [line.check for line in found.open] == ["postgres", "backlog"]
    assert "rival" not in str(found)
    assert found.open[1].remedy == "Start more workers."
    assert "rival" in doctor.findings_for([OTHERS], frozenset({"shop", "rival"})).open[0].seen


def test_malformed_filters_and_cursors_are_refused_by_name(browse: Browse) -> None:
    browsing = browse("finance")
    for path, name in (
        ("today?by=x", "by: recorded or occurred"),
        ("today?until=31.1.2027", "until: a date"),
        ("today?until=2999-01-31", "until: must be from"),
        ("today/audits?before=x", "before:"),
    ):
        refused = browsing.get(f"/console/shop/{path}")
        assert refused.status_code == 400
        assert name in Html(refused.text).words
