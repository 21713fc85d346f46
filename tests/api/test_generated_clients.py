"""Generated clients: their types check, and they work against the API and a worker as processes."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import environments
from tests.api.environment import ApiEnvironment, http_settings
from tests.api.issuer import Issuer
from tests.api.processes import api_and_worker, run

pytestmark = pytest.mark.long

CLIENTS = Path(__file__).parent / "clients"
User = Callable[[], str]


@pytest.fixture
def api(settings: object, issuer: Issuer, folder: Path) -> Iterator[ApiEnvironment]:
    with api_and_worker(http_settings(settings, issuer, folder), issuer, folder) as opened:  # type: ignore[arg-type]
        opened.ledger.tenant("shop", transfer_enabled=True)
        base = {"kind": "per_unit", "field": "amount_minor", "per": 100, "points": 1}
        opened.ledger.rule("shop", name="a point per euro", event_type="basket.paid", base=base)
        yield opened


def test_a_client_of_openapi_python_client_type_checks_and_works(api: ApiEnvironment, folder: Path) -> None:
    bin = environments.python("openapi-python-client").parent
    document, package = folder / "openapi.json", folder / "client"
    document.write_bytes(api.get("/openapi.json").content)
    env = environments.clean_environ(PATH=f"{bin}:/usr/bin:/bin", PYTHONPATH=str(package))
    generate: list[str | Path] = [
        "--path",
        document,
        "--meta",
        "none",
        "--output-path",
        package / "pointledger_client",
    ]
    run([bin / "openapi-python-client", "generate", "--fail-on-warning", *generate], env=env, cwd=folder)
    program = Path(shutil.copy(CLIENTS / "five_endpoints.py", folder))
    # client.py is the same for every document, and does not pass mypy's strict mode.
    (folder / "mypy.ini").write_text("[mypy]\n[mypy-pointledger_client.client]\nignore_errors = True\n")
    run([bin / "mypy", "--strict", program, package / "pointledger_client"], env=env, cwd=folder)
    assert "all five" in run([bin / "python", program, api.url, api.admin, "anna", "ben"], env=env)


def test_types_of_openapi_typescript_check_and_work_with_openapi_fetch(
    api: ApiEnvironment, folder: Path
) -> None:
    node = environments.node("openapi-typescript")
    bin, env = node / "node_modules" / ".bin", environments.clean_environ()
    document, package = folder / "openapi.json", folder / "client"
    document.write_bytes(api.get("/openapi.json").content)
    package.mkdir()
    (package / "node_modules").symlink_to(node / "node_modules")
    (package / "package.json").write_text('{"type": "module"}')
    run([bin / "openapi-typescript", document, "--output", package / "schema.d.ts"], env=env, cwd=package)
    shutil.copy(CLIENTS / "five_endpoints.ts", package)
    strict = ["--strict", "--module", "nodenext", "--target", "es2022", "--types", "node"]
    run([bin / "tsc", *strict, package / "five_endpoints.ts"], env=env, cwd=package)
    program = package / "five_endpoints.js"
    assert "all five" in run(["node", program, api.url, api.admin, "anna", "ben"], env=env, cwd=package)
