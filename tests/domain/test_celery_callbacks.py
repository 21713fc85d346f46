"""Tests the callbacks of Celery messages."""

import json
from typing import Any

import pytest
from celery import Celery, chain, chord, group, signature
from kombu.utils.json import dumps

from pointledger.domain.events.celery_messages import TaskMessage
from tests.domain.celery_messages import FIELDS, message, refused


def follow(**options: Any) -> TaskMessage:
    """Read the message that Celery writes for a signature with these options."""
    sent: list[Any] = []

    class Recorder(Celery):  # type: ignore[misc]  # Celery is untyped
        def send_task(self, name: str, *args: Any, **more: Any) -> Any:
            known = {key: more.get(key) for key in ("chain", "chord")}
            found = {"callbacks": more.get("link"), "errbacks": more.get("link_error"), **known}
            sent.append(json.loads(dumps(found)))

    app = Recorder("client", set_as_current=False)
    app.signature("points.earn", kwargs=FIELDS).apply_async(**options)
    return message(embedded=sent[0])


def test_link_and_link_error_are_kept_in_their_order() -> None:
    first, second = signature("shop.first", queue="shop"), signature("shop.second", queue="mail")
    found = follow(link=[first, second], link_error=signature("shop.sorry"))
    assert [(one.kind, one.place, one.message["task"]) for one in found.callbacks] == [
        ("link", 0, "shop.first"),
        ("link", 1, "shop.second"),
        ("link_error", 0, "shop.sorry"),
    ]
    assert {queue for one in found.callbacks for queue in one.destinations()} == {"shop", "mail"}


def test_a_link_can_be_a_group_or_a_chain_but_not_a_chord() -> None:
    parts = [signature(f"shop.{number}", queue=f"q{number}", immutable=True) for number in range(3)]
    (several,) = follow(link=group(parts)).callbacks
    assert several.destinations() == {"q0", "q1", "q2"}
    (after,) = follow(link=chain(parts)).callbacks
    assert after.destinations() == {"q0", "q1", "q2"}
    for hidden in (
        chord(parts, parts[0]),
        chain(parts[0], chord(parts, parts[1])),
        group([chord(parts, parts[0])]),
    ):
        reason, text = refused(follow(link=hidden))
        assert reason == "UNSUPPORTED"
        assert text.startswith("chord: ")


def test_callbacks_are_bounded() -> None:
    reason, text = refused(follow(link=[signature("shop.next")] * 33))
    assert (reason, text) == ("UNSUPPORTED", "link, link_error and chain: at most 32 tasks")
    deep: Any = signature("shop.next")
    for _ in range(9):
        deep = {"task": "celery.group", "kwargs": {"tasks": [deep]}, "subtask_type": "group"}
    reason, text = refused(message(embedded={"callbacks": [deep]}))
    assert (reason, text) == ("UNSUPPORTED", "link: groups and chains are nested at most 8 deep")


@pytest.mark.parametrize(
    "invalid", [["shop.next"], [{"task": 7}], [{"args": []}], [{"task": "a", "kwargs": 3}], "x"]
)
def test_an_invalid_signature_is_refused(invalid: object) -> None:
    reason, text = refused(message(embedded={"callbacks": invalid}))
    assert reason == "UNSUPPORTED"
    assert text.startswith("link: a signature")
