"""The Queue page and the lists to which it leads; pauses. Without a browser."""

from collections.abc import Callable
from typing import Any

import pytest

from pointledger import Earn
from pointledger.ids import new_id, show_id
from tests.console.browsing import Browsing, Html
from tests.console.environment import ConsoleEnvironment
from tests.console.stuck import acts, alone_in_lane, die, fail, keep_letter, queue_with, states
from tests.waiting import wait_until

User = Callable[[], str]
Browse = Callable[[str], Browsing]

DEAD = "/console/mill/queue/dead"


def test_the_page_of_a_tenant_with_nothing_says_so(browse: Browse) -> None:
    browsing = browse("crew")
    words = browsing.html("/console/empty/queue").words
    for sentence in (
        "Nothing waits. Every accepted command has its outcome.",
        "Nothing waits in any lane.",
        "No job has run for this tenant yet.",
        "No batch was sent yet.",
    ):
        assert sentence in words
    for path, sentence in (
        ("dead", "No command is dead"),
        ("dead?kind=earn", "No dead command matches"),
        ("dead-letters", "No dead letters"),
        ("dead-letters?state=deferred", "No message in this state"),
        ("batches", "No batches"),
    ):
        assert sentence in browsing.html(f"/console/empty/queue/{path}").words
    assert browsing.get("/console/empty/queue/dead/retry").url.path == "/console/empty/queue/dead"


def test_dead_commands_are_grouped_by_cause_and_each_leads_to_its_commands(
    console: ConsoleEnvironment, browse: Browse, user: User, cause: str
) -> None:
    anna = user()
    first, second = die(console.ledger, "mill", anna, [f"{cause}: lot 17\nat line 4", f"{cause}: lot 4"])
    die(console.ledger, "mine", anna, [f"{cause}: lot 9"])
    browsing = browse("crew")
    queue = queue_with(browsing, "mill", f"{cause}: lot … earn 2 1")
    group = browsing.html(queue.links[f"{cause}: lot …"])
    assert "Dead commands 2" in group.words
    assert browsing.last is not None and all(each in browsing.last.text for each in (first, second))
    assert f"{cause}: lot 17" in group.words and "at line 4" not in group.words
    assert "Dead commands 1" in browsing.html(f"{DEAD}?error={cause}: LOT 17").words
    assert "No dead command matches" in browsing.html(f"{DEAD}?error={cause}&kind=spend").words


def test_a_tenant_is_paused_and_resumed_with_reasons(
    console: ConsoleEnvironment, browse: Browse, user: User
) -> None:
    browsing, anna = browse("crew"), alone_in_lane(console, "quiet", user)
    form = browsing.html("/console/quiet/queue/pause").form("/pause")
    assert browsing.send(form, reason="").status_code == 422
    for _ in range(2):
        shown = Html(browsing.send(form, reason="a wrong rule").text)
        assert "The tenant is paused." in shown.words
    assert browsing.get("/console/quiet/queue/pause").url.path == "/console/quiet/queue"
    (task_id,) = console.ledger.client.enqueue_many([Earn(tenant_id="quiet", user_id=anna, amount=5)])
    waiting = browsing.html(f"/console/quiet/commands/{task_id}")
    assert "none waits before it" in waiting.words and "The tenant is paused" in waiting.words

    resume = browsing.html("/console/quiet/queue/resume").form("/resume")
    older = browsing.send(resume, reason="x", since="2020-01-01T00:00:00Z")
    assert "The tenant is paused." in Html(older.text).words
    for _ in range(2):
        shown = Html(browsing.send(resume, reason="put right").text)
        assert "Pause the tenant" in shown.links
    wait_until(lambda: states(console, [task_id]) == ["applied"], "it is applied")
    assert acts(console, "quiet", "pause") == [("person:crew", "a wrong rule", "applied")]
    assert acts(console, "quiet", "resume") == [("person:crew", "put right", "applied")]


def test_dead_letters_are_listed_and_a_message_has_a_page_of_its_own(
    console: ConsoleEnvironment, browse: Browse
) -> None:
    dead_id, deferred_id = show_id(new_id()), show_id(new_id())
    keep_letter(console.ledger, "mill", dead_id)
    keep_letter(console.ledger, "mill", deferred_id, deferred=True)
    browsing = browse("crew")
    every = browsing.html("/console/mill/queue/dead-letters").words
    assert "INVALID_COMMAND: amount: a whole number from 1" in every
    assert "Again at" in browsing.html("/console/mill/queue/dead-letters?state=deferred").words
    assert "Again at" not in browsing.html("/console/mill/queue/dead-letters?state=dead").words
    page = browsing.html(f"/console/mill/commands/{dead_id}")
    assert "This message is no command" in page.words and "a whole number from 1" in page.words
    assert "not accepted yet" in browsing.html(f"/console/mill/commands/{deferred_id}").words
    assert browsing.get(f"/console/mine/commands/{dead_id}").status_code == 404


