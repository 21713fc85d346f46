"""Lists invalid and valid input, for tests of commands and of the client.

A case is a kind, the fields that differ from `GOOD` (`MISSING` removes one) and the field that the error must
name. The numbers refer to the corpus of the reliability plan.
"""

from functools import cache
from typing import Any

MISSING = object()
MAX_AMOUNT = 10**15

GOOD: dict[str, dict[str, Any]] = {
    "apply-rule": {"tenant_id": "shop", "user_id": "anna", "event_type": "visit"},
    "erase-user": {"tenant_id": "shop", "user_id": "anna"},
    "earn": {"tenant_id": "shop", "user_id": "anna", "amount": 5},
    "spend": {"tenant_id": "shop", "user_id": "anna", "amount": 5},
    "transfer": {"tenant_id": "shop", "user_id": "anna", "to_user_id": "ben", "amount": 5},
    "expire": {"tenant_id": "shop", "user_id": "anna", "amount": 5},
    "refund": {"tenant_id": "shop", "user_id": "anna", "amount": 5},
    "clawback": {"tenant_id": "shop", "user_id": "anna", "related_id": "01ARZ3NDEKTSV4RRFFQ69G5FAV"},
    "cancel-pending": {"tenant_id": "shop", "user_id": "anna", "related_id": "01ARZ3NDEKTSV4RRFFQ69G5FAV"},
    "activate-due": {"tenant_id": "shop", "user_id": "anna", "as_of": "2026-03-01T00:00:00Z"},
    "import-opening-balance": {"tenant_id": "shop", "user_id": "anna", "lots": [{"amount": 5}]},
    "expire-due": {"tenant_id": "shop", "user_id": "anna", "as_of": "2026-03-01T00:00:00Z"},
    "freeze": {"tenant_id": "shop", "user_id": "anna", "amount": 5},
    "unfreeze": {"tenant_id": "shop", "user_id": "anna", "amount": 5},
    "confirm-deduction": {
        "tenant_id": "shop",
        "user_id": "anna",
        "hold_id": "01M7YSJ0000000000000000000",
    },
    "release-holds-due": {"tenant_id": "shop", "user_id": "anna", "as_of": "2026-03-01T00:00:00Z"},
    "adjust": {"tenant_id": "shop", "user_id": "anna", "amount": -5, "reason": "found"},
    "open-account": {"tenant_id": "shop", "user_id": "anna"},
    "set-status": {"tenant_id": "shop", "user_id": "anna", "status": "closed", "reason": "requested"},
    "set-expiry-exemption": {"tenant_id": "shop", "user_id": "anna", "exempt": True, "reason": "the law"},
    "extend-expiry": {
        "tenant_id": "shop",
        "user_id": "anna",
        "expiring_before": "2026-03-01T00:00:00Z",
        "days": 30,
        "reason": "sorry",
    },
    "apply-expiry-policy": {
        "tenant_id": "shop",
        "user_id": "anna",
        "lots": [{"lot_id": "01ARZ3NDEKTSV4RRFFQ69G5FAV", "changes": 0}],
    },
    "wallet-adjust": {
        "tenant_id": "shop",
        "user_id": "anna",
        "type": "deposit",
        "amount": "5.00",
        "reason": "won",
    },
    "exchange": {"tenant_id": "shop", "user_id": "anna", "amount": 5, "exchange_type": "wallet"},
}

# 68.
BAD_MONEY: dict[str, Any] = {
    "not a number": "NaN",
    "infinite": "Infinity",
    "minus infinite": "-Infinity",
    "a huge exponent": "1E+1000000",
    "an exponent": "1e2",
    "a plus sign": "+1",
    "an underscore": "1_0",
    "full-width digits": "１２",
    "an Arabic digit": "٥",
    "spaces around": " 5 ",
    "a trailing newline": "5\n",
    "empty": "",
    "a minus sign": "-1",
    "a typographic minus sign": "−5",
    "zero": "0",
    "zero with decimals": "0.00",
    "22 digits": "99999999999999999999.00",
    "21 digits": "100000000000000000000",
    "5000 digits": "9" * 5000,
    "a point at the end": "1.",
    "a point at the beginning": ".5",
    "two points": "1.0.0",
    "a comma": "1,00",
    "a leading zero": "01",
    "hexadecimal": "0x10",
    "NUL": "1\x00",
    "a lone surrogate": "\ud800",
    "a number": 5,
    "a fraction": 5.5,
    "true": True,
    "null": None,
    "missing": MISSING,
    "a list": ["5"],
}

