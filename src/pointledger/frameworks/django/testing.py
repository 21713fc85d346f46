"""Makes the ledger's tables in the database of Django's tests."""

from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db.models.signals import post_migrate
from django.test.runner import DiscoverRunner

from pointledger.frameworks.configured import settings_from
from pointledger.frameworks.django import points
from pointledger.frameworks.django.conf import database_alias, given_settings

_RECEIVER = "pointledger.testing"


class LedgerTestRunner(DiscoverRunner):
    """Django's test runner, where the test database is also a ledger. `TEST_RUNNER` names it.

    The ledger's tables belong to the login of `DATABASES`, which makes the database. `--parallel` copies
    them.
    """

    def setup_databases(self, **options: Any) -> Any:
        """Make the databases. Raises ImproperlyConfigured if the ledger is not in Django's database."""
        if "DATABASE_URL" in getattr(settings, "POINTLEDGER", {}):
            raise ImproperlyConfigured(
                "POINTLEDGER['DATABASE_URL'] is no test database: leave it out in tests"
            )
        self._has_ledger = False
        post_migrate.connect(self._migrate, dispatch_uid=_RECEIVER)
        try:
            return super().setup_databases(**options)
        finally:
            post_migrate.disconnect(dispatch_uid=_RECEIVER)
            points.close()  # one that the project made before belongs to the real ledger

    def teardown_databases(self, old_config: Any, **options: Any) -> None:
        """Close the client, because Postgres drops no database that is in use. Then drop the databases."""
        points.close()
        super().teardown_databases(old_config, **options)

    def _migrate(self, *, using: str, **_: Any) -> None:
        """Migrate after Django's own migrations and before `--parallel` copies. Django calls it per app."""
        from pointledger.storage.migrate import migrate  # noqa: PLC0415  Alembic, only where there is a database

        if using == database_alias() and not self._has_ledger:
            of_tests = settings_from(given_settings())
            migrate(of_tests.database, of_tests.lanes)
            self._has_ledger = True
