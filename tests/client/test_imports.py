"""A service pays only for the libraries that it uses: each step of a producer's life, in a fresh process."""

import subprocess
import sys
from importlib import import_module

import pytest

import pointledger
from pointledger.client.queries import late
from tests.environments import clean_environ

_HEAVY = {
    "alembic",
    "authlib",
    "cel_expr_python",
    "celery",
    "fastapi",
    "kombu",
    "prometheus_client",
    "psycopg",
    "pydantic",
    "pydantic_settings",
    "redis",
    "rich",
    "sqlalchemy",
    "sqlalchemy.orm",
    "structlog",
    "typer",
    "uvicorn",
}
_COMMANDS = "from pointledger import ApplyRule, Earn; Earn(tenant_id='shop', user_id='anna', amount=5)"
_CLIENTS = f"from pointledger import AsyncPointsClient, PointsClient; {_COMMANDS}"
_CLIENT = "from pointledger import PointsClient, Settings; settings = Settings(" + (
    "database_url='postgresql://127.0.0.1:1/none', redis_url='redis://127.0.0.1:1/0')"
    "; client = PointsClient(settings)"
)
# Of the library itself, what only workers, operators and queries need.
_NOT_OF_PRODUCERS = {
    "pointledger.api",
    "pointledger.cli",
    "pointledger.domain.decisions",
    "pointledger.domain.ledger",
    "pointledger.domain.program",
    "pointledger.engine",
    "pointledger.events",
    "pointledger.jobs",
    "pointledger.messaging",
    "pointledger.observability",
    "pointledger.storage.database",
    "pointledger.storage.ledger",
    "pointledger.storage.queue",
}


def _run(program: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program], env=clean_environ(), capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("program", "needed"),
    [
        ("import pointledger", set()),
        (_COMMANDS, {"pydantic"}),
        (_CLIENTS, {"pydantic"}),
        (
            f"{_CLIENT}; client.close()",
            {"pydantic", "pydantic_settings", "psycopg", "sqlalchemy", "redis", "celery", "kombu"},
        ),
        ("from pointledger.cli import app", {"pydantic", "pydantic_settings", "rich", "typer"}),
    ],
    ids=["import", "commands", "clients", "connected", "help"],
)
def test_a_step_imports_only_the_libraries_that_it_needs(program: str, needed: set[str]) -> None:
    loaded = _run(f"import sys; {program}; print(*sys.modules)").split()
    assert _HEAVY & set(loaded) == needed


def test_a_producer_imports_of_the_library_what_it_needs() -> None:
    loaded = _run(f"import sys; {_CLIENTS}; print(*sys.modules)").split()
    assert set(loaded) & _NOT_OF_PRODUCERS == set()


@pytest.mark.parametrize(
    "program",
    [
        _CLIENT,
        "from pointledger.frameworks.lazy_client import LazyClient; LazyClient(None)",
        "from pointledger.frameworks.fastapi import Points; Points()",
    ],
    ids=["client", "lazy", "fastapi"],
)
def test_what_a_client_calls_is_imported_before_its_first_call(program: str) -> None:
    unloaded = "print(*{*late.__all__} - {*vars(late)})"
    assert _run(f"{program}; from pointledger.client.queries import late; {unloaded}") == ""


def test_each_late_module_is_found_in_its_package() -> None:
    assert sorted(late._PACKAGE_OF) == sorted(late.__all__)
    for name, package in late._PACKAGE_OF.items():
        assert getattr(late, name) is import_module(f"{package}.{name}")
    with pytest.raises(AttributeError, match="has no attribute 'progam'"):
        late.__getattr__("progam")


def test_a_process_that_imports_clients_and_makes_commands_stays_below_45_megabytes() -> None:
    # The kernel's own peak of this program. That of `resource` includes the process that has started it.
    shown = _run(f"{_CLIENTS}; print(open('/proc/self/status').read())")
    (kilobytes,) = (line.split()[1] for line in shown.splitlines() if line.startswith("VmHWM:"))
    assert int(kilobytes) < 45 * 1024, "it was 35 megabytes in November 2026"


def test_every_public_name_is_in_both_lists_and_is_found_where_the_second_says() -> None:
    assert sorted(pointledger._MODULE_OF) == sorted(pointledger.__all__)
    for name, module in pointledger._MODULE_OF.items():
        assert getattr(pointledger, name) is getattr(import_module(module), name)


def test_dir_names_everything_and_an_unknown_name_is_an_attribute_error() -> None:
    assert set(pointledger.__all__) <= set(dir(pointledger))
    with pytest.raises(AttributeError, match="has no attribute 'PointClient'"):
        _ = pointledger.PointClient