# 48–67. `-0` and `1e3` are JSON spellings; as Python values they are 0 and 1000.0.
BAD_AMOUNTS: dict[str, Any] = {
    "zero": 0,
    "negative": -1,
    "minus five": -5,
    "minus zero": -0,
    "a whole float": 1.0,
    "a fraction": 1.5,
    "with an exponent": 1e3,
    "text": "5",
    "true": True,
    "false": False,
    "null": None,
    "missing": MISSING,
    "a list": [],
    "an object": {},
    "not a number": float("nan"),
    "infinite": float("inf"),
    "minus infinite": float("-inf"),
    "one over the most": MAX_AMOUNT + 1,
    "2^53 + 1": 2**53 + 1,
    "2^63 - 1": 2**63 - 1,
    "2^63": 2**63,
    "2^64 + 5": 2**64 + 5,
    "5000 digits": 10**5000 - 1,
    "hexadecimal text": "0x10",
    "padded text": " 5 ",
    "full-width text": "５",
    "bytes": b"5",
}

# 95–97.
BAD_IDS: dict[str, Any] = {
    "empty": "",
    "NUL": "anna\x00",
    "a line break": "anna\r\n",
    "a trailing newline": "anna\n",
    "overlong UTF-8, decoded badly": "\udcc0\udcaf",
    "256 characters": "a" * 256,
    "256 characters of four bytes": "😀" * 256,
    "a zero-width space": "an\u200bna",
    "a zero-width joiner": "an\u200dna",
    "a byte order mark": "\ufeffanna",
    "right to left": "\u202eanna",
    "an operator": {"$gt": ""},
    "a lone surrogate": "\ud800",
    "a number": 5,
    "true": True,
    "null": None,
    "bytes": b"anna",
    "a line separator": "an\u2028na",
    "DEL": "anna\x7f",
    "C1": "anna\x85",
    "missing": MISSING,
}

# Ids are limited by their length and by control characters only, because issuers choose them.
GOOD_IDS: dict[str, str] = {
    "a dot": ".",
    "two dots": "..",
    "dots percent-encoded": "%2e%2e",
    "NUL percent-encoded": "%00",
    "a line break percent-encoded": "%0d%0a",
    "an escape of another language": "%u0041",
    "65 characters": "a" * 65,
    "a slash": "usr_1/",
    "a parent folder": "usr_1/../usr_2",
    "a Cyrillic letter": "аnna",
    "full-width letters": "ａｎｎａ",
    "an accent, composed": "andr\u00e9",
    "an accent, decomposed": "andre\u0301",
    "a trailing space": "anna ",
    "a leading space": " anna",
    "a leading hyphen": "-anna",
    "a leading underscore": "_anna",
    "SQL": "' OR 1=1--",
    "a SQL call": ";select pg_sleep(5)",
    "a backslash": "\\",
    "a dollar quote": "$$",
    "a percent sign": "%",
    "an underscore, which LIKE reads": "_",
    "a template": "{{7*7}}",
    "a lookup": "${jndi:ldap://x}",
    "Auth0": "auth0|507f1f77bcf86cd799439020",
    "an address with a plus": "anna+points@example.org",
    "a URL": "https://idp.example/users/7?of=shop#top",
    "another route": "anna/transactions",
    "a slash percent-encoded": "a%2Fb",
    "quotes": "a\"b\\c'",
    "255 characters of four bytes": "😀" * 255,
}

# 81–85, 97–100.
BAD_KEYS: dict[str, Any] = {
    "empty": "",
    "256 characters": "k" * 256,
    "a line break": "k\r\nX-Admin: 1",
    "a tab": "k\t",
    "NUL": "k\x00",
    "DEL": "k\x7f",
    "an accent": "clé",
    "zero-width": "k\u200b",
    "a lone surrogate": "\ud800",
    "a number": 5,
    "bytes": b"k",
}

BAD_MOMENTS: dict[str, Any] = {
    "no offset": "2026-03-01T10:00:00",
    "a day only": "2026-03-01",
    "empty": "",
    "words": "yesterday",
    "no such month": "2026-13-01T00:00:00Z",
    "no such day": "2026-02-29T00:00:00Z",
    "no such hour": "2026-03-01T24:00:00Z",
    "no such offset": "2026-03-01T10:00:00+25:00",
    "seconds since 1970": 1_772_359_200,
    "seconds since 1970 as text": "1772359200",
    "true": True,
    "full-width digits": "２026-03-01T10:00:00Z",
    "before the first year, in UTC": "0001-01-01T00:00:00+14:00",
    "after the last year, in UTC": "9999-12-31T23:59:59-14:00",
}

