"""The Queue page in a real browser: a dead command found and retried, live parts, charts, both themes."""

from collections.abc import Callable
from typing import Any

import pytest

from pointledger import Actor, Earn
from pointledger.ids import new_id, show_id
from tests.console.browsing import FOR_AXE, check_with_axe
from tests.console.environment import ConsoleEnvironment
from tests.console.stuck import die, fail, keep_letter
from tests.waiting import wait_until

pytestmark = pytest.mark.long

User = Callable[[], str]
Page = Callable[..., Any]

NARROW = {"width": 320, "height": 640}
MOST_CLICKS = 4  # of a person who has never seen the console; with a sentence to type, well below a minute


class Clicks:
    """Clicks what a person reads on the page, and keeps the words."""

    def __init__(self, page: Any) -> None:
        self._page = page
        self.words: list[str] = []

    def click(self, role: str, words: str) -> None:
        self._page.get_by_role(role, name=words).first.click()
        self.words.append(words)


def test_a_dead_command_is_found_and_retried_in_a_few_clicks(
    console: ConsoleEnvironment, page: Page, user: User
) -> None:
    (task_id,) = die(console.ledger, "mine", user(), ["ConnectionError: the rate service is away"])
    shown = page("crew", "/console/mine")
    person = Clicks(shown)
    person.click("link", "Queue")
    person.click("link", "Retry 1: ConnectionError")
    assert "Retry 1 dead command" in shown.inner_text("h1")
    assert "the rate service is away" in shown.inner_text("main")
    shown.keyboard.type("the rate service is back")  # the reason has the focus
    person.click("button", "Retry 1")
    shown.wait_for_url("**/queue/dead?*")
    assert "1 command is retried" in shown.inner_text("[role=status].notice")
    assert len(person.words) <= MOST_CLICKS, person.words
    assert person.words == ["Queue", "Retry 1: ConnectionError", "Retry 1"]
    wait_until(lambda: console.ledger.client.outcome(task_id).state == "applied", "it is applied")


def test_a_watched_queue_changes_by_itself_and_keeps_focus_scrolling_and_what_is_unfolded(
    console: ConsoleEnvironment, page: Page, user: User
) -> None:
    shown = page("crew", "/console/quiet/queue")
    shown.wait_for_selector("#chart-rate canvas")
    shown.click("#other-lanes > summary")
    shown.click("#minutes-numbers > summary")
    shown.evaluate("document.getElementById('minutes-scroll').scrollTop = 90")
    shown.focus("#minutes-scroll")
    fail(console.ledger, Earn(tenant_id="quiet", user_id=user(), amount=5), "TimeoutError: a slow lock")
    shown.wait_for_selector("text=TimeoutError: a slow lock")
    assert shown.evaluate("document.activeElement.id") == "minutes-scroll"
    assert shown.evaluate("document.activeElement.scrollTop") == 90
    assert shown.locator("#other-lanes[open] tbody tr").count() > 0
    assert shown.locator("#minutes-numbers[open] tbody tr").count() == 60
    for chart in ("rate", "latency", "depth"):
        assert shown.locator(f"#chart-{chart} canvas").count() == 1, "it is moved, not drawn a second time"
    plain = page("crew", "/console/quiet/queue", java_script_enabled=False)
    assert not plain.locator("#chart-rate").is_visible()
    plain.click("#minutes-numbers > summary")
    assert plain.locator("#minutes").is_visible(), "the numbers are there without scripts"


def test_a_commands_page_follows_it_to_its_outcome(
    console: ConsoleEnvironment, page: Page, user: User
) -> None:
    console.ledger.client.pause("mine", Actor("person:someone"))
    (task_id,) = console.ledger.client.enqueue_many([Earn(tenant_id="mine", user_id=user(), amount=5)])
    shown = page("crew", f"/console/mine/commands/{task_id}")
    shown.wait_for_selector("text=The tenant is paused")
    console.ledger.client.resume("mine", Actor("person:someone"))
    shown.wait_for_selector("text=it wrote 1 entry")
    assert not shown.get_by_role("link", name="Cancel the command").count()


def _pages(console: ConsoleEnvironment, user: str) -> list[str]:
    """Return each page in the states that differ in their parts."""
    error = f"KeyError: 'lot'\n{'a long line ' * 20}"
    dead, _ = die(console.ledger, "mill", user, [error, "ValueError"])
    failing = fail(console.ledger, Earn(tenant_id="mill", user_id=user, amount=5), error)
    letter = show_id(new_id())
    keep_letter(console.ledger, "mill", letter)
    rows: list[Any] = [(user, 5), {"user_id": "x"}]
    batch = console.ledger.client.batch_earn("mill", rows, idempotency_key=user)
    mill = "/console/mill"
    return [
        f"{mill}/queue",
        f"{mill}/queue/dead?kind=earn",
        f"{mill}/queue/dead/retry?kind=earn",
        f"{mill}/queue/dead-letters",
        f"{mill}/queue/batches/{batch.batch_id}",
        f"{mill}/commands?id=nonsense",
        f"{mill}/commands/{dead}",
        f"{mill}/commands/{failing}",
        f"{mill}/commands/{letter}",
        "/console/empty/queue/dead",
    ]


# The themes differ in colors only, so every other rule needs to be checked once.
def test_axe_finds_nothing_in_either_theme_and_no_page_is_wider_than_a_small_screen(
    console: ConsoleEnvironment, page: Page, user: User
) -> None:
    shown = page("crew", **FOR_AXE)
    for path in _pages(console, user()):
        shown.goto(path)
        shown.eval_on_selector_all("details", "all => all.forEach(each => each.open = true)")
        check_with_axe(shown)
        shown.set_viewport_size(NARROW)
        assert shown.evaluate("document.documentElement.scrollWidth") <= NARROW["width"], path
        shown.set_viewport_size({"width": 1280, "height": 720})
