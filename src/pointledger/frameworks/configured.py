"""Reads the ledger's settings from those of a framework."""

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from pydantic import SecretStr, ValidationError
from pydantic_core import to_json

from pointledger.domain.values.validation import describe
from pointledger.errors import SettingsInvalid
from pointledger.settings import Settings

PREFIX = "POINTLEDGER_"

Given = Mapping[str, Any]
"""Settings by their names in the reference, in lower case and without the prefix, like `redis_url`."""


def with_database(given: Given, database_url: str | None) -> Given:
    """Add the URL of the framework's own database, unless the settings name another.

    It comes before the environment's: a command goes through the framework's connection, so the client must
    look for it in the same database, also in that of a test.
    """
    return given if database_url is None else {"database_url": database_url, **given}


def settings_from(given: Given) -> Settings:
    """Return the given settings; the environment fills the others in. Raises SettingsInvalid."""
    if unknown := sorted(given.keys() - Settings.model_fields.keys()):
        raise SettingsInvalid(f"there is no setting {PREFIX}{unknown[0].upper()}")
    try:
        return Settings(**given)
    except ValidationError as error:
        raise SettingsInvalid(f"{PREFIX}...: {describe(error)}") from None


def as_variables(given: Given) -> dict[str, str]:
    """Return the given settings as environment variables, for the command line."""
    return {f"{PREFIX}{name.upper()}": _text(value) for name, value in given.items() if value is not None}


def _text(value: object) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, PurePath):
        return str(value)
    return value if isinstance(value, str) else to_json(value).decode()
