"""Invalid input, by the numbers of `tests/acceptance/corpus.py`.

It never causes a server error, never changes anything, and is never echoed in a response.
"""

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.api.environment import ApiEnvironment

User = Callable[[], str]

CANARY = "canary-7d1f"


def send(
    api: ApiEnvironment, content: bytes, path: str = "/points/canary/earn", **headers: str
) -> httpx.Response:
    all_headers = {"Authorization": f"Bearer {api.till}", "Content-Type": "application/json"}
    all_headers |= {name.replace("_", "-"): value for name, value in headers.items()}
    return api.client.post(path, content=content, headers=all_headers)


@pytest.fixture(autouse=True)
def unchanged(api: ApiEnvironment) -> Any:
    """Check that rejected requests leave no trace in the journal."""
    yield
    kept = api.ledger.rows("SELECT payload FROM journal WHERE user_id = 'canary'")
    assert kept == []


BODIES: dict[str, bytes] = {
    "29 empty": b"",
    "30 null": b"null",
    "31 list": b"[]",
    "32 text": b'"x"',
    "33 truncated": b'{"amount": 5',
    "34 garbage behind": b'{"amount": 5} x',
    "35 comment": b'{"amount": 5 /* five */}',
    "37 UTF-16": '{"amount": 5}'.encode("utf-16"),
    "38 invalid UTF-8": b'{"amount": 5, "reason": "\xff"}',
    "39 nested lists": b"[" * 30_000,
    "39 nested objects": b'{"amount": 5, "reason": ' + b'{"a":' * 10_000,
    "46 doubled": b'{"amount": 1, "amount": 999}',
    "46 doubled inside": b'{"amount": 1, "reason": {"a": 1, "a": 2}}',
    "47 balance": b'{"amount": 5, "balance": 1000}',
    "47 version": b'{"amount": 5, "version": 1}',
    "47 admin": b'{"amount": 5, "is_admin": true}',
    "47 tenant": b'{"amount": 5, "tenant_id": "other"}',
    "47 user": b'{"amount": 5, "user_id": "somebody"}',
    "47 actor": b'{"amount": 5, "actor": "boss"}',
    "47 id": b'{"amount": 5, "id": "01M7Z9MTGZVDGT7G5VX8T8KHH3"}',
    "59 NaN": b'{"amount": NaN}',
    "60 Infinity": b'{"amount": Infinity}',
    "61 1e309": b'{"amount": 1e309}',
    "66 5000 digits": b'{"amount": ' + b"9" * 5000 + b"}",
    "67 hexadecimal": b'{"amount": 0x10}',
    "100 lone surrogate": b'{"amount": 5, "reason": "\\ud800"}',
    "99 NUL": b'{"amount": 5, "reason": "a\\u0000b"}',
    "a lone surrogate as a name": b'{"amount": 5, "\\ud800": 1}',
    "single quotes": b"{'amount': 5}",
    "a comma more": b'{"amount": 5,}',
    "a plus": b'{"amount": +5}',
    "a zero before": b'{"amount": 05}',
}
AMOUNTS: dict[str, Any] = {
    "48": 0,
    "49": -1,
    "51": 1.0,
    "52": 1.5,
    "54": "5",
    "55": True,
    "56": None,
    "58": [],
    "58b": {},
    "63": 2**63 - 1,
    "64": 2**63,
    "64b": 2**64,
    "65": 2**64 + 5,
    "beyond": 10**15 + 1,
    "98 operator": {"$gt": ""},
    "1e3": 1e3,
}


@pytest.mark.parametrize("name", BODIES)
def test_a_body_that_is_not_strict_json_is_400(api: ApiEnvironment, name: str) -> None:
    answer = send(api, BODIES[name])
    assert answer.status_code == 400, answer.text
    assert answer.json()["code"] == 400


