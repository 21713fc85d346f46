"""The whole ledger in one process, for tests: what workers do, done when the test says so."""

from typing import Any

import sqlalchemy as sa

from pointledger import AnyCommand, Outcome, PointsClient, locks
from pointledger.domain.rules import rule_from
from pointledger.domain.tenants import tenant_from
from pointledger.doorbell import Doorbells
from pointledger.engine import Engine
from pointledger.locks import Locks
from pointledger.settings import Settings
from pointledger.storage import programmes, queries
from pointledger.storage.database import engine_for, limited_engine_for, rows
from pointledger.wire import producer_app


class Ledger:
    """`client` accepts, `engine` drains; `apply` does both and returns the outcomes."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.client = PointsClient.connect(settings)
        self.database: sa.Engine = engine_for(settings.database)
        self.owner: sa.Engine = engine_for(settings.owner)  # for what no worker may do
        self.redis = locks.connect(settings)
        self.doorbells = Doorbells(self.redis, producer_app(settings), settings)
        self._drains = limited_engine_for(settings)
        self.engine = Engine(self._drains, Locks(self.redis, settings), self.doorbells, settings)

    def __enter__(self) -> "Ledger":
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()
        self.doorbells.close()
        self.database.dispose()
        self._drains.dispose()
        self.owner.dispose()

    def tenant(self, tenant_id: str = "shop", **config: Any) -> None:
        with self.database.begin() as connection:
            programmes.put_tenant(connection, tenant_from({"tenant_id": tenant_id, **config}))

    def rule(self, tenant_id: str = "shop", **fields: Any) -> None:
        with self.database.begin() as connection:
            programmes.put_rule(connection, tenant_id, rule_from(fields))

    def drain(self) -> int:
        """Applies all that may go now, lane by lane, and what waits only for something accepted before it."""
        done, stood = 0, None
        while stood != (stands := self._stands()) or self._some_wait_for_others():
            stood = stands
            done += sum(self.engine.drain(lane) for lane in self.waiting_lanes())
        return done

    def _some_wait_for_others(self) -> bool:
        return bool(
            self.rows(
                """SELECT FROM failures
                   WHERE waits_until IS NOT NULL AND attempts = 0
                     AND tenant_id NOT IN (SELECT tenant_id FROM paused_tenants) LIMIT 1"""
            )
        )

    def _stands(self) -> Any:
        """What a drain changes: as long as it changes, there may be more to do."""
        return self.rows(
            """SELECT (SELECT count(*) FROM pending), coalesce(sum(attempts), 0), count(dead_at)
               FROM failures"""
        )

    def waiting_lanes(self) -> list[int]:
        return [row[0] for row in self.rows("SELECT DISTINCT lane FROM pending ORDER BY lane")]

    def apply(self, *commands: AnyCommand) -> list[Outcome]:
        task_ids = self.client.enqueue_many(commands)
        self.drain()
        return self.client.outcomes(task_ids)

    def account(self, user_id: str, tenant_id: str = "shop") -> dict[str, Any]:
        with self.database.connect() as connection:
            found = queries.account(connection, tenant_id, user_id)
        assert found is not None
        return found

    def balance(self, user_id: str, tenant_id: str = "shop") -> int:
        return int(self.account(user_id, tenant_id)["balance"])

    def entries(
        self, user_id: str, tenant_id: str = "shop", before: int | None = None
    ) -> list[dict[str, Any]]:
        with self.database.connect() as connection:
            return queries.entries(connection, tenant_id, user_id, before)

    def rows(self, sql: str, **values: Any) -> list[Any]:
        with self.database.connect() as connection:
            return rows(connection, sql, **values)

    def somebody_waits_for_a_row(self) -> bool:
        return bool(
            self.rows(
                """SELECT FROM pg_stat_activity
                   WHERE datname = current_database() AND wait_event_type = 'Lock'"""
            )
        )

    def counts(self, *tables: str) -> list[int]:
        return [int(self.rows(f"SELECT count(*) FROM {table}")[0][0]) for table in tables]


def data_of(outcome: Outcome) -> dict[str, Any]:
    """What an applied command tells."""
    assert outcome.state == "applied", outcome
    assert outcome.data is not None
    return outcome.data
