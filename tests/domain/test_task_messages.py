"""Messages of Celery's protocol, as bytes that its clients write: what becomes a command, and what is said of
what does not."""

import bz2
import gzip
import json
import lzma
import pickle
import zlib
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from celery import Celery, chain, chord, group, signature
from hypothesis import given
from hypothesis import strategies as st
from kombu.utils.json import dumps

from pointledger import ApplyRule, Earn
from pointledger.domain.events.celery_messages import MAX_BYTES, Rejected, TaskMessage, read
from pointledger.ids import parse_id

NOW = datetime(2026, 3, 1, 10, tzinfo=UTC)
ID = "0b2f6f1c-6a55-4c1b-9a53-3a1f6a1b2c3d"
FIELDS: dict[str, Any] = {"tenant_id": "shop", "user_id": "anna", "amount": 5}
APP = Celery("somebody", set_as_current=False)


def message(
    body: object = None,
    *,
    kwargs: object = FIELDS,
    args: object = (),
    embedded: object = None,
    **headers: Any,
) -> TaskMessage:
    """As a client of protocol 2 writes it, but for what is given."""
    written = body if isinstance(body, bytes) else dumps([args, kwargs, embedded or {}]).encode()
    return read(written, {"lang": "go", "task": "points.earn", "id": ID} | headers)


def refused(found: TaskMessage, now: datetime = NOW) -> tuple[str, str]:
    with pytest.raises(Rejected) as told:
        found.command(now)
    return told.value.reason, str(told.value)


# ------------------------------------------------------------------------------------ what is a command


def test_the_least_that_a_client_writes_is_a_command() -> None:
    body = json.dumps([[], FIELDS, {}]).encode()
    command = read(body, {"task": "points.earn", "id": ID}).command(NOW)
    assert command == Earn(id=parse_id(ID), **FIELDS)


def test_protocol_1_has_everything_in_its_body() -> None:
    body = json.dumps({"task": "points.earn", "id": ID, "args": [], "kwargs": FIELDS, "eta": None}).encode()
    found = read(body, {}, correlation_id="another")
    assert found.task_id == ID
    assert found.command(NOW) == Earn(id=parse_id(ID), **FIELDS)


@pytest.mark.parametrize("protocol", [1, 2])
def test_what_celery_itself_writes_is_a_command(protocol: int) -> None:
    make = APP.amqp.as_task_v1 if protocol == 1 else APP.amqp.as_task_v2
    made = make(ID, "points.earn", kwargs=FIELDS, countdown=60, now=NOW, timezone=UTC)
    found = read(dumps(made.body).encode(), made.headers, correlation_id=made.properties["correlation_id"])
    assert found.command(NOW) == Earn(id=parse_id(ID), **FIELDS)
    assert found.eta == NOW + timedelta(seconds=60)


def test_a_message_without_an_id_has_its_correlation_id() -> None:
    found = read(json.dumps([[], FIELDS, {}]).encode(), {"task": "points.earn"}, correlation_id=ID)
    assert found.command(NOW).id == parse_id(ID)


def test_what_kombu_writes_with_its_type_is_taken_as_text() -> None:
    moment = datetime(2026, 2, 28, 23, 59, 59, 250000, tzinfo=UTC)
    related = parse_id(ID)
    found = message(kwargs={**FIELDS, "occurred_at": moment})
    assert found.command(NOW).occurred_at == moment
    refund = message(kwargs={**FIELDS, "related_id": related}, task="points.refund").command(NOW)
    assert refund.reverses == related
    event = message(
        kwargs={"tenant_id": "shop", "user_id": "anna", "event_type": "visit", "metadata": {"at": moment}},
        task="points.apply_rule",
    ).command(NOW)
    assert isinstance(event, ApplyRule)
    assert event.metadata == {"at": "2026-02-28T23:59:59.250000+00:00"}


PACKED = [
    ("application/x-gzip", zlib.compress),  # as kombu has it
    ("application/x-gzip", gzip.compress),
    ("application/x-bz2", bz2.compress),
    ("application/x-lzma", lzma.compress),
]


@pytest.mark.parametrize(("compression", "pack"), PACKED)
def test_what_is_compressed_is_unpacked(compression: str, pack: Callable[[bytes], bytes]) -> None:
    body = pack(json.dumps([[], FIELDS, {}]).encode())
    assert message(body, compression=compression).command(NOW) == Earn(id=parse_id(ID), **FIELDS)


@pytest.mark.parametrize(
    "kind", ["application/json", "application/json; charset=utf-8", "Application/JSON", None]
)
def test_json_is_json_however_it_is_called(kind: str | None) -> None:
    found = read(json.dumps([[], FIELDS, {}]).encode(), {"task": "points.earn", "id": ID}, content_type=kind)
    assert found.command(NOW).tenant_id == "shop"


def test_a_message_may_end_a_moment_after_it_is_read_but_not_before() -> None:
    found = message(expires=NOW.isoformat())
    assert found.command(NOW - timedelta(microseconds=1)).tenant_id == "shop"
    assert refused(found) == ("EXPIRED", "expires: 2026-03-01T10:00:00Z had passed when it was read")


