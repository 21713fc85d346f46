"""In Django, a command belongs to the transaction that is open, and workers are notified at its commit."""

import asyncio
import json
import os
from collections.abc import Iterator
from typing import Any

import django
import pytest
from asgiref.sync import sync_to_async
from django.conf import settings as django_settings
from django.core.exceptions import ImproperlyConfigured, SynchronousOnlyOperation
from django.core.management import call_command
from django.db import ProgrammingError, connections, transaction
from django.db.transaction import TransactionManagementError
from django.test import override_settings
from psycopg.conninfo import conninfo_to_dict

from pointledger.errors import IdempotencyKeyReused, SettingsInvalid
from pointledger.frameworks.django import points
from pointledger.frameworks.django.testing import LedgerTestRunner
from tests.client.accepting import earn, in_journal, rings
from tests.ledger import Ledger


@pytest.fixture(scope="module", autouse=True)
def _project() -> None:
    """A Django project, for as long as this process runs; each test names its database."""
    postgres = {"ENGINE": "django.db.backends.postgresql", "NAME": "none"}
    django_settings.configure(
        DATABASES={
            "default": postgres,
            "manual": postgres | {"AUTOCOMMIT": False},
            "other": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"},
        },
        INSTALLED_APPS=["pointledger.frameworks.django"],
        USE_TZ=True,
    )
    django.setup()


@pytest.fixture
def ledger(ledger: Ledger, elsewhere: None) -> Iterator[Ledger]:
    """The ledger in Django's database."""
    given = conninfo_to_dict(ledger.settings.database)
    names = {"NAME": "dbname", "USER": "user", "PASSWORD": "password", "HOST": "host", "PORT": "port"}
    for alias in ("default", "manual"):
        place = {name: given[libpqs] for name, libpqs in names.items() if libpqs in given}
        connections[alias].settings_dict.update(place)
    with override_settings(POINTLEDGER={"REDIS_URL": ledger.settings.redis}):
        yield ledger
        connections.close_all()


def test_a_command_in_an_atomic_block_is_accepted_at_its_commit(ledger: Ledger) -> None:
    with transaction.atomic():
        task_id = points.enqueue(earn())
        assert points.client.outcome(task_id).state == "unknown"
        assert rings(ledger) == 0
    assert in_journal(ledger) == [task_id]
    assert rings(ledger) == 1
    ledger.drain()
    assert points.client.outcome(task_id).state == "applied"


def test_an_atomic_block_that_fails_accepts_nothing_and_does_not_ring(ledger: Ledger) -> None:
    with pytest.raises(RuntimeError, match="declined"), transaction.atomic():
        points.enqueue_many([earn(), earn()])
        raise RuntimeError("declined")
    assert (in_journal(ledger), rings(ledger)) == ([], 0)


def test_a_savepoint_that_is_rolled_back_takes_only_its_own_commands(ledger: Ledger) -> None:
    with transaction.atomic():
        before = points.enqueue(earn())
        with pytest.raises(RuntimeError, match="voucher"), transaction.atomic():
            points.enqueue(earn())
            raise RuntimeError("the voucher has expired")
        with transaction.atomic():
            after = points.enqueue(earn())
    assert in_journal(ledger) == [before, after]
    assert rings(ledger) == 1


def test_a_transaction_whose_only_commands_are_rolled_back_does_not_ring(ledger: Ledger) -> None:
    with transaction.atomic():
        with pytest.raises(RuntimeError, match="voucher"), transaction.atomic():
            points.enqueue(earn())
            raise RuntimeError("the voucher has expired")
        assert connections["default"].run_on_commit == []
    assert (in_journal(ledger), rings(ledger)) == ([], 0)


def test_outside_a_transaction_a_command_is_accepted_at_once(ledger: Ledger) -> None:
    task_ids = [points.enqueue(earn()), *points.enqueue_many([earn(), earn()])]
    assert (in_journal(ledger), rings(ledger)) == (task_ids, 1)
    assert connections["default"].get_autocommit()


