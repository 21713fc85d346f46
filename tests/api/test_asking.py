"""The lines that `./dev run` prints, and the README shows: they work, in this order, and again."""

import json
import shlex
from itertools import pairwise
from pathlib import Path

import pytest

from pointledger_demo.asking import asking
from pointledger_demo.programme import RULES, TENANT, TENANT_CONFIG
from tests.api.served import Served

README = (Path(__file__).parents[2] / "README.md").read_text()


@pytest.fixture(scope="module")
def asked(served: Served) -> Served:
    """The grocer's programme, and somebody to give points to."""
    served.ledger.tenant(**TENANT_CONFIG)
    for rule in RULES:
        served.ledger.rule(TENANT, **rule)
    done = served.post("/points/household-906/earn", served.issuer.admin(TENANT), {"amount": 1})
    assert done.status_code == 200
    return served


def test_the_readme_shows_them() -> None:
    assert "\n".join(asking("http://127.0.0.1:8000", ".data/http/token")) in README


def test_what_the_first_answers_is_what_the_readme_says(asked: Served) -> None:
    path, _, body = asking("", "token")[1].partition(" --json ")
    answer = asked.post(path.split()[-1], asked.issuer.admin(TENANT), json.loads(shlex.split(body)[0]))
    data = answer.json()["data"]
    account, entry = data["account"], data["transaction"]
    told = (
        f'"points_earned": {data["points_earned"]}',
        f'"balance": {account["balance"]}, "version": {account["version"]}',
        f'"amount": {entry["amount"]}, "balance_before": 0, "balance_after": {entry["balance_after"]}',
    )
    for part in told:
        assert part in README, part


def test_each_of_them_is_answered_as_it_should_be_however_often(asked: Served) -> None:
    admin = asked.issuer.admin(TENANT)
    first, *lines = asking(asked.url, "token")
    assert first == 'H="Authorization: Bearer $(cat token)"'
    for line in [*lines, *lines]:
        status = _status(asked, shlex.split(line.replace("$H", f"Authorization: Bearer {admin}")))
        assert status == (202 if "respond-async" in line else 200), line


def _status(served: Served, words: list[str]) -> int:
    """As curl understands the words of its command line."""
    (address,) = [word for word in words if word.startswith(served.url)]
    given = list(pairwise(words))
    headers = dict(word.split(": ", 1) for option, word in given if option == "-H")
    body = next((word for option, word in given if option == "--json"), None)
    if body:
        headers["Content-Type"] = "application/json"
    method = "POST" if body else "GET"
    return served.client.request(method, address, content=body, headers=headers).status_code
