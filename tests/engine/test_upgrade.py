"""Migrations keep the data of older versions."""

from uuid import UUID

import pytest
import sqlalchemy as sa

from pointledger.embedded import ServerUrls
from pointledger.observability.verify import verify
from pointledger.storage.database import engine_for, rows
from pointledger.storage.ledger import program
from pointledger.storage.migrate import migrate
from pointledger.storage.queries import audit_log
from pointledger.storage.queries.audit_log import AuditLogFilter
from pointledger.storage.queue import dead_letters
from tests.databases import fresh_database

LOT, ACCOUNT, COMMAND = UUID(int=1), UUID(int=2), UUID(int=3)


def test_a_migration_counts_the_points_of_a_lot_that_expired_before(servers: ServerUrls) -> None:
    with fresh_database(servers, "upgraded_reversals") as url:
        database = engine_for(url)
        migrate(url, revision="0001")
        with database.begin() as connection:
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


OLD_NAMES = (
    """INSERT INTO tenant_versions (tenant_id, version, config)
       VALUES ('shop', 1, '{"tenant_id": "shop", "dead_policy": "hold"}')""",
    f"""INSERT INTO journal (id, seq, lane, version, fingerprint, tenant_id, user_id, actor, kind,
                             payload)
        VALUES ('{COMMAND}', 1, 0, 1, decode(repeat('00', 16), 'hex'), 'shop', 'anna', 'test', 'spend',
                '{{}}')""",
    f"""INSERT INTO outcomes (id, tenant_id, state, applied_at, data)
        VALUES ('{COMMAND}', 'shop', 'applied', now(),
                '{{"grants":[{{"held_by":"per day","note":"because"}},{{"because":"no such field"}}]}}')""",
    """INSERT INTO dead_letters (door, raw, reason, error, state, held_until)
       VALUES ('events', '', 'UNKNOWN_VERSION', 'newer', 'held', now())""",
    """INSERT INTO acts (tenant_id, id, kind, actor, state, request_hash)
       VALUES ('shop', gen_random_uuid(), 'pause', 'eva', 'applied', decode(repeat('00', 16), 'hex'))""",
)


def test_a_migration_keeps_recorded_values_under_their_new_names(servers: ServerUrls) -> None:
    with fresh_database(servers, "upgraded_names") as url:
        database = engine_for(url)
        migrate(url, revision="0018")
        with database.begin() as connection:
            for statement in OLD_NAMES:
                connection.exec_driver_sql(statement)
        migrate(url)
        with database.connect() as connection:
            assert program.tenant(connection, "shop").dead_policy == "block"
            assert rows(connection, "SELECT data FROM outcomes")[0][0] == {
                "grants": [{"limited_by": "per day", "note": "because"}, {"detail": "no such field"}]
            }
            assert [message.state for message in dead_letters.find(connection)] == ["deferred"]
            assert [
                record["actor"] for record in audit_log.records(connection, "shop", AuditLogFilter(), limit=9)
            ]
        assert verify(database).violations == 0
        for statement in ("UPDATE outcomes SET message = 'x'", "UPDATE tenant_versions SET config = '{}'"):
            with pytest.raises(sa.exc.DBAPIError, match="append-only"), database.begin() as connection:
                connection.exec_driver_sql(statement)
        database.dispose()
