"""The console in a real browser, against the real system: Debian's Chromium, driven by Playwright."""

import gzip
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from pointledger import ApplyRule, Earn, Freeze, Spend
from tests import environments
from tests.console.browsing import FOR_AXE, check_with_axe
from tests.console.conftest import applied
from tests.console.environment import ConsoleEnvironment
from tests.console.programs import rule_id
from tests.waiting import wait_until

pytestmark = pytest.mark.long

User = Callable[[], str]
Page = Callable[..., Any]

NARROW = {"width": 320, "height": 640}


def _member(console: ConsoleEnvironment, user: str) -> None:
    now = datetime.now(UTC)
    applied(
        console,
        Earn(tenant_id="shop", user_id=user, amount=1_000, expires_at=now + timedelta(days=30)),
        Spend(
            tenant_id="shop", user_id=user, amount=100, description="Order 7: a cup with a long description"
        ),
        Freeze(tenant_id="shop", user_id=user, amount=200, reason="checkout"),
    )


def _confirming(page: Any, user: str, amount: str) -> None:
    page.goto(f"/console/shop/members/{user}/actions/adjust")
    page.fill("#field-amount", amount)
    page.click("text=See what it would do")
    page.fill("#reason", "a test")


def test_a_person_logs_in_adjusts_a_member_and_logs_out(
    console: ConsoleEnvironment, page: Page, user: User
) -> None:
    anna = user()
    _member(console, anna)
    shown = page("admin")
    shown.fill("#search", anna)
    shown.press("#search", "Enter")
    shown.click("nav.actions >> text=Adjust")
    shown.fill("#field-amount", "-50")
    shown.click("text=See what it would do")
    assert "650" in shown.inner_text("table.changes")
    shown.fill("#reason", "entered twice")
    shown.click("text=Confirm")
    shown.wait_for_url(f"**/members/{anna}?command=*")
    assert "650" in shown.inner_text(".figures")
    shown.click("text=Log out")
    shown.wait_for_url("**/goodbye")


def test_why_is_three_interactions_from_the_search(
    console: ConsoleEnvironment, page: Page, user: User
) -> None:
    anna = user()
    applied(
        console,
        *(
            ApplyRule(tenant_id="shop", user_id=anna, event_type="visit", event_id=f"{anna}-{number}")
            for number in range(2)
        ),
    )
    shown = page("support")
    interactions = 0
    shown.wait_for_selector("[type=search]:focus")  # the search has the focus
    shown.keyboard.type(anna)
    shown.keyboard.press("Enter")
    interactions += 1
    shown.wait_for_url(f"**/members/{anna}")
    why = shown.locator("text=Why?").first
    why.click()
    interactions += 1
    answer = shown.locator("#why")
    answer.wait_for()
    assert interactions <= 3
    words = answer.inner_text()
    assert "visit" in words and "points per user and day" in words and "7" in words
    assert anna in shown.title(), "the page stays the member's"
    assert why.get_attribute("aria-expanded") == "true"
    why.click()
    wait_until(lambda: answer.count() == 0, "a second click folds it away")


def test_a_double_click_is_one_command(console: ConsoleEnvironment, page: Page, user: User) -> None:
    anna = user()
    _member(console, anna)
    shown = page("admin")
    _confirming(shown, anna, "5")
    shown.dblclick("text=Confirm")
    shown.wait_for_url("**/members/*command=*")
    assert console.ledger.balance(anna) == 705


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without scripts"])
def test_two_tabs_with_the_same_form_are_one_command(
    console: ConsoleEnvironment, page: Page, user: User, scripts: bool
) -> None:
    anna = user()
    _member(console, anna)
    first = page("admin", java_script_enabled=scripts)
    _confirming(first, anna, "5")
    second = first.context.new_page()
    second.goto(first.url)
    second.fill("#reason", "a test")
    first.click("text=Confirm")
    first.wait_for_url("**/members/*command=*")
    second.click("text=Confirm")
    second.wait_for_url("**/members/*command=*")
    assert first.url == second.url
    assert console.ledger.balance(anna) == 705


def test_the_back_button_after_a_confirmation_sends_nothing_new(
    console: ConsoleEnvironment, page: Page, user: User
) -> None:
    anna = user()
    _member(console, anna)
    shown = page("admin")
    _confirming(shown, anna, "5")
    shown.click("text=Confirm")
    shown.wait_for_url("**/members/*command=*")
    shown.go_back()
    shown.wait_for_selector("#reason")
    shown.fill("#reason", "a test")
    shown.click("text=Confirm")
    shown.wait_for_url("**/members/*command=*")
    assert console.ledger.balance(anna) == 705


