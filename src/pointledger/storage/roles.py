"""The role that workers, beat and clients log in as. It does not own the tables: so no program, nor whoever
breaks into one, can change what is append-only or take its guards away.

`APP` may read everything and add rows; change rows of tables that are not append-only; delete only what is
done with. `migrate` grants this anew each time, so a table that a migration brings is covered: what has the
trigger of an append-only table may not be changed.
"""

import sqlalchemy as sa
from psycopg import sql

from pointledger.errors import RoleNotMade
from pointledger.storage.database import driver, rows, run
from pointledger.storage.errors import sqlstate

APP = "pointledger_app"  # a group: logins are its members

# Changed, but never deleted: each stands for something that entries speak of.
_KEPT = ("accounts", "lots", "holds", "hold_lots", "wallets", "lanes")
_READ_ONLY = ("alembic_version",)
_NOT_ALLOWED = "42501"

_TABLES = """
SELECT t.tablename, EXISTS (SELECT FROM pg_trigger g WHERE g.tgrelid = to_regclass(quote_ident(t.tablename))
                            AND g.tgname = t.tablename || '_rows_stay') AS is_append_only
FROM pg_tables t WHERE t.schemaname = current_schema() ORDER BY t.tablename"""


def grant_app(connection: sa.Connection) -> bool:
    """Makes the role, if it may, and grants it what a program needs; False where there is no such role."""
    if not _exists(connection, APP) and not _make(connection, sql.SQL("CREATE ROLE {}").format(_name(APP))):
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


def let_in(connection: sa.Connection, login: str, password: str | None) -> None:
    """Makes a login of this name, if there is none, and a member of the role. Raises RoleNotMade."""
    if not _exists(connection, login):
        secret = sql.SQL("PASSWORD {}").format(sql.Literal(password)) if password else sql.SQL("")
        if not _make(connection, sql.SQL("CREATE ROLE {} LOGIN {}").format(_name(login), secret)):
            raise RoleNotMade(login)
    if not _make(connection, sql.SQL("GRANT {} TO {}").format(_name(APP), _name(login))):
        raise RoleNotMade(login)


def _exists(connection: sa.Connection, role: str) -> bool:
    return bool(rows(connection, "SELECT FROM pg_roles WHERE rolname = %(role)s", role=role))


def _make(connection: sa.Connection, statement: sql.Composed) -> bool:
    """Whether it could be made; if not, the transaction goes on as before."""
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
