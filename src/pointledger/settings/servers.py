"""Settings of the servers, and the URLs that follow from them."""

from pydantic import BaseModel, Field


class Servers(BaseModel):
    """The servers that the ledger needs. Without them, the command line starts a pair in `.data/`."""

    database_url: str | None = Field(
        default=None,
        repr=False,
        description="Postgres 15 to 18, for workers and clients: `postgresql://user:password@host/database`. "
        "Everything that libpq accepts in a URL works.",
    )
    owner_url: str | None = Field(
        default=None,
        repr=False,
        description="The tables' owner, for `pointledger migrate` only. The database URL, if not given.",
    )
    redis_url: str | None = Field(
        default=None,
        repr=False,
        description="Redis 7, Valkey 8 or 9, for locks and doorbells: `redis://host:6379/0`, `rediss://`, "
        "`unix:///path?db=0`, or `sentinel://host:26379,host:26379/0?service=name`.",
    )
    redis_prefix: str = Field(
        default="{pointledger}",
        description="Begins every key: two ledgers may share a Redis. The braces keep keys in one slot.",
    )
    broker_url: str | None = Field(
        default=None,
        repr=False,
        description="Celery's broker, Redis or RabbitMQ. The Redis URL, if not given.",
    )
    pgbouncer: bool = Field(
        default=False,
        description="Whether a pooler in transaction mode is in front that is not recognized. PgBouncer is.",
    )