def test_a_batch_shows_its_progress_and_why_rows_were_refused(
    console: ConsoleEnvironment, browse: Browse, user: User
) -> None:
    rows: list[Any] = [(user(), 5), (user(), 7), {"user_id": "x"}]
    receipt = console.ledger.client.batch_earn("mill", rows, idempotency_key=f"import {user()}")
    wait_until(lambda: console.ledger.client.batch_outcome(receipt.batch_id).state == "done", "it is done")
    browsing = browse("crew")
    assert any(receipt.batch_id in href for href in browsing.html("/console/mill/queue").links.values())
    assert any(
        receipt.batch_id in href for href in browsing.html("/console/mill/queue/batches").links.values()
    )
    words = browsing.html(f"/console/mill/queue/batches/{receipt.batch_id}").words
    assert "3 of 3 decided done" in words and "Points earned 12" in words
    assert "INVALID_COMMAND 1" in words
    assert browsing.get(f"/console/mine/queue/batches/{receipt.batch_id}").status_code == 404
    assert browsing.get(f"/console/mill/queue/batches/{show_id(new_id())}").status_code == 404
    with browsing.client.stream("GET", f"/console/mill/queue/batches/{receipt.batch_id}/stream") as stream:
        assert [line for line in stream.iter_lines() if line][-2:] == ["event: end", "data: stay"]


def test_the_person_sees_what_waits_of_each_tenant_of_theirs_and_of_no_other(
    console: ConsoleEnvironment, browse: Browse
) -> None:
    words = browse("crew").html("/console/mill/queue").words.partition("By tenant")[2]
    rows = words.partition("Batches")[0]
    assert all(tenant in rows for tenant in ("mill", "mine", "quiet", "empty"))
    assert "shop" not in rows and "other" not in rows
    assert "By tenant" not in browse("operator").html("/console/shop/queue").words, "only one is theirs"


@pytest.mark.parametrize(
    ("path", "status", "named"),
    [
        ("commands?id=nonsense", 400, "Task id"),
        ("commands?id=01M7YS5T0G1V9RJ7Y6C6V2Q3XA", 404, "There is no command with this id"),
        ("commands/01M7YS5T0G1V9RJ7Y6C6V2Q3XA/cancel", 404, "There is no command"),
        ("queue/dead?kind=bribe", 400, "kind: one of"),
        ("queue/dead?until=yesterday", 400, "until: a moment like"),
        ("queue/dead?until=2027-01-31T10:00:00", 400, "until: a moment like"),
        (f"queue/dead?error={'x' * 301}", 400, "error: at most 300 characters"),
        ("queue/dead?group=%00", 400, "group: at most 300 characters, without NUL"),
        ("queue/dead-letters?state=lost", 400, "state: one of dead, deferred, replayed"),
        ("queue/dead-letters?before=0", 400, "before: the number of a dead letter"),
        ("queue/dead-letters?before=99999999999999999999", 400, "before: the number"),
        ("queue/batches?before=x", 400, "before:"),
        ("queue/batches/x", 400, "batch_id"),
        ("queue/batches/01M7YS5T0G1V9RJ7Y6C6V2Q3XA", 404, "There is no batch"),
    ],
)
def test_a_wrong_address_is_answered_with_what_is_wrong(
    browse: Browse, path: str, status: int, named: str
) -> None:
    answer = browse("crew").get(f"/console/mill/{path}")
    assert (answer.status_code, named in Html(answer.text).words) == (status, True)


def test_errors_that_look_like_markup_stay_text(
    console: ConsoleEnvironment, browse: Browse, user: User, cause: str
) -> None:
    error = f"<script>alert('{cause}')</script><img src=x onerror=alert(1)>"
    (task_id,) = die(console.ledger, "mill", user(), [error])
    browsing = browse("crew")
    queue_with(browsing, "mill", cause)
    pages = {
        "queue": 4,  # htmx, the console's own, uPlot and the charts
        f"queue/dead?error={cause}": 2,
        f"queue/dead/retry?error={cause}": 2,
        f"commands/{task_id}": 2,
        f"commands/{task_id}/retry": 2,
    }
    for path, scripts in pages.items():
        html = browsing.html(f"/console/mill/{path}")
        assert (html.scripts, html.handlers) == (scripts, [])
        assert cause in html.words


def test_the_queues_stream_shows_what_changes(
    console: ConsoleEnvironment, browse: Browse, user: User, cause: str
) -> None:
    browsing = browse("crew")
    with browsing.client.stream("GET", "/console/mill/queue/stream") as stream:
        lines = stream.iter_lines()

        def part() -> str:
            found = iter(lambda: next(lines), "")
            return Html("\n".join(found)).words

        assert cause not in part()
        fail(console.ledger, Earn(tenant_id="mill", user_id=user(), amount=5), cause)
        assert any(cause in part() for _ in range(5)), "within five readings"
