"""The curl lines that `./dev run` prints and the guide shows work in order, and repeatedly."""

import shlex
from itertools import pairwise
from pathlib import Path

import pytest

from pointledger_demo.curl_lines import curl_lines
from pointledger_demo.program import RULES, TENANT, TENANT_CONFIG
from tests.api.environment import ApiEnvironment

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "guides" / "http-api.md").read_text()
README = (ROOT / "README.md").read_text()


@pytest.fixture(scope="module")
def grocer(api: ApiEnvironment) -> ApiEnvironment:
    """The API with the grocer's program and a recipient for transfers."""
    api.ledger.set_program(TENANT_CONFIG, RULES)
    done = api.post("/points/household-906/earn", api.issuer.admin(TENANT), {"amount": 1})
    assert done.status_code == 200
    return api


def test_the_guide_shows_the_lines_and_the_readme_the_first_ones() -> None:
    lines = curl_lines("http://127.0.0.1:8000", ".data/http/token")
    assert "\n".join(lines) in GUIDE
    assert "\n".join(lines[:2]) in README
    assert lines[2] in README


def test_every_line_succeeds_repeatedly(grocer: ApiEnvironment) -> None:
    admin = grocer.issuer.admin(TENANT)
    first, *lines = curl_lines(grocer.url, "token")
    assert first == 'H="Authorization: Bearer $(cat token)"'
    for line in [*lines, *lines]:
        status = _status(grocer, shlex.split(line.replace("$H", f"Authorization: Bearer {admin}")))
        assert status == (202 if "respond-async" in line else 200), line


def _status(api: ApiEnvironment, arguments: list[str]) -> int:
    """Send the request that curl would send for these arguments."""
    (address,) = [word for word in arguments if word.startswith(api.url)]
    pairs = list(pairwise(arguments))
    headers = dict(word.split(": ", 1) for option, word in pairs if option == "-H")
    body = next((word for option, word in pairs if option == "--json"), None)
    if body:
        headers["Content-Type"] = "application/json"
    method = "POST" if body else "GET"
    return api.client.request(method, address, content=body, headers=headers).status_code