@pytest.mark.parametrize("name", AMOUNTS)
def test_an_invalid_amount_is_400(api: ApiEnvironment, name: str) -> None:
    answer = send(api, json.dumps({"amount": AMOUNTS[name]}).encode())
    assert answer.status_code == 400, answer.text
    assert answer.json()["message"].startswith("amount: ")


def test_50_53_57_negative_zero_exponents_and_a_missing_amount_are_400(api: ApiEnvironment) -> None:
    for content in (b'{"amount": -0}', b"{}", b'{"amount": 1e3}', b'{"amount": -0.0}'):
        assert send(api, content).status_code == 400


def test_62_amounts_are_exact_beyond_the_precision_of_doubles(api: ApiEnvironment, user: User) -> None:
    anna = user()
    assert api.post(f"/points/{anna}/earn", api.till, {"amount": 2**53 - 1}).status_code == 400
    assert api.post(f"/points/{anna}/earn", api.till, {"amount": 10**15 - 1}).status_code == 200
    assert api.ledger.balance(anna) == 999_999_999_999_999


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "text/plain",
        "application/xml",
        "multipart/form-data; boundary=x",
        "application/x-www-form-urlencoded",
    ],
)
def test_44_other_content_types_are_415(api: ApiEnvironment, content_type: str) -> None:
    assert send(api, b'{"amount": 5}', Content_Type=content_type).status_code == 415


@pytest.mark.parametrize("suffix", ["; charset=utf-7", "; charset=latin-1", "; boundary=x", ", text/plain"])
def test_45_other_charsets_are_415(api: ApiEnvironment, suffix: str) -> None:
    assert send(api, b'{"amount": 5}', Content_Type=f"application/json{suffix}").status_code == 415


def test_the_charset_utf8_is_accepted(api: ApiEnvironment, user: User) -> None:
    path = f"/points/{user()}/earn"
    for content_type in ("application/json; charset=UTF-8", 'Application/JSON;charset="utf-8"'):
        assert send(api, b'{"amount": 5}', path, Content_Type=content_type).status_code == 200


def test_43_compressed_bodies_are_415(api: ApiEnvironment) -> None:
    assert send(api, b"\x1f\x8b", Content_Encoding="gzip").status_code == 415


@pytest.mark.parametrize(
    "content",
    [
        lambda: b'{"amount": 5, "reason": "' + b"x" * 10_000_000 + b'"}',
        lambda: b"{" + b",".join(b'"%d":1' % number for number in range(1_000_000)) + b"}",
    ],
    ids=["40 a long text", "41 a million names"],
)
def test_40_41_large_bodies_are_413(api: ApiEnvironment, content: Callable[[], bytes]) -> None:
    try:
        answer = send(api, content())
    except (httpx.WriteError, httpx.ReadError, httpx.RemoteProtocolError):
        return  # the server closed the connection before it had read the whole body
    assert answer.status_code == 413


def test_42_colliding_names_are_400(api: ApiEnvironment) -> None:
    names = {f"{number:x}": number for number in range(5000)}
    assert send(api, json.dumps(names).encode()).status_code == 400


@pytest.mark.parametrize(
    ("reason", "status"), [("é" * 200, 200), ("x" * 201, 400), ("😀" * 201, 400), ("e\u0301" * 101, 400)]
)
def test_80_a_reason_has_at_most_two_hundred_characters(
    api: ApiEnvironment, user: User, reason: str, status: int
) -> None:
    answer = api.post(f"/points/{user()}/earn", api.till, {"amount": 5, "reason": reason})
    assert answer.status_code == status


PATHS = [
    ".",
    "%00",
    "%0d%0a",
    "%u0041",
    "%c0%af",
    "%",
    "%ff",
    "a" * 256,
    "%D0%B0" * 256,
    "a%E2%80%8Bb",
    "a%EF%BB%BF",
    "%E2%80%AEa",
]


