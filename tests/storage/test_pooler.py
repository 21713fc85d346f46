"""Behind PgBouncer in transaction mode every process works, whether or not a setting names the pooler."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from pointledger import Earn
from pointledger.observability.doctor import examine
from pointledger.settings import Settings
from pointledger.storage.database import engine_for, limited_engine_for, rows, transaction
from pointledger.storage.migrate import migrate
from pointledger.storage.sessions import is_limited, is_own_session
from tests.debian import pgbouncer
from tests.ledger import Ledger

pytestmark = pytest.mark.long


@pytest.fixture
def pooled(settings: Settings, server_home: Path) -> Iterator[Settings]:
    """Settings whose URLs lead through PgBouncer, which no setting names."""
    with pgbouncer(server_home, settings.database, settings.owner) as (database_url, owner_url):
        yield settings.model_copy(update={"database_url": database_url, "owner_url": owner_url})


def test_a_pooler_is_recognized_and_a_direct_connection_too(settings: Settings, pooled: Settings) -> None:
    for given, is_own in ((settings, True), (pooled, False)):
        for engine in (engine_for(given.database), limited_engine_for(given)):
            with engine.connect() as connection:
                assert is_own_session(connection) is is_own
            engine.dispose()


def test_each_transaction_of_a_worker_has_its_limits_behind_a_pooler(pooled: Settings) -> None:
    engine = limited_engine_for(pooled)
    with transaction(engine, pooled) as connection:
        assert not is_limited(connection)
        assert rows(connection, "SHOW lock_timeout")[0][0] == "2s"
    with engine.connect() as connection:
        assert rows(connection, "SHOW lock_timeout")[0][0] == "0", "a session that others share has none"
    engine.dispose()


def test_statements_that_repeat_are_not_prepared_behind_a_pooler(pooled: Settings) -> None:
    with Ledger(pooled) as ledger:
        ledger.tenant()
        for number in range(30):  # far beyond the driver's threshold of five
            (outcome,) = ledger.apply(Earn(tenant_id="shop", user_id=f"user-{number % 3}", amount=1))
            assert outcome.state == "applied"
        prepared = ledger.rows("SELECT count(*) FROM pg_prepared_statements")
        assert prepared[0][0] == 0


def test_a_pooled_session_has_the_settings_that_the_driver_needs(pooled: Settings) -> None:
    with psycopg.connect(pooled.owner, autocommit=True) as owner:
        owner.execute(f"ALTER DATABASE {owner.info.dbname} SET DateStyle = 'SQL, DMY'")
        owner.execute(f"ALTER DATABASE {owner.info.dbname} SET TimeZone = 'Asia/Tokyo'")
    with Ledger(pooled) as ledger:
        ledger.tenant()
        (outcome,) = ledger.apply(Earn(tenant_id="shop", user_id="anna", amount=1))
        assert str(outcome.as_json()["applied_at"]).endswith("Z")


def test_migrate_works_through_a_pooler(pooled: Settings) -> None:
    migrate(pooled.owner, pooled.lanes, pooled.database)


def test_the_doctor_reports_the_pooler(pooled: Settings, settings: Settings) -> None:
    def seen(given: Settings) -> str:
        (found,) = [one for one in examine(given).findings if one.check == "postgres-sessions"]
        assert found.verdict == "fine", found
        return found.seen

    assert "a pooler" in seen(pooled)
    assert "a pooler" not in seen(settings)
