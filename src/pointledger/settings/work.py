"""Settings of the work: commands, batches, events, erasure, timeouts, health and limits of the backlog."""

from pathlib import Path

from pydantic import BaseModel, Field, SecretStr


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


class Tracing(BaseModel):
    """Spans of OpenTelemetry."""

    tracing: bool = Field(
        default=False,
        description="Whether worker, relay, ingest and API send spans by OTLP over HTTP. Needs the "
        "extra `otel`. OpenTelemetry's own variables say the rest, like `OTEL_EXPORTER_OTLP_ENDPOINT`.",
    )


class Health(BaseModel):
    """What a supervisor asks."""

    health_folder: Path | None = Field(
        default=None,
        description="The folder into which each process writes its heartbeat, for `pointledger health`. One "
        "for each container or machine, best in a tmpfs. None is written, if not given.",
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
