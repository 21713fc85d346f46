"""Settings: where the servers are, by environment (`POINTLEDGER_...`), and the few numbers an operator may
change. Every limit carries its reason."""

from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from pointledger.domain.values.pseudonyms import Pseudonyms
from pointledger.domain.values.validation import explain
from pointledger.errors import NotConfigured, SettingsInvalid

_RESULT_SCHEMES = ("redis://", "rediss://", "sentinel://", "socket://")  # as Celery's backend takes them


class ServiceRights(BaseModel):
    """What a service may do over HTTP: commands of these kinds (and `read`), for users of these tenants."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tenants: frozenset[str]
    kinds: frozenset[str]


class Settings(BaseSettings):
    """Read once at a program's start and passed on."""

    model_config = SettingsConfigDict(env_prefix="POINTLEDGER_", frozen=True, extra="ignore")

    database_url: str | None = Field(None, repr=False, description="postgresql://user:password@host/database")
    owner_url: str | None = Field(
        None, repr=False, description="for migrate: the tables' owner; database_url, if not given"
    )
    redis_url: str | None = Field(None, repr=False, description="locks and doorbells: redis://host:6379/0")
    broker_url: str | None = Field(
        None, repr=False, description="Celery's broker; the Redis URL if not given"
    )

    redis_prefix: str = Field("{pointledger}", description="of every key; two ledgers may share a Redis")

    # Commands by name, through Celery.
    commands_queue: str = Field(
        "points.commands",
        min_length=1,
        description="queue on which other services send commands by name; two ledgers on one broker need two",
    )
    callback_queues: frozenset[str] | None = Field(
        None, description="queues that link, link_error and chain may name; none given: any but the ledger's"
    )
    result_url: str | None = Field(
        None,
        repr=False,
        description="a Redis to which outcomes of commands by name are written as Celery's results",
    )
    result_seconds: int = Field(
        86_400, ge=1, description="how long such a result is kept there; the outcome stays in Postgres"
    )

    lanes: int = Field(16, ge=1, le=1024, description="slices of the journal: fewer make larger batches")
    batch_size: int = Field(
        1000, ge=1, le=10_000, description="commands per transaction: COPY gains end here"
    )
    pgbouncer: bool = Field(
        default=False, description="behind pgbouncer in transaction mode: no prepared statements"
    )

    events_url: str | None = Field(
        None, repr=False, description="broker of events in and out; Celery's if not given"
    )
    events_source: str = Field(
        "/pointledger",
        # a path or a URI, so that CloudEvents' SDKs read what is made of it
        pattern=r"^(([A-Za-z][A-Za-z0-9+.-]*:|/)([A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})+)?$",
        description="of outgoing events; the tenant follows it",
    )
    events_exchange: str = Field("points.events", description="topic exchange that relays send to")
    events_queues: tuple[str, ...] = Field(
        ("points.events",), description="queues that get every event: without one events would go nowhere"
    )

    intake_queue: str = Field("points.intake", description="queue on which other services send events")
    intake_keys_file: Path | None = Field(None, description="JSON: who may send events, and their keys")
    intake_keys: SecretStr | None = Field(None, description="the same JSON, where there is no file")

    erasure_key: SecretStr | None = Field(
        None, min_length=16, description="of the pseudonyms of erased users; a secret, the same for ever"
    )

    # A worker that is frozen with row locks must lose them before its Redis locks run out.
    lock_timeout_ms: int = Field(2_000, description="a row lock that takes longer is another's turn")
    statement_timeout_ms: int = Field(5_000, description="the largest batch takes well under a second")
    idle_timeout_ms: int = Field(5_000, description="Postgres ends a transaction that stands still")
    lock_ttl_ms: int = Field(
        10_000, description="longer than each of the above; a killed worker's turn ends so"
    )

    # Beyond these the doors close, and open by themselves.
    backlog_limit: int = Field(
        2_000_000, ge=1, description="commands that may wait: minutes of two cores' work, 1 GB of journal"
    )
    backlog_seconds: float = Field(
        86_400,
        gt=0,
        description="how long the oldest that may go waits: a day without workers is an accident",
    )

    allow_unsafe: frozenset[str] = Field(
        frozenset(),
        description="checks of the doctor's with which processes start although they are dangerous",
    )

    backoff_seconds: tuple[float, ...] = Field(
        (1, 2, 4, 8, 15), description="waits before a failing command is tried again; then it is dead"
    )

    # The HTTP gateway, `pointledger serve`.
    http_issuer: str | None = Field(None, description="the `iss` of tokens that are believed, to the letter")
    http_audience: str = Field("pointledger", description="their `aud`, to the letter")
    http_keys: str | None = Field(
        None, description="the issuer's public keys: a JWK set or a PEM in a file, or a JWK set's https URL"
    )
    http_token_seconds: int = Field(
        86_400, ge=60, description="no token is believed for longer after it was issued: a stolen one ends"
    )
    http_services: dict[str, ServiceRights] = Field(
        {},
        description='like {"svc:till": {"tenants": ["shop"], "kinds": ["apply-rule", "read"]}}',
    )
    http_wait_seconds: float = Field(
        5.0, ge=0, le=60, description="an answer waits so long for its outcome, then it is 202"
    )
    http_user_rate: int = Field(
        20, ge=1, description="requests a second of one user, in bursts of twice as many: a person clicks"
    )
    http_service_rate: int = Field(
        5_000, ge=1, description="of one service or administrator: less than a gateway can take"
    )
    http_stranger_rate: int = Field(
        1,
        ge=1,
        description="bad tokens a second of one address, in bursts of 20 times as many",
    )
    http_keep_alive_seconds: int = Field(
        30,
        ge=1,
        le=3_600,
        description="a connection without requests is kept so long: longer than a proxy in front keeps it",
    )
    http_docs: bool = Field(default=True, description="/docs shows the API's description to people")
    http_proxies: tuple[IPv4Network | IPv6Network, ...] = Field(
        (), description="networks of the proxies in front, whose word on who asks is believed"
    )
    http_proxy_header: Literal["x-forwarded-for", "forwarded"] = Field(
        "x-forwarded-for", description="the one header in which they say so; they must set it themselves"
    )
    http_concurrency: int = Field(
        1_000, ge=1, description="requests under way in one process; beyond, 503: waiting longer helps nobody"
    )

    @field_validator("result_url")
    @classmethod
    def _is_a_redis(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(_RESULT_SCHEMES):
            raise ValueError(f"a URL that begins with {', '.join(_RESULT_SCHEMES)}")
        return value

    @field_validator("erasure_key", "result_url", mode="before")
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        """Compose files pass on what nobody has set."""
        return None if value == "" else value

    @property
    def pseudonyms(self) -> Pseudonyms:
        """What makes them of users' ids; without a key nobody can be erased."""
        return Pseudonyms(self.erasure_key.get_secret_value().encode() if self.erasure_key else None)

    @property
    def database(self) -> str:
        """The database's URL. Raises NotConfigured."""
        if not self.database_url:
            raise NotConfigured("POINTLEDGER_DATABASE_URL")
        return self.database_url

    @property
    def owner(self) -> str:
        """The URL with which the tables' owner connects. Raises NotConfigured."""
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


def from_environment() -> Settings:
    """Raises SettingsInvalid."""
    try:
        return Settings()
    except ValidationError as error:
        raise SettingsInvalid(f"POINTLEDGER_...: {explain(error)}") from None
    except ValueError as error:  # a list that is no JSON
        raise SettingsInvalid(str(error)) from None
