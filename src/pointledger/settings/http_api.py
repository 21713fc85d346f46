"""Settings of the HTTP API."""

from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from pointledger.domain.values.actor import is_own_name


class ServiceRights(BaseModel):
    """What a service may do over HTTP."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tenants: frozenset[str] = Field(description="The tenants for whose users it acts.")
    kinds: frozenset[str] = Field(description="Kinds of command, and `read` for everything else.")


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

    @field_validator("http_services")
    @classmethod
    def _are_not_the_ledgers(cls, value: dict[str, ServiceRights]) -> dict[str, ServiceRights]:
        if taken := sorted(filter(is_own_name, value)):
            raise ValueError(f"the ledger itself uses the name {taken[0]}; name services like svc:till")
        return value


class ApiCaller(BaseModel):
    """A caller of the HTTP API, `pointledger mcp`."""

    url: str | None = Field(default=None, description="The API's URL, like `http://127.0.0.1:8000`.")
    token: SecretStr | None = Field(
        default=None, description="The token that `pointledger mcp` sends. It may see what the token may see."
    )
    token_file: Path | None = Field(
        default=None,
        description="A file with the token instead. It is read for each request, so a new token counts at "
        "once.",
    )