BAD_TASK_IDS: dict[str, Any] = {
    "empty": "",
    "short": "01JNBB6YC0",
    "over 128 bits": "8" + "0" * 25,
    "an excluded letter": "U" * 26,
    "braces": "{01955535-f980-c0ef-0e46-81d8b83e93c5}",
    "no hyphens": "01955535f980c0ef0e4681d8b83e93c5",
    "SQL": "' OR 1=1--",
    "a number": 5,
    "null": None,
    "bytes": b"\x00" * 16,
}


def nested(containers: int) -> dict[str, Any]:
    """Build metadata of nested objects around a number."""
    inner: Any = 1
    for _ in range(containers):
        inner = {"k": inner}
    assert isinstance(inner, dict)
    return inner


def nested_lists(containers: int) -> dict[str, Any]:
    inner: Any = 1
    for _ in range(containers - 1):
        inner = [inner]
    return {"k": inner}


# 99–101.
BAD_METADATA: dict[str, Any] = {
    "a megabyte": {"k": "x" * 1_000_000},
    "one byte too many": {"k": "x" * (16 * 1024 - 7)},
    "many bytes in few characters": {"k": "é" * 8192},
    "10 001 keys": {str(number): 0 for number in range(10_001)},
    "nine levels": nested(9),
    "nine levels of lists": nested_lists(9),
    "33 levels": nested(33),
    "NaN": {"k": float("nan")},
    "infinite": {"k": float("inf")},
    "infinite, deep down": {"k": [{"k": float("-inf")}]},
    "2^63": {"k": 2**63},
    "-2^63 - 1": {"k": -(2**63) - 1},
    "2^64 + 5": {"k": 2**64 + 5},
    "5000 digits": {"k": 10**5000 - 1},
    "NUL in a value": {"k": "\x00"},
    "NUL in a key": {"\x00": 1},
    "NUL in an inner key": {"k": {"\x00": 1}},
    "a lone surrogate in a value": {"k": "\ud800"},
    "a lone surrogate in a list": {"k": ["\udfff"]},
    "a lone surrogate in a key": {"\ud800": 1},
    "a lone surrogate in an inner key": {"k": {"\ud800": 1}},
    "a list": [],
    "text": "{}",
    "null": None,
    "a tuple": {"k": (1, 2)},
    "a set": {"k": {1}},
    "bytes": {"k": b"x"},
    "a key that is no text": {1: 1},
    "an inner key that is no text": {"k": {1: 1}},
}

GOOD_METADATA: dict[str, dict[str, Any]] = {
    "nothing": {},
    "the most bytes": {"k": "x" * (16 * 1024 - 8)},
    "eight levels": nested(8),
    "eight levels of lists": nested_lists(8),
    "2^53 + 1": {"k": 2**53 + 1},
    "2^63 - 1": {"k": 2**63 - 1},
    "-2^63": {"k": -(2**63)},
    "floats": {"k": [1.5, -0.0, 1e308, 5e-324]},
    "null": {"k": None, "list": [None]},
    "booleans": {"k": True, "other": False},
    "an attribute's name": {"__proto__": {"admin": True}, "constructor": 1, "__class__": "x"},
    "an empty key": {"": 1},
    "an operator": {"$gt": ""},
    "SQL": {"' OR 1=1--": "'; DROP TABLE journal; --"},
    "accents, composed and not": {"caf\u00e9": "composed", "cafe\u0301": "decomposed"},
    "zero-width and right to left": {"k": "a\u200bb\u202ec\ufeff"},
    "an emoji": {"k": "👩‍👩‍👧"},
    "line separators": {"k": "a\r\nb\u2028c\x1b[31m"},
    "quotes and backslashes": {"k": "\"\\'$$%_"},
}

