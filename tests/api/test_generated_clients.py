"""Clients that generators make of /openapi.json: their types hold, and they do what the five pages of the API
describe, against a gateway and a worker as processes."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import environments
from tests.api.issuer import Issuer
from tests.api.running import run, running
from tests.api.served import Served, http_settings

pytestmark = pytest.mark.long

CLIENTS = Path(__file__).parent / "clients"
User = Callable[[], str]


@pytest.fixture
def served(settings: object, issuer: Issuer, folder: Path) -> Iterator[Served]:
    with running(http_settings(settings, issuer, folder), issuer, folder) as opened:  # type: ignore[arg-type]
        opened.ledger.tenant("shop", transfer_enabled=True)
        base = {"kind": "per_unit", "field": "amount_minor", "per": 100, "points": 1}
        opened.ledger.rule("shop", name="a point per euro", event_type="basket.paid", base=base)
        yield opened


def test_openapi_python_client_makes_a_client_whose_types_hold_and_that_works(
    served: Served, folder: Path
) -> None:
    bin = environments.python("openapi-python-client").parent
    described, made = folder / "openapi.json", folder / "client"
    described.write_bytes(served.get("/openapi.json").content)
    env = environments.stranger(PATH=f"{bin}:/usr/bin:/bin", PYTHONPATH=str(made))
    generate: list[str | Path] = [
        "--path",
        described,
        "--meta",
        "none",
        "--output-path",
        made / "pointledger_client",
    ]
    run([bin / "openapi-python-client", "generate", "--fail-on-warning", *generate], env=env, cwd=folder)
    program = Path(shutil.copy(CLIENTS / "five_endpoints.py", folder))
    # client.py is the generator's own text, the same for every description, and not strict about httpx.
    (folder / "mypy.ini").write_text("[mypy]\n[mypy-pointledger_client.client]\nignore_errors = True\n")
    run([bin / "mypy", "--strict", program, made / "pointledger_client"], env=env, cwd=folder)
    assert "all five" in run([bin / "python", program, served.url, served.admin, "anna", "ben"], env=env)


def test_openapi_typescript_makes_types_that_hold_and_openapi_fetch_works_with_them(
    served: Served, folder: Path
) -> None:
    node = environments.node("openapi-typescript")
    bin, env = node / "node_modules" / ".bin", environments.stranger()
    described, made = folder / "openapi.json", folder / "client"
    described.write_bytes(served.get("/openapi.json").content)
    made.mkdir()
    (made / "node_modules").symlink_to(node / "node_modules")
    (made / "package.json").write_text('{"type": "module"}')
    run([bin / "openapi-typescript", described, "--output", made / "schema.d.ts"], env=env, cwd=made)
    shutil.copy(CLIENTS / "five_endpoints.ts", made)
    strict = ["--strict", "--module", "nodenext", "--target", "es2022", "--types", "node"]
    run([bin / "tsc", *strict, made / "five_endpoints.ts"], env=env, cwd=made)
    program = made / "five_endpoints.js"
    assert "all five" in run(["node", program, served.url, served.admin, "anna", "ben"], env=env, cwd=made)
