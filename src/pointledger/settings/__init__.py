"""Reads settings from the environment (`POINTLEDGER_...`) and from the files that it names.

The description of a limit gives its reason.
"""

from typing import Literal

from pydantic import ValidationError, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from pointledger.domain.values.pseudonyms import Pseudonyms
from pointledger.domain.values.validation import describe
from pointledger.errors import NotConfigured, SettingsInvalid
from pointledger.settings.console import Console
from pointledger.settings.files import SettingsFiles
from pointledger.settings.http_api import ApiCaller, HttpApi
from pointledger.settings.servers import Servers
from pointledger.settings.work import (
    Batches,
    CommandsByName,
    Erasure,
    Events,
    Health,
    Protection,
    Timeouts,
    Tracing,
)

_RESULT_SCHEMES = ("redis://", "rediss://", "unix://", "socket://", "sentinel://", "valkey://", "valkeys://")


class Settings(
    Servers,
    CommandsByName,
    Batches,
    Events,
    Erasure,
    Timeouts,
    Health,
    Protection,
    Tracing,
    HttpApi,
    ApiCaller,
    Console,
    BaseSettings,
):
    """The environment's settings. A program reads them once, at its start, and passes them on."""

    model_config = SettingsConfigDict(env_prefix="POINTLEDGER_", frozen=True, extra="ignore")

    @classmethod
    def settings_customise_sources(  # the library's name
        cls,
        settings_cls: type[BaseSettings],
        *args: PydanticBaseSettingsSource,
        **named: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read arguments first, then the environment, then files."""
        return named["init_settings"], named["env_settings"], SettingsFiles(settings_cls)

    @field_validator("result_url")
    @classmethod
    def _is_a_redis(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(_RESULT_SCHEMES):
            raise ValueError(f"a URL that begins with {', '.join(_RESULT_SCHEMES)}")
        return value

    @field_validator(
        "erasure_key",
        "result_url",
        "console_client_secret",
        "console_key",
        "token",
        "token_file",
        mode="before",
    )
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
