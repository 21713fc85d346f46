"""Runs the whole ledger in one process, for tests that decide when workers apply commands."""

import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any, TypeVar

import sqlalchemy as sa
from redis import Redis

from pointledger import AnyCommand, Outcome, PointsClient
from pointledger.domain.program.rule import rule_from
from pointledger.domain.program.tenant import tenant_from
from pointledger.embedded import ServerUrls
from pointledger.engine.drain import Engine
from pointledger.engine.locks import Locks
from pointledger.messaging import redis_client
from pointledger.messaging.celery_app import producer_app
from pointledger.messaging.contract import waiting_key
from pointledger.messaging.doorbell import Doorbells
from pointledger.settings import Settings
from pointledger.storage.database import engine_for, limited_engine_for, rows
from pointledger.storage.ledger import program
from pointledger.storage.queries import accounts
from tests.databases import Clones, settings_of

Prepared = TypeVar("Prepared")


class Ledger:
    """A ledger: `client` accepts, `engine` drains, and `apply` does both and returns the outcomes.

    Each part opens on first use.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.database: sa.Engine = engine_for(settings.database)

    @cached_property
    def client(self) -> PointsClient:
        return PointsClient.connect(self.settings)

    @cached_property
    def owner(self) -> sa.Engine:
        """The database with the owner's rights."""
        return engine_for(self.settings.owner)

    @cached_property
    def redis(self) -> Redis:
        return redis_client.connect(self.settings)

    @cached_property
    def doorbells(self) -> Doorbells:
        return Doorbells(self.redis, producer_app(self.settings), self.settings)

    @cached_property
    def _drains(self) -> sa.Engine:
        return limited_engine_for(self.settings)

    @cached_property
    def engine(self) -> Engine:
        return Engine(self._drains, Locks(self.redis, self.settings), self.doorbells, self.settings)

    def __enter__(self) -> "Ledger":
        return self

    def __exit__(self, *_: object) -> None:
        opened = vars(self)
        for name in {"client", "doorbells"} & set(opened):
            opened[name].close()
        for name in {"database", "owner", "_drains"} & set(opened):
            opened[name].dispose()

    def tenant(self, tenant_id: str = "shop", **config: Any) -> None:
        with self.database.begin() as connection:
            program.put_tenant(connection, tenant_from({"tenant_id": tenant_id, **config}))

    def rule(self, tenant_id: str = "shop", **fields: Any) -> None:
        with self.database.begin() as connection:
            program.put_rule(connection, tenant_id, rule_from(fields))

    def set_program(self, config: dict[str, Any], rules: Iterable[dict[str, Any]]) -> None:
        """Save a tenant with its rules, like the demo's."""
        self.tenant(**config)
        for rule in rules:
            self.rule(config["tenant_id"], **rule)

    def drain(self) -> int:
        """Apply all commands that may go, and those that wait only for an earlier command."""
        done, before = 0, None
        while before != (state := self._queue_state()) or self._some_wait_for_others():
            before = state
            done += sum(self.engine.drain(lane) for lane in self.waiting_lanes())
        return done

    def drain_only(self, lane: int) -> int:
        """Apply commands of this lane alone, as if others were taken."""
        self.redis.delete(waiting_key(self.settings.redis_prefix))
        return self.engine.drain(lane)

    def _some_wait_for_others(self) -> bool:
        return bool(
            self.rows(
                """SELECT FROM failures
                   WHERE waits_until IS NOT NULL AND attempts = 0
                     AND tenant_id NOT IN (SELECT tenant_id FROM paused_tenants) LIMIT 1"""
            )
        )

    def _queue_state(self) -> Any:
        """Return figures that each drain with work changes."""
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
            found = accounts.account(connection, tenant_id, user_id)
        assert found is not None
        return found

    def balance(self, user_id: str, tenant_id: str = "shop") -> int:
        return int(self.account(user_id, tenant_id)["balance"])

    def entries(
        self, user_id: str, tenant_id: str = "shop", before: int | None = None
    ) -> list[dict[str, Any]]:
        with self.database.connect() as connection:
            return accounts.entries(connection, tenant_id, user_id, before)

    def rows(self, sql: str, **values: Any) -> list[Any]:
        with self.database.connect() as connection:
            return rows(connection, sql, **values)

    def has_lock_waiter(self) -> bool:
        return bool(
            self.rows(
                """SELECT FROM pg_stat_activity
                   WHERE datname = current_database() AND wait_event_type = 'Lock'"""
            )
        )

    def counts(self, *tables: str) -> list[int]:
        return [int(self.rows(f"SELECT count(*) FROM {table}")[0][0]) for table in tables]


def data_of(outcome: Outcome) -> dict[str, Any]:
    """Return the data of an applied command's outcome."""
    assert outcome.state == "applied", outcome
    assert outcome.data is not None
    return outcome.data


@contextmanager
def prepared(
    servers: ServerUrls, clones: Clones, prepare: Callable[[Ledger], Prepared]
) -> Iterator[tuple[Clones, Prepared]]:
    """Yield clones of a database that `prepare` has changed once, and its result."""
    prefix = f"prepared-{secrets.token_hex(4)}"  # in Valkey's database 0, which no test flushes
    with clones.one() as url:
        with Ledger(settings_of(servers, url, servers.redis_url, redis_prefix=prefix)) as ledger:
            result = prepare(ledger)
        with Clones(servers, url) as opened:
            yield opened, result
