"""Sums up the goodwill that a person has given in a day of the tenant, so that it stays within a limit."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

import sqlalchemy as sa

from pointledger.domain.program.tenant import Tenant
from pointledger.settings import Settings
from pointledger.storage.database import read_only, transaction
from pointledger.storage.errors import translate_errors
from pointledger.storage.queries import goodwill
from pointledger.storage.queue import job_runs


class Goodwill:
    """The goodwill of people in one database."""

    def __init__(self, database: sa.Engine, settings: Settings) -> None:
        self._database = database
        self._settings = settings

    def given_today(self, tenant: Tenant, actor: str, but_key: str | None = None) -> int:
        """Return the points that the person gave today, without the gift of this idempotency key."""
        with read_only(self._database) as connection:
            return _given_today(connection, tenant, actor, but_key)

    @contextmanager
    def one_at_a_time(self, tenant: Tenant, actor: str, but_key: str | None) -> Iterator[int]:
        """Yield what the person gave today. Until the block ends, no other block of the person begins: a gift
        that is accepted in it counts in the next one."""
        with translate_errors(), transaction(self._database, self._settings) as connection:
            goodwill.lock(connection, tenant.tenant_id, actor)
            yield _given_today(connection, tenant, actor, but_key)


def _given_today(connection: sa.Connection, tenant: Tenant, actor: str, but_key: str | None) -> int:
    since: datetime = tenant.day_starts_at(tenant.local_date(job_runs.now(connection)))
    return goodwill.given_since(connection, tenant.tenant_id, actor, since, but_key)
