"""Rules and the program in a real browser: what a person who changes them sees, types and presses."""

from collections.abc import Callable
from itertools import count
from typing import Any

import pytest

from tests.console.environment import ConsoleEnvironment
from tests.console.programs import rule_id, versions

pytestmark = pytest.mark.long

Page = Callable[..., Any]

_NUMBERS = count(1)


def _rule(console: ConsoleEnvironment) -> str:
    name = f"browser-rule-{next(_NUMBERS)}"
    console.ledger.rule("shop", name=name, event_type=name, points=5)
    return name


def test_marketing_makes_a_rule_which_is_checked_as_it_is_typed_and_disables_it(
    console: ConsoleEnvironment, page: Page
) -> None:
    name = f"browser-rule-{next(_NUMBERS)}"
    shown = page("marketing")
    shown.click("nav >> text=Rules")
    shown.click("text=New rule")
    shown.fill("[name='name']", name)
    shown.fill("[name='event_type']", "baskets")
    assert shown.locator("[name='award.base.field']").is_hidden(), "of other kinds of award"
    shown.select_option("[name='award.base.kind']", "per_unit")
    assert shown.locator("[name='award.base.field']").is_visible()
    shown.fill("[name='award.base.field']", "amount_minor")
    shown.fill("[name='award.base.per']", "100")
    shown.fill("[name='award.base.points']", "one")
    at_field = shown.locator("#f-award-base-points-error")
    at_field.get_by_text("valid integer").wait_for()
    assert shown.get_attribute("[name='award.base.points']", "aria-invalid") == "true"
    shown.fill("[name='award.base.points']", "2")
    shown.get_by_text("The server accepts this").wait_for()
    assert at_field.is_hidden()
    assert shown.get_attribute("[name='award.base.points']", "aria-invalid") is None
    assert shown.evaluate("document.activeElement.name") == "award.base.points", "typing goes on"

    shown.click("text=Edit as JSON")
    text = shown.input_value("#json")
    assert '"per": 100' in text
    shown.fill("#json", text.replace('"per": 100', '"per": 50'))
    shown.get_by_text("The server accepts this").wait_for()
    shown.click("text=Review the change")
    assert shown.locator("tr.added", has_text="award.base.per").inner_text().split()[-2:] == ["50", "added"]
    shown.fill("#reason", "the spring campaign")
    shown.dblclick("button:text-is('Save')")
    shown.get_by_text("Version 1 is saved").wait_for()
    assert versions(console, name) == 1
    shown.click("text=Disable")
    shown.fill("#reason", "the campaign ends")
    shown.click("button:text-is('Save')")
    shown.get_by_text("Version 2 is saved").wait_for()
    assert "disabled" in shown.inner_text("h1")


def test_without_scripts_a_rule_is_changed_by_the_same_forms(console: ConsoleEnvironment, page: Page) -> None:
    name = _rule(console)
    shown = page("marketing", f"/console/shop/rules/{rule_id(console, name)}", java_script_enabled=False)
    shown.click("text=Edit")
    shown.fill("[name='award.base.points']", "x")
    shown.press("[name='award.base.points']", "Enter")
    assert "valid integer" in shown.inner_text("#f-award-base-points-error")
    shown.fill("[name='award.base.points']", "6")
    shown.click("button:text-is('Check')")
    assert "The server accepts this" in shown.inner_text("#check")
    shown.press("[name='award.base.points']", "Enter")
    shown.fill("#reason", "a test")
    shown.click("button:text-is('Save')")
    assert "Version 2 is saved" in shown.inner_text("main")


def test_a_session_that_ends_while_a_rule_is_edited_says_so_and_loses_nothing(
    console: ConsoleEnvironment, page: Page
) -> None:
    name = _rule(console)
    shown = page("marketing", f"/console/shop/rules/{rule_id(console, name)}/edit")
    shown.wait_for_selector("[name='award.base.points']")
    shown.context.clear_cookies()
    shown.fill("[name='award.base.points']", "17")
    shown.get_by_text("Your session has ended").wait_for()
    shown.click("text=Review the change")
    shown.click("a:text('Log in again')")
    shown.click("a[href*='person=marketing']")
    assert shown.input_value("[name='award.base.points']") == "17"
    shown.click("text=Review the change")
    assert "17" in shown.inner_text("tr.changed")
