"""Makes a shop's login: a member of the ledger's role, with a schema of its own for the shop's tables.

An administrator does this once. The examples do it at each start, as the ledger's owner.
"""

import os

import psycopg
from psycopg import sql
from sqlalchemy import make_url

_PASSWORD = "only for examples"


def shop_url(login: str) -> str:
    """Make the login and its schema, unless they are there. Return the login's URL."""
    owner = os.environ["POINTLEDGER_OWNER_URL"]
    name, password = sql.Identifier(login), sql.Literal(_PASSWORD)
    with psycopg.connect(owner) as connection:
        if not connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [login]).fetchone():
            # CREATEDB is for the test database of Django.
            make = sql.SQL("CREATE ROLE {} LOGIN CREATEDB PASSWORD {} IN ROLE pointledger_app")
            connection.execute(make.format(name, password))
        connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS AUTHORIZATION {}").format(name))
    url = make_url(owner).set(drivername="postgresql+psycopg", username=login, password=_PASSWORD)
    return url.render_as_string(hide_password=False)