@pytest.mark.parametrize("path", PATHS)
def test_95_96_97_an_invalid_user_id_is_400_or_404(api: ApiEnvironment, path: str) -> None:
    for address in (f"/points/{path}", f"/points/{path}/transactions"):
        assert api.get(address, api.admin).status_code in (400, 404)  # httpx sends a lone % as %25
    answer = send(api, b'{"amount": 5}', f"/points/{path}/earn")
    assert answer.status_code in (400, 404, 405)  # some clients remove the dot, which makes another path
    assert api.get("/points/", api.admin).status_code == 404
    assert api.get("/points/anna/", api.admin).status_code == 404


@pytest.mark.parametrize(
    "text",
    [
        "' OR 1=1--",
        "\\",
        "$$ %s %(id)s %",
        "{{7*7}} ${jndi:ldap://x}",
        "a\r\nlevel=error \x1b[31m \u2028",
        "<script>alert(1)</script>",
        "Ω≈ç√∫˜µ≤≥÷ 田中さん 👾 \u202e",
    ],
)
def test_97_98_99_free_text_is_stored_unchanged(api: ApiEnvironment, user: User, text: str) -> None:
    anna = user()
    body = {"amount": 5, "reason": text, "description": text, "source": text}
    transaction = api.post(f"/points/{anna}/earn", api.till, body).json()["data"]["transaction"]
    assert (transaction["reason"], transaction["description"], transaction["source"]) == (text, text, text)
    assert api.ledger.entries(anna)[0]["reason"] == text


@pytest.mark.parametrize(
    "metadata",
    [
        {"x": "y" * 16_384},
        {"a": {"b": {"c": {"d": {"e": {"f": {"g": {"h": {"i": 1}}}}}}}}},
        {"a": 2**63},
        {"a": "\x00"},
        {"a\x00": 1},
        [],
        "text",
        None,
    ],
    ids=["16 KiB", "depth 9", "64 bits", "NUL", "NUL in a name", "list", "text", "null"],
)
def test_101_metadata_beyond_its_limits_is_400(api: ApiEnvironment, metadata: object) -> None:
    event = {"user_id": "canary", "event_type": "visit", "metadata": metadata}
    assert api.post("/admin/points/apply-rule", api.till, event).status_code == 400


def test_101_metadata_within_its_limits_is_stored_unchanged(api: ApiEnvironment, user: User) -> None:
    metadata = {"__proto__": {"a": [1, -0.5, None, True]}, "big": 2**63 - 1, "": "", "é": "😀"}
    anna = user()
    event = {"user_id": anna, "event_type": "visit", "metadata": metadata}
    assert api.post("/admin/points/apply-rule", api.till, event).status_code == 200
    kept = api.ledger.rows("SELECT payload FROM journal WHERE user_id = %(user)s", user=anna)[0][0]
    assert kept["metadata"] == metadata


@pytest.mark.parametrize("event_type", ["", "x" * 101, "a\nb", "\x00", 5, None, {"$ne": 1}])
def test_102_an_invalid_event_type_is_400(api: ApiEnvironment, event_type: object) -> None:
    event = {"user_id": "canary", "event_type": event_type}
    assert api.post("/admin/points/apply-rule", api.till, event).status_code == 400


def test_no_response_echoes_the_request(api: ApiEnvironment) -> None:
    answers = [
        send(api, f'{{"amount": "{CANARY}"}}'.encode()),
        send(api, f'{{"{CANARY}": 1}}'.encode()),
        send(api, f'{{"{CANARY}": 1, "{CANARY}": 2}}'.encode()),
        send(api, CANARY.encode()),
        api.get(f"/points/anna/transactions?type={CANARY}", api.admin),
        api.get(f"/points/{CANARY}!", api.admin),
        api.get(f"/{CANARY}", api.admin),
        api.get(f"/tasks/{CANARY}", api.admin),
        api.get("/points/anna", CANARY),
        send(api, b'{"amount": 5}', X_Idempotency_Key=f'"{CANARY}'),
        send(api, b'{"amount": 5}', Content_Type=CANARY),
    ]
    for answer in answers:
        assert 400 <= answer.status_code < 500
        assert CANARY not in answer.text + str(answer.headers)
