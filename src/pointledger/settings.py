"""Reads settings from the environment (`POINTLEDGER_...`). The description of a limit gives its reason."""

from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from pointledger.domain.values.actor import is_own_name
from pointledger.domain.values.pseudonyms import Pseudonyms
from pointledger.domain.values.validation import describe
from pointledger.errors import NotConfigured, SettingsInvalid

_RESULT_SCHEMES = ("redis://", "rediss://", "unix://", "socket://", "sentinel://", "valkey://", "valkeys://")


class ServiceRights(BaseModel):
    """What a service may do over HTTP."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tenants: frozenset[str] = Field(description="The tenants for whose users it acts.")
    kinds: frozenset[str] = Field(description="Kinds of command, and `read` for everything else.")


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


class CommandsByName(BaseModel):
    """Commands that other services send by name through Celery."""

    commands_queue: str = Field(
        default="points.commands",
        min_length=1,
        description="The queue of these commands. Two ledgers that share a broker need one each.",
    )
    callback_queues: frozenset[str] | None = Field(
        default=None,
        description='Queues to which callbacks may go, like `["shop"]`. Any but its own, if not given.',
    )
    result_url: str | None = Field(
        default=None,
        repr=False,
        description="A Redis for the outcomes of these commands in Celery's format. None, if not given.",
    )
    result_seconds: int = Field(
        default=86_400, ge=1, description="How long such a result is kept. The outcome in Postgres stays."
    )


class Batches(BaseModel):
    """How workers share the work."""

    lanes: int = Field(
        default=16,
        ge=1,
        le=1024,
        description="Slices of the journal, so at most as many workers apply commands at once. Fewer lanes "
        "make larger, faster batches. `pointledger migrate` changes the number while no command is pending.",
    )
    batch_size: int = Field(
        default=1000,
        ge=1,
        le=10_000,
        description="Commands per transaction at most. A larger COPY gains nothing.",
    )
    backoff_seconds: tuple[float, ...] = Field(
        default=(1, 2, 4, 8, 15),
        description="Waits before a failing command is tried again. After the last one it is dead: a fault "
        "that lasts for half a minute is no passing one.",
    )


class Events(BaseModel):
    """Events that the ledger sends and receives."""

    events_url: str | None = Field(
        default=None, repr=False, description="The broker of events. Celery's broker, if not given."
    )
    events_source: str = Field(
        default="/pointledger",
        # a path or a URI, so that CloudEvents' SDKs can parse the source
        pattern=r"^(([A-Za-z][A-Za-z0-9+.-]*:|/)([A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})+)?$",
        description="Begins the `source` of outgoing events, a path or a URI. The tenant's id follows.",
    )
    events_exchange: str = Field(
        default="points.events", description="The topic exchange to which relays send events."
    )
    events_queues: tuple[str, ...] = Field(
        default=("points.events",),
        description="Queues that get every event. Without a queue, events would be lost.",
    )
    events_queue_limit: int = Field(
        default=100_000,
        ge=1,
        description="Events in one of the broker's queues beyond which relays wait until consumers have "
        "taken some. So many need about 120 MB of Redis; the rest stays in Postgres.",
    )
    ingest_queue: str = Field(
        default="points.ingest", description="The queue on which other services send events."
    )
    ingest_keys_file: Path | None = Field(
        default=None, description="A file of JSON: which services may send events, and their keys."
    )
    ingest_keys: SecretStr | None = Field(default=None, description="The same JSON, where there is no file.")
    dead_letters_signed: int = Field(
        default=100_000,
        ge=1,
        description="Dead letters, and deferred messages, of one producer that are kept. Beyond it the "
        "oldest are dropped and counted. So many survive a bad release of the producer.",
    )
    dead_letters_unsigned: int = Field(
        default=1_000,
        ge=1,
        description="The same for messages without a valid signature, and for commands by name: anyone who "
        "may write to the queue can send them. So many show what is wrong.",
    )


class Erasure(BaseModel):
    """The erasure of users."""

    erasure_key: SecretStr | None = Field(
        default=None,
        min_length=16,
        description="The secret behind the pseudonyms of erased users: 16 characters or more, the same for "
        "every worker and for good. No user can be erased without it.",
    )


class Timeouts(BaseModel):
    """Time-outs, in milliseconds. A worker that stalls while it holds row locks must lose them before its
    Redis locks run out."""

    lock_timeout_ms: int = Field(
        default=2_000,
        description="How long a statement waits for a row lock. A stalled process must not stop others.",
    )
    statement_timeout_ms: int = Field(
        default=5_000, description="How long a statement runs. The largest batch takes well under a second."
    )
    idle_timeout_ms: int = Field(
        default=5_000, description="How long a transaction stands still. Then its process has stalled."
    )
    lock_ttl_ms: int = Field(
        default=10_000,
        description="How long a Redis lock lasts unless it is prolonged. Longer than each of the above. The "
        "lane of a killed worker goes on after that.",
    )


class Protection(BaseModel):
    """What keeps the ledger from accepting more than it can apply or keep."""

    backlog_limit: int = Field(
        default=2_000_000,
        ge=1,
        description="Pending commands, beyond which the ledger accepts no more until there is room. So many "
        "are minutes of two cores' work and 1 GB of journal.",
    )
    backlog_share: float = Field(
        default=0.5,
        gt=0,
        le=1,
        description="The share of the limit that one tenant may fill, paused or not, so that the others have "
        "room. A tenant with less than a batch of commands is let in even beyond the limit.",
    )
    backlog_seconds: float = Field(
        default=86_400,
        gt=0,
        description="Age of a tenant's oldest pending command beyond which none of its commands is accepted. "
        "A day is an accident.",
    )
    allow_unsafe: frozenset[str] = Field(
        default=frozenset(),
        description="Checks of `pointledger doctor` that may fail without keeping a process from starting, "
        "like "
        '`["redis-eviction"]`. Accepted commands can be lost then.',
    )


class HttpApi(BaseModel):
    """The HTTP API, `pointledger serve`."""

    http_issuer: str | None = Field(
        default=None, description="The issuer whose tokens are accepted: their `iss`, character by character."
    )
    http_audience: str = Field(
        default="pointledger",
        description="The `aud` of its tokens, or one of a list, character by character.",
    )
    http_keys: str | None = Field(
        default=None,
        description="The issuer's public keys: a file with a JWK set or a PEM, or the https URL of a JWK "
        "set.",
    )
    http_token_seconds: int = Field(
        default=86_400,
        ge=60,
        description="Age at which a token ends, even if its `exp` is later: a stolen one ends, too.",
    )
    http_services: dict[str, ServiceRights] = Field(
        default={},
        description="What services may do, by the `sub` of their tokens: kinds of command, and `read`, for "
        'tenants. Like `{"svc:till": {"tenants": ["shop"], "kinds": ["apply-rule", "read"]}}`.'
        " The ledger's own names, like `job` and `cli:...`, are refused.",
    )
    http_wait_seconds: float = Field(
        default=5.0,
        ge=0,
        le=60,
        description="How long an answer waits for its outcome, then it is 202. A proxy must wait longer.",
    )
    http_user_rate: int = Field(
        default=20,
        ge=1,
        description="Rate tokens of one user per second, in bursts of twice as many: a person clicks. "
        "A command or a query by key costs one.",
    )
    http_service_rate: int = Field(
        default=5_000,
        ge=1,
        description="Rate tokens per second of one service or administrator, in bursts of twice as many. One "
        "process can take more requests.",
    )
    http_stranger_rate: int = Field(
        default=1, ge=1, description="Bad tokens per second from one address, in bursts of 20 times as many."
    )
    http_keep_alive_seconds: int = Field(
        default=30,
        ge=1,
        le=3_600,
        description="How long a connection without requests is kept: longer than a proxy in front keeps it, "
        "or requests meet a closed connection.",
    )
    http_docs: bool = Field(default=True, description="Whether `/docs` shows the API to people.")
    http_proxies: tuple[IPv4Network | IPv6Network, ...] = Field(
        default=(),
        description='Networks of the proxies in front, like `["10.0.0.0/8"]`, which may name the caller.',
    )
    http_proxy_header: Literal["x-forwarded-for", "forwarded"] = Field(
        default="x-forwarded-for",
        description="The header in which the proxies name it. They must set it themselves.",
    )
    http_concurrency: int = Field(
        default=1_000,
        ge=1,
        description="Requests in progress in one process, shared fairly between tenants and their callers. "
        "Beyond it, some are 429 or 503: longer waiting helps no caller.",
    )
    http_connections: int = Field(
        default=4_000,
        ge=2,
        description="Open connections of one process. Each takes 20 KB, and up to 128 KiB while a body "
        "arrives. Beyond it, a new one takes the place of the one that has been idle longest.",
    )
    http_idle_connections_per_address: int = Field(
        default=1_000,
        ge=1,
        description="Connections of one client address on which no request is in progress; beyond it, the "
        "oldest is closed. As many as a process works on. `http_proxies` may have more.",
    )
    http_query_seconds: float = Field(
        default=5.0,
        gt=0,
        le=30,
        description="How long a query of one request may run: a page or a statistic of a large tenant takes "
        "well under a second.",
    )
    http_admin_host: str = Field(
        default="127.0.0.1",
        description="The address on which `/metrics` and `/readyz` are served to operators. They need no "
        "token.",
    )
    http_admin_port: int | None = Field(
        default=None,
        ge=0,
        le=65_535,
        description="Their port. 0 chooses a free one. If not given: 9101, or a free one if that is taken.",
    )


class Settings(
    Servers, CommandsByName, Batches, Events, Erasure, Timeouts, Protection, HttpApi, BaseSettings
):
    """The environment's settings. A program reads them once, at its start, and passes them on."""

    model_config = SettingsConfigDict(env_prefix="POINTLEDGER_", frozen=True, extra="ignore")

    @field_validator("result_url")
    @classmethod
    def _is_a_redis(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(_RESULT_SCHEMES):
            raise ValueError(f"a URL that begins with {', '.join(_RESULT_SCHEMES)}")
        return value

    @field_validator("http_services")
    @classmethod
    def _are_not_the_ledgers(cls, value: dict[str, ServiceRights]) -> dict[str, ServiceRights]:
        if taken := sorted(filter(is_own_name, value)):
            raise ValueError(f"the ledger itself uses the name {taken[0]}; name services like svc:till")
        return value

    @field_validator("erasure_key", "result_url", mode="before")
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        """Compose files pass unset variables as empty strings."""
        return None if value == "" else value

    @property
    def pseudonyms(self) -> Pseudonyms:
        """The pseudonyms of erased users. Without a key the ledger cannot erase users."""
        return Pseudonyms(self.erasure_key.get_secret_value().encode() if self.erasure_key else None)

    @property
    def tenant_backlog_limit(self) -> int:
        """The most pending commands of one tenant: its share of the limit, but at least a batch."""
        share = int(self.backlog_limit * self.backlog_share)
        return min(self.backlog_limit, max(share, self.batch_size))

    @property
    def database(self) -> str:
        """The URL of the database. Raises NotConfigured."""
        if not self.database_url:
            raise NotConfigured("POINTLEDGER_DATABASE_URL")
        return self.database_url

    @property
    def owner(self) -> str:
        """The URL for the owner of the tables. Raises NotConfigured."""
        return self.owner_url or self.database

    @property
    def redis(self) -> str:
        """The URL of the Redis for locks and doorbells. Raises NotConfigured."""
        if not self.redis_url:
            raise NotConfigured("POINTLEDGER_REDIS_URL")
        return self.redis_url

    @property
    def broker(self) -> str:
        """The URL of Celery's broker. Raises NotConfigured."""
        return self.broker_url or self.redis

    @property
    def events(self) -> str:
        """The URL of the broker of events. Raises NotConfigured."""
        return self.events_url or self.broker

    def setting_of(self, server: Literal["redis", "broker", "events"]) -> str:
        """Return the name of the environment variable that names this server."""
        if server == "events" and self.events_url:
            return "POINTLEDGER_EVENTS_URL"
        if server != "redis" and self.broker_url:
            return "POINTLEDGER_BROKER_URL"
        return "POINTLEDGER_REDIS_URL"


def from_environment() -> Settings:
    """Read the settings. Raise SettingsInvalid."""
    try:
        return Settings()
    except ValidationError as error:
        raise SettingsInvalid(f"POINTLEDGER_...: {describe(error)}") from None
    except ValueError as error:  # malformed JSON
        raise SettingsInvalid(str(error)) from None