def test_a_message_whose_turn_comes_after_its_end_is_expired() -> None:
    later, earlier = NOW + timedelta(hours=2), NOW + timedelta(hours=1)
    reason, _ = refused(message(eta=later.isoformat(), expires=earlier.isoformat()))
    assert reason == "EXPIRED"


def test_a_moment_without_an_offset_is_in_utc() -> None:
    assert message(eta="2026-03-01T11:00:00").eta == NOW + timedelta(hours=1)


# --------------------------------------------------------------------------------------- what is none

BROKEN: dict[str, tuple[TaskMessage, str, str]] = {
    "too large": (
        message(b'"' + b"x" * MAX_BYTES + b'"'),
        "TOO_LARGE",
        f"body: {MAX_BYTES + 2} bytes; a message has {MAX_BYTES} bytes at most",
    ),
    "too large when unpacked": (
        message(zlib.compress(b" " * (MAX_BYTES + 1)), compression="application/x-gzip"),
        "TOO_LARGE",
        f"body: more when unpacked; a message has {MAX_BYTES} bytes at most",
    ),
    "a bomb": (
        message(lzma.compress(b" " * 50_000_000), compression="application/x-lzma"),
        "TOO_LARGE",
        f"body: more when unpacked; a message has {MAX_BYTES} bytes at most",
    ),
    "not compressed": (
        message(compression="application/x-gzip"),
        "UNREADABLE",
        "body: is not application/x-gzip",
    ),
    "another compression": (
        message(compression="application/x-brotli"),
        "UNSUPPORTED",
        "compression: zlib (gzip), bzip2 and lzma are understood, not application/x-brotli",
    ),
    "pickle": (
        read(
            pickle.dumps([]),
            {"task": "points.earn", "id": ID},
            content_type="application/x-python-serialize",
            content_encoding="binary",
        ),
        "NOT_JSON",
        "content type: application/x-python-serialize; send JSON: serializer='json'",
    ),
    "another alphabet": (
        read(b"[]", {"task": "points.earn", "id": ID}, content_encoding="utf-16"),
        "NOT_JSON",
        "content encoding: utf-16; send UTF-8",
    ),
    "not JSON": (message(b"{"), "UNREADABLE", "body: not strict JSON: JSONDecodeError"),
    "not UTF-8": (message(b'["\xff"]'), "UNREADABLE", "body: not strict JSON: UnicodeDecodeError"),
    "empty": (message(b""), "UNREADABLE", "body: not strict JSON: JSONDecodeError"),
    "deep": (message(b"[" * 100_000), "UNREADABLE", "body: not strict JSON: nested too deeply"),
    "a field twice": (
        message(b'[[], {"amount": 1, "amount": 999}, {}]'),
        "UNREADABLE",
        "body: not strict JSON: amount: given twice",
    ),
    "NaN": (message(b'[[], {"amount": NaN}, {}]'), "UNREADABLE", "body: not strict JSON: NaN is not JSON"),
    "no list": (
        message(b'"text"'),
        "UNREADABLE",
        "body: a list of args, kwargs and callbacks, as protocol 2 has it",
    ),
    "a short list": (
        message(b"[[], {}]"),
        "UNREADABLE",
        "body: a list of args, kwargs and callbacks, as protocol 2 has it",
    ),
    "kwargs that are a list": (
        message(kwargs=["anna"]),
        "UNREADABLE",
        "body: args is a list, kwargs an object, callbacks an object",
    ),
    "an eta that is none": (
        message(eta="tomorrow"),
        "UNREADABLE",
        "eta: a moment between the years 1900 and 9000 in ISO 8601",
    ),
    "an eta beyond all": (
        message(eta="9999-12-31T23:59:59"),
        "UNREADABLE",
        "eta: a moment between the years 1900 and 9000 in ISO 8601",
    ),
    "an end that is a number": (
        message(expires=17),
        "UNREADABLE",
        "expires: a moment between the years 1900 and 9000 in ISO 8601",
    ),
    "a misspelt name": (
        message(task="points.earnn"),
        "UNKNOWN_TASK",
        "task: no command is called points.earnn; did you mean points.earn?",
    ),
    "a name without its beginning": (
        message(task="apply_rule"),
        "UNKNOWN_TASK",
        "task: no command is called apply_rule; did you mean points.apply_rule?",
    ),
    "a task of the ledger's own": (
        message(task="points.drain"),
        "UNKNOWN_TASK",
        "task: no command is called points.drain; did you mean points.earn?",
    ),
    "no name": (message(task=None), "UNKNOWN_TASK", "task: the message names none"),
    "a name that is an object": (message(task={}), "UNKNOWN_TASK", "task: the message names none"),
    "no id": (message(id=None), "INVALID_COMMAND", "id: the message has no task id"),
    "an id that is an object": (message(id={}), "INVALID_COMMAND", "id: the message has no task id"),
    "positional arguments": (
        message(args=["shop", "anna", 5]),
        "POSITIONAL_ARGUMENTS",
        "args: fields are given by name, as kwargs; behind another task make the signature immutable",
    ),
    "an id among the fields": (
        message(kwargs={**FIELDS, "id": ID}),
        "INVALID_COMMAND",
        "id: the message's task id is the command's id",
    ),
    "a field too few": (
        message(kwargs={"tenant_id": "shop", "user_id": "anna"}),
        "INVALID_COMMAND",
        "amount: Field required",
    ),
    "a chord": (
        message(embedded={"chord": signature("shop.all")}),
        "UNSUPPORTED",
        "chord: is not supported, for its parts' results are counted in Celery's backend; send a group, wait "
        "for it (result.get()), and send the last task then",
    ),
}