# 97–99: free text is stored as it is.
LITERAL_TEXTS: dict[str, str] = {
    "empty": "",
    "SQL": "'; DROP TABLE journal; --",
    "SQL without a quote": ";select pg_sleep(5)",
    "a backslash": "\\",
    "a dollar quote": "$$",
    "LIKE's wildcards": "%_",
    "a placeholder": "%(id)s %s :id ?",
    "a template": "{{7*7}} ${jndi:ldap://x}",
    "a line break": "a\r\nb",
    "an escape sequence": "\x1b[31m",
    "a line separator": "a\u2028b",
    "composed": "caf\u00e9",
    "decomposed": "cafe\u0301",
    "zero-width": "a\u200bb\ufeff",
    "right to left": "\u202eabc",
    "an emoji": "👩‍👩‍👧",
    "JSON": '{"amount": 1}',
}


def _bad() -> list[tuple[str, str, dict[str, Any], str]]:
    amounts = [
        (kind, f"amount {what}", {"amount": value}, "amount")
        for kind in ("earn", "spend", "transfer", "expire", "refund")
        for what, value in BAD_AMOUNTS.items()
    ]
    ids = [
        ("spend", f"{name} {what}", {name: value}, name)
        for name in ("user_id", "tenant_id", "actor")
        for what, value in BAD_IDS.items()
        if (name, value) != ("actor", MISSING)
    ]
    recipients = [
        ("transfer", f"to_user_id {what}", {"to_user_id": value}, "to_user_id")
        for what, value in BAD_IDS.items()
    ]
    keys = [
        ("earn", f"idempotency_key {what}", {"idempotency_key": value}, "idempotency_key")
        for what, value in BAD_KEYS.items()
    ]
    event_ids = [
        ("apply-rule", f"event_id {what}", {"event_id": value}, "event_id")
        for what, value in BAD_KEYS.items()
    ]
    moments = [
        (kind, f"{name} {what}", {name: value}, name)
        for kind, name in (("earn", "occurred_at"), ("earn", "expires_at"), ("expire-due", "as_of"))
        for what, value in BAD_MOMENTS.items()
    ]
    task_ids = [("earn", f"id {what}", {"id": value}, "id") for what, value in BAD_TASK_IDS.items()]
    task_ids += [
        ("refund", f"related_id {what}", {"related_id": value}, "related_id")
        for what, value in BAD_TASK_IDS.items()
        if value is not None
    ]
    metadata = [
        ("apply-rule", f"metadata {what}", {"metadata": value}, "metadata")
        for what, value in BAD_METADATA.items()
    ]
    return amounts + ids + recipients + keys + event_ids + moments + task_ids + metadata + _BAD_OTHERS


