"""Reads `settings.POINTLEDGER`, and the URL of Django's own database."""

from urllib.parse import quote, urlencode

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import DEFAULT_DB_ALIAS, connections
from psycopg import pq

from pointledger.frameworks.configured import Given, with_database

_ALIAS = "DATABASE"  # the one name that is no setting of the ledger


def database_alias() -> str:
    """Return the alias, in Django's `DATABASES`, of the database with the ledger's tables."""
    alias: str = getattr(settings, "POINTLEDGER", {}).get(_ALIAS, DEFAULT_DB_ALIAS)
    return alias


def given_settings() -> Given:
    """Return what `settings.POINTLEDGER` says, and Django's own database unless another is named.

    Raises ImproperlyConfigured where that is no Postgres.
    """
    said = getattr(settings, "POINTLEDGER", {})
    given = {name.lower(): value for name, value in said.items() if name != _ALIAS}
    return with_database(given, _url_of(database_alias()))


def require_postgres(alias: str) -> None:
    """Raise ImproperlyConfigured if the database is no Postgres."""
    if connections[alias].vendor != "postgresql":
        raise ImproperlyConfigured(
            f"pointledger: the database {alias!r} is no Postgres. Name the one with the ledger's tables "
            f"in POINTLEDGER = {{'{_ALIAS}': ...}}."
        )


def _url_of(alias: str) -> str:
    """Return Django's parameters of a connection as a URL, so far as they are libpq's."""
    require_postgres(alias)
    known = {option.keyword.decode() for option in pq.Conninfo.get_defaults()}
    parameters = connections[alias].get_connection_params()
    texts = {name: str(value) for name, value in parameters.items() if name in known and value is not None}
    return f"postgresql://?{urlencode(texts, quote_via=quote)}"
