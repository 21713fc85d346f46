"""Generated clients, and the TypeScript package: they type-check, and work against the API and a worker."""

import shutil
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pointledger.settings import Settings
from tests import environments
from tests.api.environment import ApiEnvironment
from tests.api.issuer import Issuer
from tests.api.processes import api_and_worker, run
from tests.docs.blocks import ROOT, blocks_of

pytestmark = pytest.mark.long

CLIENTS = Path(__file__).parent / "clients"
TYPESCRIPT = ROOT / "clients" / "typescript"
User = Callable[[], str]


@pytest.fixture(scope="module")
def api(
    module_settings: Settings, issuer: Issuer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ApiEnvironment]:
    with api_and_worker(module_settings, issuer, tmp_path_factory.mktemp("logs")) as opened:
        opened.ledger.tenant("shop", transfer_enabled=True)
        base = {"kind": "per_unit", "field": "amount_minor", "per": 100, "points": 1}
        opened.ledger.rule("shop", name="a point per euro", event_type="basket.paid", base=base)
        yield opened


def test_a_client_of_openapi_python_client_type_checks_and_works(
    api: ApiEnvironment, folder: Path, user: User
) -> None:
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
    assert "all five" in run([bin / "python", program, api.url, api.admin, user(), user()], env=env)


@pytest.fixture(scope="module")
def packages() -> Path:
    """The folder with the packages that the TypeScript client needs, and those that compile it."""
    return environments.node("typescript", TYPESCRIPT) / "node_modules"


@pytest.fixture(scope="module")
def project(packages: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that has installed the TypeScript client from its package, as npm makes it."""
    folder = tmp_path_factory.mktemp("typescript")
    source, modules = folder / "source", folder / "project" / "node_modules"
    shutil.copytree(TYPESCRIPT, source, ignore=shutil.ignore_patterns("node_modules", "dist"))
    (source / "node_modules").symlink_to(packages)
    run(
        ["npm", "pack", "--silent", "--pack-destination", folder],
        env=environments.clean_environ(),
        cwd=source,
    )
    modules.mkdir(parents=True)
    with tarfile.open(next(folder.glob("pointledger-*.tgz"))) as packed:
        packed.extractall(folder, filter="data")
    (folder / "package").rename(modules / "pointledger")
    for name in ("@types", "openapi-fetch", "openapi-typescript-helpers"):
        (modules / name).symlink_to(packages / name)
    (modules.parent / "package.json").write_text('{"type": "module"}')
    return modules.parent


def compiled(program: Path, packages: Path) -> Path:
    """Compile a program strictly, and return the JavaScript."""
    strict = ["--strict", "--module", "nodenext", "--target", "es2022", "--types", "node"]
    run([packages / ".bin" / "tsc", *strict, program], env=environments.clean_environ(), cwd=program.parent)
    return program.with_suffix(".js")


def test_the_typescript_package_compiles_and_works(
    api: ApiEnvironment, packages: Path, project: Path, user: User
) -> None:
    program = compiled(Path(shutil.copy(CLIENTS / "program.ts", project)), packages)
    command: list[str | Path] = ["node", program, api.url, api.admin, user(), user()]
    assert "all of it" in run(command, env=environments.clean_environ(), cwd=project)


def test_the_typescript_packages_example_works(api: ApiEnvironment, packages: Path, project: Path) -> None:
    (example,) = blocks_of("clients/typescript/README.md")
    (project / "example.ts").write_text(example.text)
    program = compiled(project / "example.ts", packages)
    api.earn("anna", 3)
    env = environments.clean_environ(POINTLEDGER_URL=api.url, POINTLEDGER_TOKEN=api.admin)
    refused, earned, rules = run(["node", program], env=env, cwd=project).splitlines()
    assert (refused, earned.split()[:2]) == ("INSUFFICIENT_BALANCE", ["earn", "3"])
    assert rules == "[ 'a point per euro' ]"


def test_the_typescript_packages_types_are_those_of_the_document(packages: Path, folder: Path) -> None:
    document = ROOT / "docs" / "reference" / "openapi.json"
    made = folder / "schema.ts"
    generate: list[str | Path] = [packages / ".bin" / "openapi-typescript", document, "--output", made]
    run(generate, env=environments.clean_environ(), cwd=folder)
    assert made.read_text() == (TYPESCRIPT / "src" / "schema.ts").read_text(), (
        "run `npm run generate` in clients/typescript"
    )