def test_a_reused_key_leaves_djangos_transaction_usable(ledger: Ledger) -> None:
    first = points.enqueue(earn(idempotency_key="k"))
    with transaction.atomic():
        with pytest.raises(IdempotencyKeyReused):
            points.enqueue(earn(6, idempotency_key="k"))
        duplicate = points.enqueue(earn(idempotency_key="k"))
        after = points.enqueue(earn())
    assert in_journal(ledger) == [first, after]
    assert points.client.outcome(duplicate).state == "pending"


def test_a_transaction_that_django_considers_broken_accepts_nothing(ledger: Ledger) -> None:
    with transaction.atomic():
        transaction.set_rollback(True)
        with pytest.raises(TransactionManagementError):
            points.enqueue(earn())
    assert in_journal(ledger) == []


def test_an_error_of_djangos_connection_comes_as_djangos(ledger: Ledger) -> None:
    with pytest.raises(ProgrammingError, match="journal"), transaction.atomic():
        with connections["default"].cursor() as cursor:
            cursor.execute("SET LOCAL search_path TO elsewhere")
        points.enqueue(earn())
    assert in_journal(ledger) == []


def test_a_connection_with_server_side_binding_accepts_as_well(ledger: Ledger) -> None:
    """Django's default is to bind in the client. The options also reach the client's own connections."""
    connection = connections["default"]
    connection.close()
    points.close()
    connection.settings_dict["OPTIONS"] = {"options": "-c work_mem=5MB", "server_side_binding": True}
    try:
        with transaction.atomic():
            task_ids = points.enqueue_many([earn(), earn()])
    finally:
        connection.close()
        connection.settings_dict["OPTIONS"] = {}
    assert in_journal(ledger) == task_ids


def test_where_django_does_not_begin_transactions_the_callers_commit_accepts(ledger: Ledger) -> None:
    receipt = points.accept([earn()], using="manual")
    assert (in_journal(ledger), rings(ledger)) == ([], 0)
    transaction.commit(using="manual")
    points.client.ring(receipt)
    assert (in_journal(ledger), rings(ledger)) == (receipt.task_ids, 1)


def test_an_event_loop_gets_djangos_own_error(ledger: Ledger) -> None:
    async def view() -> None:
        points.enqueue(earn())

    with pytest.raises(SynchronousOnlyOperation):
        asyncio.run(view())
    asyncio.run(sync_to_async(points.enqueue)(earn()))
    assert len(in_journal(ledger)) == 1


def test_a_database_that_is_no_postgres_is_a_wrong_configuration(ledger: Ledger) -> None:
    with pytest.raises(ImproperlyConfigured, match="'other' is no Postgres"):
        points.enqueue(earn(), using="other")


def test_the_test_runner_refuses_a_ledger_outside_of_djangos_database(ledger: Ledger) -> None:
    with (
        override_settings(POINTLEDGER={"DATABASE_URL": ledger.settings.database}),
        pytest.raises(ImproperlyConfigured, match="no test database"),
    ):
        LedgerTestRunner().setup_databases()


def test_an_unknown_setting_is_named(ledger: Ledger) -> None:
    with (
        override_settings(POINTLEDGER={"REDIS": "redis://127.0.0.1/0"}),
        pytest.raises(SettingsInvalid, match="POINTLEDGER_REDIS"),
    ):
        points.enqueue(earn())


def test_the_management_command_is_the_command_line_with_djangos_settings(
    ledger: Ledger, capsys: pytest.CaptureFixture[str]
) -> None:
    task_id = points.enqueue(earn())
    ledger.drain()
    before = dict(os.environ)
    call_command("pointledger", "outcome", task_id, "--json")
    shown: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert (shown["task_id"], shown["state"]) == (task_id, "applied")
    assert dict(os.environ) == before
    with pytest.raises(SystemExit) as ended:
        call_command("pointledger", "account", "shop", "nobody")
    assert ended.value.code == 1
