"""The Today page in a real browser: an audit's progress, charts, both themes, a small screen."""

from collections.abc import Callable
from typing import Any

import pytest

from pointledger import Earn, Spend
from pointledger.jobs.verifying import TenantChecks
from tests.console.browsing import FOR_AXE, check_with_axe
from tests.console.conftest import applied
from tests.console.environment import ConsoleEnvironment
from tests.waiting import wait_until

pytestmark = pytest.mark.long

User = Callable[[], str]
Page = Callable[..., Any]

NARROW, WIDE = {"width": 320, "height": 640}, {"width": 1280, "height": 800}
PAGES = [f"/console/shop/today{rest}" for rest in ("", "?by=occurred&until=2020-01-31", "/audits", "/doctor")]


def test_a_person_runs_an_audit_and_sees_new_numbers_and_its_result_without_loading_the_page(
    console: ConsoleEnvironment, page: Page, user: User
) -> None:
    console.ledger.tenant("till")
    anna = user()
    applied(
        console,
        Earn(tenant_id="till", user_id=anna, amount=900),
        Spend(tenant_id="till", user_id=anna, amount=100),
    )
    shown = page("crew", "/console/till")
    shown.wait_for_url("**/till/today")
    for chart in ("outstanding", "days", "rate", "lag"):
        shown.wait_for_selector(f"#chart-{chart} canvas")
    shown.wait_for_selector("#findings")
    shown.click("text=Run the audit")
    shown.keyboard.type("the month closes")  # the reason has the focus
    shown.dblclick("button:text('Run the audit')")
    shown.wait_for_url("**/till/today")
    shown.wait_for_selector("#audit .state:text('waiting')")
    shown.evaluate("window.isSame = true")
    shown.click("#days-numbers > summary")
    numbers = "document.querySelector('#minutes tbody').textContent"
    before = shown.evaluate(numbers)
    applied(console, Earn(tenant_id="till", user_id=anna, amount=1))
    checks = TenantChecks(console.ledger.database)
    while checks.go_on():
        pass
    shown.wait_for_selector("#audit .state:text('sound')")
    assert shown.evaluate("window.isSame"), "the page was not loaded again"
    wait_until(lambda: shown.evaluate(numbers) != before, "the chart's table has the new numbers")
    assert shown.locator("#chart-rate canvas").count() == 1, "its chart is the same"
    assert shown.is_visible("#days"), "what was unfolded stays"
    shown.click("#all-audits")
    assert shown.locator("tbody tr").count() == 1, "a double click is one audit"


def test_axe_finds_nothing_in_both_themes_and_no_page_is_wider_than_a_small_screen(
    console: ConsoleEnvironment, page: Page, user: User
) -> None:
    applied(console, Earn(tenant_id="shop", user_id=user(), amount=900))
    shown = page("admin", **FOR_AXE)
    for path in PAGES:
        shown.goto(path)
        if "/today/" not in path:
            shown.wait_for_selector("#findings")
        for detail in shown.query_selector_all("details > summary"):
            detail.click()
        check_with_axe(shown)
        shown.set_viewport_size(NARROW)
        assert shown.evaluate("document.documentElement.scrollWidth") <= NARROW["width"], path
        shown.set_viewport_size(WIDE)


def test_without_scripts_the_numbers_are_there_and_links_lead_on(
    console: ConsoleEnvironment, page: Page
) -> None:
    shown = page("admin", java_script_enabled=False)
    shown.goto("/console/shop/today")
    shown.click("#minutes-numbers > summary")
    assert shown.is_visible("#minutes")
    assert not shown.is_visible("#chart-rate")
    shown.select_option("#by", "occurred")
    shown.click("text=Show")
    assert "by=occurred" in shown.url
    shown.click("text=See what the doctor finds")
    assert "checks are fine" in shown.inner_text("main")