@pytest.mark.parametrize("what", BROKEN)
def test_what_is_no_command_says_why(what: str) -> None:
    found, reason, told = BROKEN[what]
    assert refused(found) == (reason, told)


def test_what_is_no_command_keeps_the_id_under_which_its_sender_waits() -> None:
    for what, (found, _, _) in BROKEN.items():
        if "id" not in what.split():
            assert found.task_id == ID, what


def test_an_unknown_name_that_is_like_none_is_told_all_there_are() -> None:
    _, told = refused(message(task="shop.ship"))
    assert "points.apply_rule" in told
    assert "points.wallet_adjust" in told


def test_a_name_of_the_senders_making_spoils_no_terminal() -> None:
    _, told = refused(message(task="points.\x1b[2J\n" + "x" * 5_000))
    assert told.isprintable()
    assert len(told) < 1_000


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
NAMES = ["task", "id", "eta", "expires", "compression", "ignore_result"]


@given(
    body=st.binary() | JSON_VALUES.map(lambda value: json.dumps(value).encode()),
    headers=st.dictionaries(st.sampled_from(NAMES), JSON_VALUES),
    content_type=st.none() | st.text(),
    embedded=JSON_VALUES,
)
def test_whatever_comes_is_read_without_an_error(
    body: bytes, headers: dict[str, Any], content_type: str | None, embedded: object
) -> None:
    written = json.dumps([[], FIELDS, {"callbacks": embedded, "errbacks": [embedded], "chain": embedded}])
    for raw in (body, written.encode()):
        found = read(raw, headers, content_type=content_type)
        with suppress(Rejected):
            found.command(NOW)
        assert read(found.as_json()).kwargs == found.kwargs
        assert found.rejection is None or found.rejection.message.isprintable()


# ------------------------------------------------------------------------------------------ callbacks


def follow(**options: Any) -> TaskMessage:
    """As Celery writes a signature with these options."""
    sent: list[Any] = []

    class Recorder(Celery):  # type: ignore[misc]  # Celery is untyped
        def send_task(self, name: str, *args: Any, **more: Any) -> Any:
            known = {key: more.get(key) for key in ("chain", "chord")}
            found = {"callbacks": more.get("link"), "errbacks": more.get("link_error"), **known}
            sent.append(json.loads(dumps(found)))

    app = Recorder("somebody", set_as_current=False)
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


def test_a_link_may_be_a_group_or_a_chain_and_not_a_chord() -> None:
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
        reason, told = refused(follow(link=hidden))
        assert reason == "UNSUPPORTED"
        assert told.startswith("chord: ")


def test_callbacks_are_bounded() -> None:
    reason, told = refused(follow(link=[signature("shop.next")] * 33))
    assert (reason, told) == ("UNSUPPORTED", "link, link_error and chain: 32 tasks at most")
    deep: Any = signature("shop.next")
    for _ in range(9):
        deep = {"task": "celery.group", "kwargs": {"tasks": [deep]}, "subtask_type": "group"}
    reason, told = refused(message(embedded={"callbacks": [deep]}))
    assert (reason, told) == ("UNSUPPORTED", "link: groups and chains 8 deep at most")


@pytest.mark.parametrize(
    "wrong", [["shop.next"], [{"task": 7}], [{"args": []}], [{"task": "a", "kwargs": 3}], "x"]
)
def test_what_is_no_signature_is_refused(wrong: object) -> None:
    reason, told = refused(message(embedded={"callbacks": wrong}))
    assert reason == "UNSUPPORTED"
    assert told.startswith("link: a signature")


# ------------------------------------------------------------------------------- kept for a later moment


def test_a_message_that_is_kept_is_the_same_when_it_is_read_again() -> None:
    found = message(
        eta="2026-03-01T12:00:00+01:00",
        expires="2026-03-02T00:00:00Z",
        ignore_result=True,
        embedded={"callbacks": [dict(signature("shop.next", queue="shop"))], "errbacks": None, "chain": None},
    )
    assert read(found.as_json()) == found
    assert read(message().as_json()) == message()


def test_a_letter_of_an_older_version_is_read() -> None:
    found = read(json.dumps({"task": "points.earn", "id": ID, "kwargs": FIELDS}).encode())
    assert found.command(NOW) == Earn(id=parse_id(ID), **FIELDS)
