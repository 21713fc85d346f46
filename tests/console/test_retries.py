"""Dead commands are retried one by one or as a group: what the person has seen, once, with a reason."""

from collections.abc import Callable
from typing import Any

import pytest

from pointledger.api.console.pages import dead
from pointledger.ids import new_id, show_id
from tests.console.browsing import Browsing, Html
from tests.console.environment import ConsoleEnvironment
from tests.console.stuck import acts, die, keep_letter, queue_with, states
from tests.waiting import wait_until

User = Callable[[], str]
Browse = Callable[[str], Browsing]

DEAD = "/console/mill/queue/dead"


def test_a_dead_letter_is_replayed_once_with_a_reason(console: ConsoleEnvironment, browse: Browse) -> None:
    task_id = show_id(new_id())
    number = keep_letter(console.ledger, "mine", task_id)
    browsing = browse("crew")

    def letter() -> Any:
        found = "SELECT state, reason FROM dead_letters WHERE id = %(id)s"
        return tuple(console.ledger.rows(found, id=number)[0])

    page = browsing.html(f"/console/mine/queue/dead-letters/{number}/replay")
    assert "INVALID_COMMAND: amount: a whole number from 1" in page.words
    form = page.form("/replay")
    assert browsing.send(form, reason=" ").status_code == 422
    assert letter() == ("dead", "INVALID_COMMAND")
    for _ in range(2):
        done = browsing.send(form, reason="the right is given")
        assert done.url.path == f"/console/mine/commands/{task_id}"
    assert letter() == ("deferred", "REPLAY")
    assert acts(console, "mine", "dead-letter-replay") == [("person:crew", "the right is given", "applied")]
    assert "Replay" not in browsing.html("/console/mine/queue/dead-letters?state=deferred").links
    of_batch = keep_letter(console.ledger, "mine", show_id(new_id()), entry_point="batch-earn")
    assert "Replay" not in browsing.html("/console/mine/queue/dead-letters").links, "none would retry it"
    answer = browsing.get(f"/console/mine/queue/dead-letters/{of_batch}/replay")
    assert "/commands/" in answer.url.path
    for path in (
        f"mill/queue/dead-letters/{number}",
        "mine/queue/dead-letters/x",
        f"mine/queue/dead-letters/{9**25}",
    ):
        assert browsing.get(f"/console/{path}/replay").status_code == 404


def test_a_group_is_retried_after_its_number_is_shown_and_a_reason_is_given(
    console: ConsoleEnvironment, browse: Browse, user: User, cause: str
) -> None:
    task_ids = die(console.ledger, "mill", user(), [f"{cause}: lot {number}" for number in (17, 4, 9)])
    theirs = die(console.ledger, "mine", user(), [f"{cause}: lot 1"])
    browsing = browse("crew")
    path = f"{DEAD}/retry?group={cause}: lot …&kind=earn"
    asked = browsing.html(path)
    assert "Retry 3 dead commands" in asked.words and "Nothing has changed yet." in asked.words
    form = asked.form("/retry")
    refused = browsing.send(form, reason=" ")
    assert refused.status_code == 422 and "say why" in Html(refused.text).words
    assert states(console, task_ids) == ["dead"] * 3

    later = die(console.ledger, "mill", user(), [f"{cause}: lot 2"])
    done = browsing.send(form, reason=f"put right: {cause}")
    assert "3 commands are retried" in Html(done.text).words
    wait_until(lambda: states(console, task_ids) == ["applied"] * 3, "they are applied")
    assert states(console, [*later, *theirs]) == ["dead", "dead"], "what died later was not shown"
    made = [act for act in acts(console, "mill", "dead-retry") if act[1] == f"put right: {cause}"]
    assert made == [("person:crew", f"put right: {cause}", "applied")] * 3

    again = browsing.send(form, reason=f"put right: {cause}")
    assert "None was left to retry" in Html(again.text).words
    assert states(console, later) == ["dead"]


def test_causes_that_end_with_a_space_or_have_no_text_retry_only_their_own(
    console: ConsoleEnvironment, browse: Browse, user: User, cause: str
) -> None:
    bare, silent = die(console.ledger, "mine", user(), [f"{cause}: ", ""])
    browsing = browse("crew")
    queue = queue_with(browsing, "mine", "No error text")
    assert queue.links[silent] == f"/console/mine/commands/{silent}"
    asked = browsing.html(f"/console/mine/queue/dead/retry?group={cause}:%20&kind=earn")
    assert "Retry 1 dead command" in asked.words
    browsing.send(asked.form("/retry"), reason="put right")
    wait_until(lambda: states(console, [bare, silent]) == ["applied", "dead"], "only the one is retried")


