"""Queries and paths: cases 105 to 108 of the corpus."""

import pytest

from tests.api.environment import ApiEnvironment

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
def test_105_106_107_an_invalid_query_is_400(api: ApiEnvironment, query: str) -> None:
    api.earn("lister", 1)
    answer = api.get(f"/points/lister/transactions?{query}", api.admin)
    assert answer.status_code == 400, answer.text


def test_108_other_paths_are_404(api: ApiEnvironment) -> None:
    for path in ("/", "/points", "/admin", "/redoc", "//points/anna", "/POINTS/anna", "/.env"):
        assert api.get(path, api.admin).status_code == 404, path