_BAD_OTHERS: list[tuple[str, str, dict[str, Any], str]] = [
    ("import-opening-balance", "no lots", {"lots": []}, "lots"),
    ("import-opening-balance", "lots that are text", {"lots": "5"}, "lots"),
    ("import-opening-balance", "a lot of nothing", {"lots": [{"amount": 0}]}, "lots.0.amount"),
    ("import-opening-balance", "1001 lots", {"lots": [{"amount": 1}] * 1001}, "lots"),
    ("import-opening-balance", "an unknown flag", {"expired": "maybe"}, "expired"),
    ("import-opening-balance", "a control sum that does not match", {"control_sum": 6}, "body"),
    (
        "earn",
        "an end before the beginning",
        {"activates_at": "2026-03-02T00:00:00Z", "expires_at": "2026-03-01T00:00:00Z"},
        "body",
    ),
    ("earn", "an unknown field", {"balance": 10**6}, "balance"),
    ("earn", "another's field", {"to_user_id": "ben"}, "to_user_id"),
    ("earn", "its kind as a field", {"kind": "earn"}, "kind"),
    ("earn", "a version as a field", {"version": 1}, "version"),
    ("expire", "an unknown strategy", {"strategy": "latest_first"}, "strategy"),
    ("expire", "no strategy", {"strategy": None}, "strategy"),
    ("apply-rule", "an empty event_type", {"event_type": ""}, "event_type"),
    ("apply-rule", "a long event_type", {"event_type": "e" * 101}, "event_type"),
    ("apply-rule", "a line break in event_type", {"event_type": "visit\n"}, "event_type"),
    ("apply-rule", "NUL in event_type", {"event_type": "visit\x00"}, "event_type"),
    ("apply-rule", "an escape in event_type", {"event_type": "\x1b[31m"}, "event_type"),
    ("apply-rule", "a surrogate in event_type", {"event_type": "\ud800"}, "event_type"),
    ("apply-rule", "an object as event_type", {"event_type": {"$gt": ""}}, "event_type"),
    ("apply-rule", "no event_type", {"event_type": MISSING}, "event_type"),
    ("earn", "a reason of 201 characters", {"reason": "r" * 201}, "reason"),
    ("earn", "a reason of 201 emoji", {"reason": "🙂" * 201}, "reason"),
    ("earn", "NUL in reason", {"reason": "a\x00b"}, "reason"),
    ("earn", "a surrogate in reason", {"reason": "\ud800"}, "reason"),
    ("earn", "a number as reason", {"reason": 5}, "reason"),
    ("spend", "a source of 201 characters", {"source": "s" * 201}, "source"),
    ("spend", "NUL in source", {"source": "\x00"}, "source"),
    ("transfer", "a description of 501 characters", {"description": "d" * 501}, "description"),
    ("transfer", "NUL in description", {"description": "\x00"}, "description"),
    ("expire", "a surrogate in description", {"description": "\udfff"}, "description"),
    ("expire-due", "no as_of", {"as_of": MISSING}, "as_of"),
    *(("wallet-adjust", what, {"amount": amount}, "amount") for what, amount in BAD_MONEY.items()),
    (
        "wallet-adjust",
        "three decimals of yuan",
        {"amount": "1.001", "currency": "CNY"},
        "body: Value error, amount",
    ),
    (
        "wallet-adjust",
        "a fraction of a yen",
        {"amount": "1.5", "currency": "JPY"},
        "body: Value error, amount",
    ),
    (
        "wallet-adjust",
        "21 digits of yuan",
        {"amount": "1" * 20, "currency": "CNY"},
        "body: Value error, amount",
    ),
    ("wallet-adjust", "an unknown type", {"type": "transfer"}, "type"),
    ("wallet-adjust", "no type", {"type": MISSING}, "type"),
    ("wallet-adjust", "no reason", {"reason": MISSING}, "reason"),
    ("wallet-adjust", "an empty reason", {"reason": ""}, "reason"),
    ("wallet-adjust", "an unknown currency", {"currency": "XYZ"}, "currency"),
    ("wallet-adjust", "a currency in small letters", {"currency": "cny"}, "currency"),
    ("exchange", "no exchange_type", {"exchange_type": MISSING}, "exchange_type"),
    ("exchange", "an unknown exchange_type", {"exchange_type": "cash"}, "exchange_type"),
    ("exchange", "zero", {"amount": 0}, "amount"),
    ("exchange", "money", {"amount": "5.00"}, "amount"),
]

BAD = _bad()


@cache
def by_field() -> dict[tuple[str, str], list[tuple[str, dict[str, Any]]]]:
    """Group the cases of `BAD` by kind and field."""
    found: dict[tuple[str, str], list[tuple[str, dict[str, Any]]]] = {}
    for kind, what, change, field in BAD:
        found.setdefault((kind, field), []).append((what, fields_of(kind, change)))
    return found


def fields_of(kind: str, change: dict[str, Any]) -> dict[str, Any]:
    """Return the valid fields of a kind with a change."""
    return {name: value for name, value in {**GOOD[kind], **change}.items() if value is not MISSING}


# Texts that are not JSON, or JSON that parsers read differently.
BAD_JSON: dict[str, str] = {
    "empty": "",
    "truncated": '{"amount": 1',
    "trailing text": '{"amount": 1} x',
    "two values": '{"amount": 1} {"amount": 2}',
    "a comment": '{"amount": 1 /* one */}',
    "single quotes": "{'amount': 1}",
    "a trailing comma": '{"amount": 1,}',
    "a byte order mark": '\ufeff{"amount": 1}',
    "a key twice": '{"amount": 1, "amount": 999}',
    "an inner key twice": '{"metadata": {"a": {"b": 1, "b": 2}}}',
    "a key twice, once escaped": '{"amount": 1, "\\u0061mount": 999}',
    "NaN": '{"amount": NaN}',
    "Infinity": '{"amount": Infinity}',
    "-Infinity": '{"amount": -Infinity}',
    "hexadecimal": '{"amount": 0x10}',
    "a leading zero": '{"amount": 01}',
    "a plus sign": '{"amount": +1}',
    "5000 digits": '{"amount": ' + "9" * 5000 + "}",
    "100 000 lists": "[" * 100_000,
    "100 000 lists, closed": "[" * 100_000 + "]" * 100_000,
    "100 000 objects": '{"a":' * 100_000,
    "an unfinished escape": '{"reason": "\\u12"}',
    "a bare line break in text": '{"reason": "a\nb"}',
    "bare NUL in text": '{"reason": "a\x00b"}',
}
