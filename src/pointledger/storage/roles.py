"""Grants the role that workers, beat and clients log in as.

The role does not own the tables. So no program, not even a compromised one, can change append-only rows or
drop the triggers that protect them.

`APP` may read every table and insert rows. It may update tables that are not append-only, and delete from
those that hold only finished work. `migrate` grants these rights anew each time, so new tables are covered.
A table is append-only if it has the trigger for that.
"""

import sqlalchemy as sa
from psycopg import sql

from pointledger.errors import RoleNotMade
from pointledger.storage.database import driver, rows, run
from pointledger.storage.errors import sqlstate

APP = "pointledger_app"  # a group role; logins are its members

# The ledger updates these rows but never deletes them, because entries refer to them.
_KEPT = ("accounts", "lots", "holds", "hold_lots", "wallets", "lanes")
_READ_ONLY = ("alembic_version",)
_NOT_ALLOWED = "42501"

_TABLES = """
SELECT t.tablename, EXISTS (SELECT FROM pg_trigger g WHERE g.tgrelid = to_regclass(quote_ident(t.tablename))
                            AND g.tgname = t.tablename || '_rows_stay') AS is_append_only
FROM pg_tables t WHERE t.schemaname = current_schema() ORDER BY t.tablename"""


def grant_app(connection: sa.Connection) -> bool:
    """Create the role if permitted, and grant its rights. Return False if the role does not exist."""
    if not _exists(connection, APP) and not _try(connection, sql.SQL("CREATE ROLE {}").format(_name(APP))):
        return False
    for table, is_append_only in rows(connection, _TABLES):
        allowed = ", ".join(_allowed(table, is_append_only=is_append_only))
        run(connection, f'REVOKE ALL ON "{table}" FROM {APP}')
        run(connection, f'GRANT {allowed} ON "{table}" TO {APP}')
    schema = rows(connection, "SELECT quote_ident(current_schema())")[0][0]
    run(connection, f"GRANT USAGE ON SCHEMA {schema} TO {APP}")
    run(connection, f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA {schema} TO {APP}")
    return True


def _allowed(table: str, *, is_append_only: bool) -> list[str]:
    if table in _READ_ONLY:
        return ["SELECT"]
    if is_append_only:
        return ["SELECT", "INSERT"]
    return ["SELECT", "INSERT", "UPDATE"] if table in _KEPT else ["SELECT", "INSERT", "UPDATE", "DELETE"]


def grant_login(connection: sa.Connection, login: str, password: str | None) -> None:
    """Make the login a member of the role, and create it if it is missing. Raises RoleNotMade."""
    if not _exists(connection, login):
        secret = sql.SQL("PASSWORD {}").format(sql.Literal(password)) if password else sql.SQL("")
        if not _try(connection, sql.SQL("CREATE ROLE {} LOGIN {}").format(_name(login), secret)):
            raise RoleNotMade(login)
    if not _try(connection, sql.SQL("GRANT {} TO {}").format(_name(APP), _name(login))):
        raise RoleNotMade(login)


def _exists(connection: sa.Connection, role: str) -> bool:
    return bool(rows(connection, "SELECT FROM pg_roles WHERE rolname = %(role)s", role=role))


def _try(connection: sa.Connection, statement: sql.Composed) -> bool:
    """Run the statement. Return False if it is not permitted; the transaction stays usable."""
    try:
        with connection.begin_nested():
            driver(connection).execute(statement)
    except Exception as error:
        if sqlstate(error) != _NOT_ALLOWED:
            raise
        return False
    return True


def _name(role: str) -> sql.Identifier:
    return sql.Identifier(role)
