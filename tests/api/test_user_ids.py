"""A URL names a user whatever characters the id has."""

import http.client
import json
from typing import Any
from urllib.parse import quote

import pytest

from tests.api.environment import ApiEnvironment
from tests.domain.corpus_values import GOOD_IDS


def over_the_wire(api: ApiEnvironment, method: str, path: str, token: str, body: object = None) -> Any:
    """Send the path as it is, because httpx rewrites paths."""
    connection = http.client.HTTPConnection("127.0.0.1", api.port, timeout=30)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    connection.request(method, path, json.dumps(body) if body else None, headers)
    answer = connection.getresponse()
    content = json.loads(answer.read())
    connection.close()
    return answer.status, content


@pytest.mark.parametrize("what", GOOD_IDS)
def test_a_path_names_a_user_whatever_characters_the_id_has(api: ApiEnvironment, what: str) -> None:
    user_id = GOOD_IDS[what]
    path = f"/points/{quote(user_id, safe='')}"
    assert over_the_wire(api, "POST", f"{path}/earn", api.till, {"amount": 5})[0] == 200
    own, other = (api.issuer.token(name, scope="points:read") for name in (user_id, f"{user_id}x"[1:]))
    status, shown = over_the_wire(api, "GET", path, own)
    assert (status, shown["data"]["user_id"], shown["data"]["balance"]) == (200, user_id, 5)
    assert over_the_wire(api, "GET", path, other)[0] == 404
    status, page = over_the_wire(api, "GET", f"{path}/transactions", own)
    assert (status, page["total"]) == (200, 1)


@pytest.mark.parametrize(
    "path", ["/points/%", "/points/%ff", "/points/%u0041", "/points/%c0%af", "/points/a%0"]
)
def test_a_path_that_is_not_percent_encoded_utf8_is_400(api: ApiEnvironment, path: str) -> None:
    status, answer = over_the_wire(api, "GET", path, api.admin)
    assert (status, answer["message"]) == (400, "path: must be UTF-8, percent-encoded")
