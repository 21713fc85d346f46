"""Tests the rejection of Celery messages that are not commands."""

import lzma
import pickle
import zlib

import pytest
from celery import signature

from pointledger.domain.events.celery_body import MAX_BYTES
from pointledger.domain.events.celery_messages import TaskMessage, read
from tests.domain.celery_messages import FIELDS, ID, message, refused

BROKEN: dict[str, tuple[TaskMessage, str, str]] = {
    "too large": (
        message(b'"' + b"x" * MAX_BYTES + b'"'),
        "TOO_LARGE",
        f"body: {MAX_BYTES + 2} bytes; a message has {MAX_BYTES} bytes at most",
    ),
    "too large when decompressed": (
        message(zlib.compress(b" " * (MAX_BYTES + 1)), compression="application/x-gzip"),
        "TOO_LARGE",
        f"body: more when decompressed; a message has {MAX_BYTES} bytes at most",
    ),
    "a bomb": (
        message(lzma.compress(b" " * (MAX_BYTES * 20)), compression="application/x-lzma"),
        "TOO_LARGE",
        f"body: more when decompressed; a message has {MAX_BYTES} bytes at most",
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
    "a duplicate field": (
        message(b'[[], {"amount": 1, "amount": 999}, {}]'),
        "UNREADABLE",
        "body: not strict JSON: amount: given twice",
    ),
    "NaN": (message(b'[[], {"amount": NaN}, {}]'), "UNREADABLE", "body: not strict JSON: NaN is not JSON"),
    "not a list": (
        message(b'"text"'),
        "UNREADABLE",
        "body: protocol 2 requires a list of args, kwargs and callbacks",
    ),
    "a short list": (
        message(b"[[], {}]"),
        "UNREADABLE",
        "body: protocol 2 requires a list of args, kwargs and callbacks",
    ),
    "a list as kwargs": (
        message(kwargs=["anna"]),
        "UNREADABLE",
        "body: args is a list, kwargs an object, callbacks an object",
    ),
    "an invalid eta": (
        message(eta="tomorrow"),
        "UNREADABLE",
        "eta: a moment between the years 1900 and 9000 in ISO 8601",
    ),
    "an eta out of range": (
        message(eta="9999-12-31T23:59:59"),
        "UNREADABLE",
        "eta: a moment between the years 1900 and 9000 in ISO 8601",
    ),
    "a number as expires": (
        message(expires=17),
        "UNREADABLE",
        "expires: a moment between the years 1900 and 9000 in ISO 8601",
    ),
    "a misspelled name": (
        message(task="points.earnn"),
        "UNKNOWN_TASK",
        "task: no command has the name points.earnn; did you mean points.earn?",
    ),
    "a name without its prefix": (
        message(task="apply_rule"),
        "UNKNOWN_TASK",
        "task: no command has the name apply_rule; did you mean points.apply_rule?",
    ),
    "a task of the ledger itself": (
        message(task="points.drain"),
        "UNKNOWN_TASK",
        "task: no command has the name points.drain; did you mean points.earn?",
    ),
    "no name": (message(task=None), "UNKNOWN_TASK", "task: the message names no task"),
    "an object as name": (message(task={}), "UNKNOWN_TASK", "task: the message names no task"),
    "no id": (message(id=None), "INVALID_COMMAND", "id: the message has no task id"),
    "an object as id": (message(id={}), "INVALID_COMMAND", "id: the message has no task id"),
    "positional arguments": (
        message(args=["shop", "anna", 5]),
        "POSITIONAL_ARGUMENTS",
        "args: fields are given by name, as kwargs; behind another task make the signature immutable",
    ),
    "an id as a field": (
        message(kwargs={**FIELDS, "id": ID}),
        "INVALID_COMMAND",
        "id: the message's task id is the command's id",
    ),
    "a missing field": (
        message(kwargs={"tenant_id": "shop", "user_id": "anna"}),
        "INVALID_COMMAND",
        "amount: Field required",
    ),
    "a chord": (
        message(embedded={"chord": signature("shop.all")}),
        "UNSUPPORTED",
        "chord: is not supported, because Celery's backend counts the results of its parts; send a group, "
        "wait for it (result.get()), then send the last task",
    ),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_rejected_message_has_a_reason_and_a_sentence(what: str) -> None:
    found, reason, text = BROKEN[what]
    assert refused(found) == (reason, text)


def test_a_rejected_message_keeps_its_task_id() -> None:
    for what, (found, _, _) in BROKEN.items():
        if "id" not in what.split():
            assert found.task_id == ID, what


def test_an_unknown_name_without_a_close_match_gets_the_list_of_tasks() -> None:
    _, text = refused(message(task="shop.ship"))
    assert "points.apply_rule" in text
    assert "points.wallet_adjust" in text


def test_an_unknown_name_is_escaped_and_cut() -> None:
    _, text = refused(message(task="points.\x1b[2J\n" + "x" * 5_000))
    assert text.isprintable()
    assert len(text) < 1_000
