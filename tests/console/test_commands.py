"""What became of a task: a command's way, for those who may cancel it and those who may not."""

from collections.abc import Callable, Iterator

import pytest

from pointledger import Actor, Earn
from tests.console.browsing import Browsing, Html
from tests.console.conftest import applied
from tests.console.environment import ConsoleEnvironment
from tests.console.stuck import alone_in_lane, die, fail, queue_with, states
from tests.waiting import wait_until

User = Callable[[], str]
Browse = Callable[[str], Browsing]


@pytest.fixture
def paused(console: ConsoleEnvironment) -> Iterator[None]:
    console.ledger.client.pause("mine", Actor("person:someone"))
    yield
    console.ledger.client.resume("mine", Actor("person:someone"))


@pytest.mark.usefixtures("paused")
def test_a_pending_command_is_canceled_once_and_later_clicks_show_what_became_of_it(
    console: ConsoleEnvironment, browse: Browse, user: User
) -> None:
    anna = alone_in_lane(console, "mine", user)
    earns = [Earn(tenant_id="mine", user_id=anna, amount=5) for _ in range(3)]
    task_ids = console.ledger.client.enqueue_many(earns)
    browsing = browse("crew")
    page = browsing.html(f"/console/mine/commands/{task_ids[2]}")
    assert "2 wait before it" in page.words
    form = browsing.html(page.links["Cancel the command"]).form("/cancel")
    assert browsing.send(form, reason="x" * 201).status_code == 422
    assert states(console, task_ids) == ["pending"] * 3
    canceled = Html(browsing.send(form, reason="sent by mistake").text)
    assert "Refused : CANCELLED" in canceled.words and "Send a new one" in canceled.words
    late = Html(browsing.send(form, reason="sent by mistake").text)
    assert "It was too late for that" in late.words
    assert states(console, task_ids) == ["pending", "pending", "refused"]
    assert browsing.get(f"/console/mine/commands/{task_ids[2]}/cancel").url.path.endswith(task_ids[2])


def test_a_failing_command_is_shown_with_its_error_and_blocks_its_member_only(
    console: ConsoleEnvironment, browse: Browse, user: User, cause: str
) -> None:
    anna = user()
    failing = fail(console.ledger, Earn(tenant_id="mine", user_id=anna, amount=5), f"{cause}\nat line 4")
    (blocked,) = console.ledger.client.enqueue_many([Earn(tenant_id="mine", user_id=anna, amount=5)])
    browsing = browse("crew")
    queue_with(browsing, "mine", f"{cause} earn {anna} 1")
    assert "tried again by itself" in browsing.html(f"/console/mine/commands/{failing}").words
    waiting = browsing.html(f"/console/mine/commands/{blocked}")
    assert "This command must go first" in waiting.words and failing in waiting.links
    browsing.send(browsing.html(f"/console/mine/commands/{failing}/cancel").form("/cancel"), reason="enough")
    wait_until(lambda: states(console, [failing, blocked]) == ["refused", "applied"], "the other goes on")


def test_support_sees_what_became_of_a_command_and_who_can_retry_it(
    console: ConsoleEnvironment, browse: Browse, user: User, cause: str
) -> None:
    (task_id,) = die(console.ledger, "mill", user(), [cause])
    page = browse("desk").html(f"/console/mill/commands/{task_id}")
    assert "An operator can retry it when the cause is put right." in page.words
    assert "Retry" not in page.links and "Queue" not in page.links


def test_the_way_of_a_command_has_its_entries_repetitions_and_itself(
    console: ConsoleEnvironment, browse: Browse, user: User
) -> None:
    anna = user()
    first, repeated = (
        Earn(tenant_id="mill", user_id=anna, amount=70, idempotency_key=f"k-{anna}", reason="a gift")
        for _ in range(2)
    )
    (task_id,) = applied(console, first)
    (again,) = applied(console, repeated)
    browsing = browse("crew")
    page = browsing.html(f"/console/mill/commands/{task_id}")
    assert f"Key k-{anna}" in page.words and "Applied : it wrote 1 entry" in page.words
    assert "Entries 1" in page.words and "+70 70" in page.words
    assert '"reason": "a gift"' in page.words
    assert "Repetitions 1" in page.words and again in page.words
    assert f"{again} was a repetition" in browsing.html(f"/console/mill/commands/{again}").words
    found = browsing.send(browsing.html("/console/mill/commands").form("/commands"), id=f" {task_id} ")
    assert found.url.path == f"/console/mill/commands/{task_id}"
