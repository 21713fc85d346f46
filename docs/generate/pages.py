"""Which file of docs/reference holds which page."""

from collections.abc import Callable
from pathlib import Path

from docs.generate.asyncapi import asyncapi_document
from docs.generate.cli import cli_page
from docs.generate.commands import commands_page
from docs.generate.database import made_database_page
from docs.generate.errors import errors_page
from docs.generate.events import events_page, schemas
from docs.generate.http import http_page, openapi_document
from docs.generate.markdown import page
from docs.generate.metrics import metrics_page
from docs.generate.prose_files import prose
from docs.generate.python import python_pages
from docs.generate.refusals import refusals_page
from docs.generate.rules import rules_page
from docs.generate.settings import settings_page
from docs.generate.tenants import tenant_page

REFERENCE = Path(__file__).parents[1] / "reference"
DATABASE = "database.md"  # the one page that needs a server

PAGES: dict[str, Callable[[], str]] = {
    "index.md": lambda: page("Reference", prose("index.md")),
    "commands.md": commands_page,
    "refusals.md": refusals_page,
    "rules.md": rules_page,
    "tenant-config.md": tenant_page,
    "settings.md": settings_page,
    "cli.md": cli_page,
    "errors.md": errors_page,
    "http.md": http_page,
    "openapi.json": openapi_document,
    "events.md": events_page,
    "asyncapi.json": asyncapi_document,
    **schemas(),
    "metrics.md": metrics_page,
    **python_pages(),
}


def all_pages() -> dict[str, str]:
    """Every page, by file. A Postgres is started for the one about the database."""
    return {name: make() for name, make in PAGES.items()} | {DATABASE: made_database_page()}
