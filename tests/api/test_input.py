"""Bad input, by the numbers of `tests/acceptance/corpus.py`. Nothing of it is ever our fault (500), nothing
of it changes anything, and no answer shows what came."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.api.served import Served

User = Callable[[], str]

CANARY = "canary-7d1f"


def send(served: Served, content: bytes, path: str = "/points/canary/earn", **headers: str) -> httpx.Response:
    given = {"Authorization": f"Bearer {served.till}", "Content-Type": "application/json"}
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    return served.client.post(path, content=content, headers=given)


@pytest.fixture(autouse=True)
def unchanged(served: Served) -> Any:
    """What is refused leaves no trace in the journal."""
    yield
    kept = served.ledger.rows("SELECT payload FROM journal WHERE user_id = 'canary'")
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
def test_a_body_that_is_not_strict_json_is_400(served: Served, name: str) -> None:
    answer = send(served, BODIES[name])
    assert answer.status_code == 400, answer.text
    assert answer.json()["code"] == 400


@pytest.mark.parametrize("name", AMOUNTS)
def test_an_amount_that_is_none_is_400(served: Served, name: str) -> None:
    answer = send(served, json.dumps({"amount": AMOUNTS[name]}).encode())
    assert answer.status_code == 400, answer.text
    assert answer.json()["message"].startswith("amount: ")


def test_50_53_57_minus_nothing_an_exponent_and_nothing(served: Served) -> None:
    for content in (b'{"amount": -0}', b"{}", b'{"amount": 1e3}', b'{"amount": -0.0}'):
        assert send(served, content).status_code == 400


def test_62_amounts_are_exact_where_doubles_are_not(served: Served, user: User) -> None:
    anna = user()
    assert served.post(f"/points/{anna}/earn", served.till, {"amount": 2**53 - 1}).status_code == 400
    assert served.post(f"/points/{anna}/earn", served.till, {"amount": 10**15 - 1}).status_code == 200
    assert served.ledger.balance(anna) == 999_999_999_999_999


@pytest.mark.parametrize(
    "kind",
    [
        "",
        "text/plain",
        "application/xml",
        "multipart/form-data; boundary=x",
        "application/x-www-form-urlencoded",
    ],
)
def test_44_other_types_are_415(served: Served, kind: str) -> None:
    assert send(served, b'{"amount": 5}', Content_Type=kind).status_code == 415


@pytest.mark.parametrize("more", ["; charset=utf-7", "; charset=latin-1", "; boundary=x", ", text/plain"])
def test_45_other_encodings_are_415(served: Served, more: str) -> None:
    assert send(served, b'{"amount": 5}', Content_Type=f"application/json{more}").status_code == 415


def test_utf8_may_be_named(served: Served, user: User) -> None:
    path = f"/points/{user()}/earn"
    for kind in ("application/json; charset=UTF-8", 'Application/JSON;charset="utf-8"'):
        assert send(served, b'{"amount": 5}', path, Content_Type=kind).status_code == 200


def test_43_compressed_bodies_are_415(served: Served) -> None:
    assert send(served, b"\x1f\x8b", Content_Encoding="gzip").status_code == 415


@pytest.mark.parametrize(
    "content",
    [
        b'{"amount": 5, "reason": "' + b"x" * 10_000_000 + b'"}',
        b"{" + b",".join(b'"%d":1' % number for number in range(1_000_000)) + b"}",
    ],
    ids=["40 a long text", "41 a million names"],
)
def test_40_41_large_bodies_are_413(served: Served, content: bytes) -> None:
    try:
        answer = send(served, content)
    except (httpx.WriteError, httpx.ReadError, httpx.RemoteProtocolError):
        return  # the connection was closed while it still sent: it is not read to its end
    assert answer.status_code == 413


def test_42_names_that_collide_cost_nothing_here(served: Served) -> None:
    names = {f"{number:x}": number for number in range(5000)}
    assert send(served, json.dumps(names).encode()).status_code == 400


def test_74_75_76_transfers_to_oneself_to_nobody_and_of_too_much(served: Served, user: User) -> None:
    anna, ben = user(), user()
    served.earn(anna, 10)
    served.earn(ben, 1)
    path = f"/points/{anna}/transfer"
    cases = [
        ({"to_user_id": anna, "amount": 1}, 400, "SELF_TRANSFER"),
        ({"to_user_id": user(), "amount": 1}, 404, "RECIPIENT_NOT_FOUND"),
        ({"to_user_id": ben, "amount": 11}, 409, "INSUFFICIENT_BALANCE"),
    ]
    for body, status, reason in cases:
        answer = served.post(path, served.till, body)
        assert (answer.status_code, answer.json()["reason"]) == (status, reason)


def test_77_points_that_are_frozen_are_not_given_away(served: Served, user: User) -> None:
    anna, ben = user(), user()
    served.earn(anna, 10)
    served.earn(ben, 1)
    assert served.post(f"/admin/points/{anna}/freeze", served.admin, {"amount": 6}).status_code == 200
    answer = served.post(f"/points/{anna}/transfer", served.till, {"to_user_id": ben, "amount": 5})
    assert (answer.status_code, answer.json()["reason"]) == (409, "INSUFFICIENT_BALANCE")
    assert served.ledger.balance(ben) == 1


def test_79_a_recipient_without_room_gets_nothing(served: Served, user: User) -> None:
    anna, ben = user(), user()
    served.ledger.tenant("full", transfer_enabled=True, max_balance=100)
    admin = served.issuer.admin("full")
    for who, amount in ((anna, 50), (ben, 90)):
        assert served.post(f"/points/{who}/earn", admin, {"amount": amount}).status_code == 200
    answer = served.post(f"/points/{anna}/transfer", admin, {"to_user_id": ben, "amount": 11})
    assert (answer.status_code, answer.json()["reason"]) == (409, "MAX_BALANCE")
    assert (served.ledger.balance(anna, "full"), served.ledger.balance(ben, "full")) == (50, 90)


@pytest.mark.parametrize(
    ("reason", "status"), [("é" * 200, 200), ("x" * 201, 400), ("😀" * 201, 400), ("e\u0301" * 101, 400)]
)
def test_80_a_reason_has_two_hundred_characters(served: Served, user: User, reason: str, status: int) -> None:
    answer = served.post(f"/points/{user()}/earn", served.till, {"amount": 5, "reason": reason})
    assert answer.status_code == status


PATHS = [
    "%2e%2e",
    ".",
    "%00",
    "%0d%0a",
    "%u0041",
    "%c0%af",
    "a" * 300,
    "usr_1%2f..",
    "usr_1%20",
    "%20usr_1",
    "a%E2%80%8Bb",
    "a%EF%BB%BF",
    "%E2%80%AEa",
    "%D0%B0nna",
    "%EF%BC%A1",
    "anna%27%20OR%201=1--",
    "anna;select%20pg_sleep(5)",
    "%24%24",
    "%25",
    "_anna",
    "{{7*7}}",
    "$%7Bjndi:ldap:%2F%2Fx%7D",
]


@pytest.mark.parametrize("path", PATHS)
def test_95_96_97_a_user_id_that_is_none_is_nobodys(served: Served, path: str) -> None:
    for address in (f"/points/{path}", f"/points/{path}/transactions"):
        assert served.get(address, served.admin).status_code in (400, 404)
    answer = send(served, b'{"amount": 5}', f"/points/{path}/earn")
    assert answer.status_code in (400, 404, 405)  # without the dot it is another address
    assert served.get("/points/", served.admin).status_code == 404
    assert served.get("/points/anna/", served.admin).status_code == 404


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
def test_97_98_99_free_text_is_kept_to_the_letter(served: Served, user: User, text: str) -> None:
    anna = user()
    body = {"amount": 5, "reason": text, "description": text, "source": text}
    shown = served.post(f"/points/{anna}/earn", served.till, body).json()["data"]["transaction"]
    assert (shown["reason"], shown["description"], shown["source"]) == (text, text, text)
    assert served.ledger.entries(anna)[0]["reason"] == text


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
def test_101_metadata_has_its_bounds(served: Served, metadata: object) -> None:
    event = {"user_id": "canary", "event_type": "visit", "metadata": metadata}
    assert served.post("/admin/points/apply-rule", served.till, event).status_code == 400


def test_101_what_is_within_them_is_kept_as_given(served: Served, user: User) -> None:
    metadata = {"__proto__": {"a": [1, -0.5, None, True]}, "big": 2**63 - 1, "": "", "é": "😀"}
    anna = user()
    event = {"user_id": anna, "event_type": "visit", "metadata": metadata}
    assert served.post("/admin/points/apply-rule", served.till, event).status_code == 200
    kept = served.ledger.rows("SELECT payload FROM journal WHERE user_id = %(user)s", user=anna)[0][0]
    assert kept["metadata"] == metadata


@pytest.mark.parametrize("label", ["", "x" * 101, "a\nb", "\x00", 5, None, {"$ne": 1}])
def test_102_an_event_type_that_is_none_is_400(served: Served, label: object) -> None:
    event = {"user_id": "canary", "event_type": label}
    assert served.post("/admin/points/apply-rule", served.till, event).status_code == 400


QUERIES = [
    *[
        f"page={value}"
        for value in ("0", "-1", "1.5", "abc", "9223372036854775808", "1e3", "", "１", "+1", "1_0")
    ],
    *[f"page_size={value}" for value in ("0", "-1", "101", "10001", "1e3", "")],
    *[f"type={value}" for value in ("transfer", "EARN", "", "earn,spend", "' OR 1=1--", "earn%00")],
    *[f"cursor={value}" for value in ("0", "-1", "abc", "9999999999999999999999")],
    "type=earn&type=spend",
    "page=1&page=2",
    "page=9223372036854775807&page_size=100",
]


@pytest.mark.parametrize("query", QUERIES)
def test_105_106_107_a_question_that_is_none_is_400(served: Served, query: str) -> None:
    served.earn("lister", 1)
    answer = served.get(f"/points/lister/transactions?{query}", served.admin)
    assert answer.status_code == 400, answer.text


def test_108_other_addresses_are_404(served: Served) -> None:
    for path in ("/", "/points", "/admin", "/redoc", "//points/anna", "/POINTS/anna", "/.env"):
        assert served.get(path, served.admin).status_code == 404, path


def test_no_answer_shows_what_came(served: Served) -> None:
    answers = [
        send(served, f'{{"amount": "{CANARY}"}}'.encode()),
        send(served, f'{{"{CANARY}": 1}}'.encode()),
        send(served, f'{{"{CANARY}": 1, "{CANARY}": 2}}'.encode()),
        send(served, CANARY.encode()),
        served.get(f"/points/anna/transactions?type={CANARY}", served.admin),
        served.get(f"/points/{CANARY}!", served.admin),
        served.get(f"/{CANARY}", served.admin),
        served.get(f"/tasks/{CANARY}", served.admin),
        served.get("/points/anna", CANARY),
        send(served, b'{"amount": 5}', X_Idempotency_Key=f'"{CANARY}'),
        send(served, b'{"amount": 5}', Content_Type=CANARY),
    ]
    for answer in answers:
        assert 400 <= answer.status_code < 500
        assert CANARY not in answer.text + str(answer.headers)