def test_a_large_group_is_retried_in_pieces_that_the_person_follows(
    console: ConsoleEnvironment, browse: Browse, user: User, cause: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    task_ids = die(console.ledger, "mill", user(), [cause] * 120)
    monkeypatch.setattr(dead, "_SECONDS", 0.0)
    browsing = browse("crew")
    first = browsing.html(f"{DEAD}?group={cause}")
    second = browsing.html(first.links["Older"])
    third = browsing.html(second.links["Older"])
    assert [each.words.count(cause) for each in (first, second, third)] == [51, 51, 21], "and the filter"
    assert "Newest" in third.links and "Older" not in third.links

    part = browsing.send(browsing.html(f"{DEAD}/retry?group={cause}").form("/retry"), reason="put right")
    assert "100 commands are retried, 20 are left. Go on with them." in Html(part.text).words
    form = Html(part.text).form("/retry")
    assert form.fields["reason"] == "put right"
    assert "20 commands are retried" in Html(browsing.send(form).text).words
    wait_until(lambda: states(console, task_ids) == ["applied"] * 120, "they are applied")


def test_one_dead_command_is_retried_and_a_double_click_is_one_retry(
    console: ConsoleEnvironment, browse: Browse, user: User, cause: str
) -> None:
    (task_id,) = die(console.ledger, "mill", user(), [f"{cause}\nat line 4"])
    browsing = browse("crew")
    page = browsing.html(f"/console/mill/commands/{task_id}")
    assert "3 failed attempts , then it was given up" in page.words and "at line 4" in page.words
    form = browsing.html(page.links["Retry"]).form("/retry")
    for _ in range(2):
        assert browsing.send(form, reason=cause).url.path == f"/console/mill/commands/{task_id}"
    wait_until(lambda: states(console, [task_id]) == ["applied"], "it is applied")
    assert "wrote 1 entry" in browsing.html(f"/console/mill/commands/{task_id}").words
    assert [act for act in acts(console, "mill", "dead-retry") if act[1] == cause] == [
        ("person:crew", cause, "applied")
    ]
    assert browsing.get(f"/console/mill/commands/{task_id}/retry").url.path.endswith(task_id)


def test_commands_of_another_tenant_are_not_there_and_cannot_be_changed(
    console: ConsoleEnvironment, browse: Browse, user: User, cause: str
) -> None:
    (task_id,) = die(console.ledger, "mill", user(), [cause])
    browsing = browse("crew")
    form = browsing.html(f"/console/mill/commands/{task_id}/retry").form("/retry")
    for tenant_id in ("mine", "shop"):
        for page in ("", "/retry", "/cancel"):
            assert browsing.get(f"/console/{tenant_id}/commands/{task_id}{page}").status_code == 404
        form.action = f"/console/{tenant_id}/commands/{task_id}/retry"
        assert browsing.send(form, reason="theirs").status_code == 404
    group = browsing.html(f"{DEAD}/retry?error={cause}").form("/retry")
    group.action = f"/console/mine/queue/dead/retry?error={cause}"
    assert "None was left to retry" in Html(browsing.send(group, reason="theirs").text).words
    assert states(console, [task_id]) == ["dead"]


def test_a_form_without_what_the_person_has_seen_changes_nothing(
    console: ConsoleEnvironment, browse: Browse, user: User, cause: str
) -> None:
    (task_id,) = die(console.ledger, "mill", user(), [cause])
    browsing = browse("crew")
    group = browsing.html(f"{DEAD}/retry?error={cause}").form("/retry")
    one = browsing.html(f"/console/mill/commands/{task_id}/retry").form("/retry")
    for wrong in ("", "soon"):
        assert browsing.send(group, reason="x", until=wrong).status_code == 400
    del one.fields["dead_at"]
    assert browsing.send(one, reason="x").status_code == 400
    assert states(console, [task_id]) == ["dead"]


def test_a_session_that_ends_in_the_middle_leads_back_to_the_form_with_its_reason(
    console: ConsoleEnvironment, browse: Browse, user: User, cause: str
) -> None:
    (task_id,) = die(console.ledger, "mill", user(), [cause])
    browsing = browse("crew")
    form = browsing.html(f"{DEAD}/retry?error={cause}").form("/retry")
    browsing.client.cookies.clear()
    ended = browsing.send(form, reason="was typed already")
    assert ended.status_code == 401 and states(console, [task_id]) == ["dead"]
    again = Html(browsing.log_in("crew", Html(ended.text).links["Log in again"]).text).form("/retry")
    assert again.fields["reason"] == "was typed already"
    assert "1 command is retried" in Html(browsing.send(again).text).words
