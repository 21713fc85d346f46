"""An older ledger is brought to this version with what it holds."""

from uuid import UUID

import sqlalchemy as sa
from alembic import command

from pointledger.embedded import ServerUrls
from pointledger.storage.database import engine_for, rows
from pointledger.storage.migrate import _config, migrate
from tests.databases import fresh_database

LOT, ACCOUNT = UUID(int=1), UUID(int=2)


def test_what_had_expired_of_a_lot_is_known_afterwards(servers: ServerUrls) -> None:
    with fresh_database(servers, "upgraded_reversals") as url:
        database = engine_for(url)
        with database.begin() as connection:
            config = _config()
            config.attributes["connection"] = connection
            command.upgrade(config, "0001")
            connection.execute(
                sa.text(
                    """INSERT INTO lots (tenant_id, id, account_id, entry_id, origin_id, amount, remaining,
                                         state, earned_at)
                       VALUES ('shop', :lot, :account, :lot, :lot, 100, 50, 'active', now())"""
                ),
                {"lot": LOT, "account": ACCOUNT},
            )
            for entry, kind, amount in ((3, "expire", 20), (4, "spend", 20), (5, "expire", 10)):
                connection.execute(
                    sa.text("INSERT INTO lot_moves VALUES ('shop', :entry, :lot, :kind, :amount)"),
                    {"entry": UUID(int=entry), "lot": LOT, "kind": kind, "amount": amount},
                )
        migrate(url)
        with database.connect() as connection:
            assert [tuple(row) for row in rows(connection, "SELECT expired FROM lots")] == [(30,)]
        database.dispose()
