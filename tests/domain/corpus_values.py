"""Invalid and unusual values of fields, by the numbers of the corpus of the reliability plan."""

from typing import Any

MISSING = object()


MAX_AMOUNT = 10**15


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