def test_a_session_that_ends_in_the_middle_of_a_form_loses_nothing_that_was_typed(
    console: ConsoleEnvironment, page: Page, user: User
) -> None:
    anna = user()
    _member(console, anna)
    shown = page("admin")
    _confirming(shown, anna, "5")
    shown.context.clear_cookies()
    shown.click("text=Confirm")
    shown.click("a:text('Log in again')")
    shown.click("a[href*='person=admin']")
    assert shown.input_value("#reason") == "a test"
    shown.click("text=Confirm")
    shown.wait_for_url("**/members/*command=*")
    assert console.ledger.balance(anna) == 705


def test_a_part_that_is_asked_after_the_session_leads_to_the_login_and_back(
    console: ConsoleEnvironment, page: Page, user: User
) -> None:
    anna = user()
    _member(console, anna)
    shown = page("support", f"/console/shop/members/{anna}")
    shown.wait_for_url("**/members/*")
    shown.context.clear_cookies()
    shown.locator("text=Why?").first.click()
    shown.click("a[href*='person=support']")
    shown.wait_for_url(f"**/members/{anna}")


def test_everything_is_reached_by_keyboard_alone(console: ConsoleEnvironment, page: Page, user: User) -> None:
    anna = user()
    _member(console, anna)
    shown = page("admin", "/console/shop/members")
    shown.wait_for_url("**/members")
    shown.goto(f"/console/shop/members/{anna}")
    shown.keyboard.press("Tab")
    assert shown.evaluate("document.activeElement.className") == "skip"
    shown.keyboard.press("Enter")
    shown.keyboard.press("Tab")
    assert shown.evaluate("document.activeElement.closest('main') !== null")
    shown.keyboard.press("?")
    assert shown.locator("#keys").is_visible()
    shown.keyboard.press("Escape")
    assert not shown.locator("#keys").is_visible()
    shown.keyboard.press("/")
    assert shown.evaluate("document.activeElement.id") == "search"
    shown.locator("text=Why?").first.focus()
    outline = shown.evaluate("getComputedStyle(document.activeElement).outlineWidth")
    assert outline == "2px"
    shown.keyboard.press("Enter")
    shown.wait_for_selector("#why")


def _pages(console: ConsoleEnvironment, user: str) -> list[str]:
    entry = console.ledger.entries(user)[-1]
    member = f"/console/shop/members/{user}"
    rule = f"/console/shop/rules/{rule_id(console, 'visit')}"
    return [
        "/console",
        "/console/shop",
        "/console/shop/members",
        "/console/shop/members?q=nobody-has-this",
        member,
        f"{member}?type=refund",
        f"{member}/entries/{entry['id']}",
        f"{member}/statement",
        f"{member}/actions/clawback?related_id={entry['id']}",
        f"{member}/actions/freeze/check?amount=x",
        f"{member}/actions/adjust/check?amount=-50",
        f"{member}/actions/adjust/check?amount=-5000",
        f"/console/shop/commands/{entry['command_id']}",
        "/console/shop/rules",
        "/console/other/rules",
        rule,
        f"{rule}/edit?award.base.points=x",
        f"{rule}/edit?as=json",
        f"{rule}/review?enabled=no",
        f"{rule}/versions",
        f"/console/shop/rules/try?event_type=visit&user_id={user}",
        "/console/shop/acts",
        "/console/shop/program",
        "/console/shop/program/edit",
        "/console/shop/none",
        "/console/-/goodbye",
    ]


def test_axe_finds_nothing_on_any_page_in_either_theme(
    console: ConsoleEnvironment, page: Page, user: User
) -> None:
    anna = user()
    _member(console, anna)
    shown = page("both", **FOR_AXE)
    for path in _pages(console, anna):
        shown.goto(path)
        check_with_axe(shown)


@pytest.mark.parametrize("zoom", [1, 2], ids=["320 px", "640 px at 200 %"])
def test_no_page_is_wider_than_a_small_screen(
    console: ConsoleEnvironment, page: Page, user: User, zoom: int
) -> None:
    anna = user()
    _member(console, anna)
    shown = page("both", viewport=NARROW, device_scale_factor=zoom)
    for path in _pages(console, anna):
        shown.goto(path)
        assert shown.evaluate("document.documentElement.scrollWidth") <= NARROW["width"], path


def test_the_vendored_files_are_those_of_their_packages() -> None:
    modules = environments.node("console-scripts") / "node_modules"
    static = Path(str(files("pointledger.api.console") / "static"))
    vendored = {
        "htmx.min.js": modules / "htmx.org" / "dist" / "htmx.min.js",
        "uPlot.iife.min.js": modules / "uplot" / "dist" / "uPlot.iife.min.js",
        "uPlot.min.css": modules / "uplot" / "dist" / "uPlot.min.css",
    }
    for name, original in vendored.items():
        assert gzip.decompress((static / f"{name}.gz").read_bytes()) == original.read_bytes()
    for package, license in (("htmx.org", "htmx.LICENSE.txt"), ("uplot", "uPlot.LICENSE.txt")):
        assert (static / license).read_bytes() == (modules / package / "LICENSE").read_bytes()
        version = json.loads((modules / package / "package.json").read_text())["version"]
        assert version in (static / "README.md").read_text()
