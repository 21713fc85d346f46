"""The workers' role cannot change append-only tables or remove their triggers."""

import psycopg
import pytest
from psycopg import sql

from pointledger import Earn
from pointledger.errors import RoleNotMade
from pointledger.observability.verify import verify
from pointledger.settings import Settings
from pointledger.storage.invariants.tables import APPEND_ONLY
from pointledger.storage.migrate import migrate
from pointledger.storage.roles import APP
from tests.ledger import Ledger

DENIED = psycopg.errors.InsufficientPrivilege


@pytest.fixture
def used(settings: Settings) -> Settings:
    """A database in which workers with this role have applied a command."""
    with Ledger(settings) as ledger:
        ledger.tenant()
        (outcome,) = ledger.apply(Earn(tenant_id="shop", user_id="anna", amount=5))
        assert outcome.state == "applied"
    return settings


@pytest.mark.parametrize("table", APPEND_ONLY)
@pytest.mark.parametrize("statement", ["UPDATE {} SET {} = {}", "DELETE FROM {}", "TRUNCATE {}"])
def test_the_role_cannot_change_or_empty_append_only_tables(
    used: Settings, table: str, statement: str
) -> None:
    with psycopg.connect(used.database) as connection:
        column = connection.execute(
            "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum = 1", [table]
        ).fetchone()
        assert column is not None
        names = [sql.Identifier(name) for name in (table, column[0], column[0])]
        with pytest.raises(DENIED):
            connection.execute(sql.SQL(statement).format(*names[: statement.count("{}")]))


@pytest.mark.parametrize(
    "statement",
    [
        "SET session_replication_role = replica",
        "ALTER TABLE entries DISABLE TRIGGER ALL",
        "DROP TRIGGER entries_rows_stay ON entries",
        "ALTER TABLE entries ADD COLUMN more text",
        "DROP TABLE entries",
        "CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE sql AS 'SELECT 1'",
        "SET ROLE pointledger",
        "CREATE TABLE mine (id int)",
        "UPDATE alembic_version SET version_num = '0001'",
        "DELETE FROM accounts",
        "DELETE FROM lots",
        "TRUNCATE accounts",
        "COPY entries TO PROGRAM 'true'",
    ],
)
def test_the_role_cannot_remove_the_guards(used: Settings, statement: str) -> None:
    with psycopg.connect(used.database) as connection, pytest.raises(psycopg.Error) as caught:
        connection.execute(statement.encode())
    assert caught.value.sqlstate in ("42501", "22023")  # insufficient privilege, or an invalid role


@pytest.mark.parametrize("replica", [False, True])
def test_triggers_stop_the_owner_too(used: Settings, replica: bool) -> None:
    for statement in ("UPDATE entries SET amount = 6", "DELETE FROM audit_log", "TRUNCATE wallet_lines"):
        with psycopg.connect(used.owner) as connection:
            if replica:
                connection.execute("SET session_replication_role = replica")
            with pytest.raises(psycopg.errors.RestrictViolation):
                connection.execute(statement.encode())


def test_migrate_grants_rights_on_new_tables(used: Settings) -> None:
    with psycopg.connect(used.owner) as connection:
        connection.execute("CREATE TABLE later (id int)")
        connection.execute("CREATE TABLE kept (id int)")
        connection.execute(
            """CREATE TRIGGER kept_rows_stay BEFORE DELETE ON kept
               FOR EACH ROW EXECUTE FUNCTION refuse_change()"""
        )
    migrate(used.owner, app_url=used.database)
    with psycopg.connect(used.database) as connection:
        connection.execute("INSERT INTO later VALUES (1); UPDATE later SET id = 2; DELETE FROM later")
        connection.execute("INSERT INTO kept VALUES (1)")
        with pytest.raises(DENIED):
            connection.execute("DELETE FROM kept")


def test_an_owner_that_cannot_create_roles_gets_an_error_with_a_remedy(servers_owner: str) -> None:
    """The error comes only with a second login, because otherwise workers use the owner's."""
    migrate(servers_owner)
    with pytest.raises(RoleNotMade, match="other_login"):
        migrate(servers_owner, app_url=servers_owner.replace("poor_owner", "other_login"))


@pytest.fixture
def servers_owner(owner_url: str) -> str:
    """The URL of a login that owns the database's tables and has no other rights."""
    with psycopg.connect(owner_url) as connection:
        connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        if not connection.execute("SELECT FROM pg_roles WHERE rolname = 'poor_owner'").fetchall():
            connection.execute("CREATE ROLE poor_owner LOGIN PASSWORD 'poor'")
        connection.execute("ALTER SCHEMA public OWNER TO poor_owner")
    return "postgresql://poor_owner:poor@" + owner_url.partition("@")[2]


def test_verify_names_an_excess_privilege(used: Settings) -> None:
    with Ledger(used) as ledger:
        assert verify(ledger.database).violations == 0
        with ledger.owner.begin() as connection:
            connection.exec_driver_sql(f"GRANT DELETE ON entries TO {APP}")
        report = verify(ledger.database)
        assert [found.invariant.id for found in report.findings if found.violations] == ["M2"]
