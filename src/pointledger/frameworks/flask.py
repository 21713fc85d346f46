"""Enqueues commands in the transaction of a Flask request. Adds the command `flask pointledger`."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import click
import sqlalchemy as sa
from flask import Flask, current_app
from flask.cli import with_appcontext

from pointledger.client.client import PointsClient
from pointledger.client.receipts import Receipt
from pointledger.domain.commands import AnyCommand
from pointledger.frameworks.configured import PREFIX, Given, settings_from, with_database
from pointledger.frameworks.lazy_client import LazyClient

if TYPE_CHECKING:
    from sqlalchemy import orm

_NAME = "pointledger"  # of the extension in `app.extensions`


class Points:
    """The ledger, as an extension: `points = Points(app, session)`, or `points.init_app(app)` later.

    `session` returns the session of the current request, like `db.session` of Flask-SQLAlchemy or a
    `scoped_session`. A command exists if and only if that session commits, and workers are notified then.

    Settings are `POINTLEDGER_...` in `app.config`, else in the environment. The database is that of
    `SQLALCHEMY_DATABASE_URI`, if there is one and `app.config` names no other. Each method needs an app
    context and raises what `PointsClient` raises, and NotConfigured or SettingsInvalid at the first use.
    """

    def __init__(self, app: Flask | None = None, session: "Callable[[], orm.Session] | None" = None) -> None:
        self._session = session
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Add the client and the command to an app. The client is made on first use."""
        app.extensions[_NAME] = LazyClient(lambda: settings_from(_given_settings(app)))
        app.cli.add_command(_command)

    @property
    def client(self) -> PointsClient:
        """The client of this process, for outcomes and queries. It has connections of its own."""
        lazy: LazyClient = current_app.extensions[_NAME]
        return lazy.get()

    def enqueue(self, command: AnyCommand) -> str:
        """Accept a command at the commit of the request's session, and return its task id."""
        return self.client.enqueue(command, self._current_session())

    def enqueue_many(self, commands: Sequence[AnyCommand]) -> list[str]:
        """Accept commands, all or none, at the commit of the request's session. Return their task ids."""
        return self.accept(commands).task_ids

    def accept(self, commands: Sequence[AnyCommand]) -> Receipt:
        """Accept commands, all or none, at the commit of the request's session."""
        return self.client.accept(commands, self._current_session())

    def _current_session(self) -> "orm.Session":
        if self._session is None:
            raise RuntimeError("Points was made without a session: pass one, or use client.enqueue")
        return self._session()


@click.command(
    _NAME,
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    add_help_option=False,
    short_help="The command line of pointledger.",
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
@with_appcontext
def _command(context: click.Context, arguments: tuple[str, ...]) -> None:
    """Run the command line of pointledger with the settings of this app."""
    from pointledger.frameworks.command_line import run_command_line  # noqa: PLC0415  no server needs it

    context.exit(run_command_line("flask pointledger", arguments, _given_settings(current_app)))


def _given_settings(app: Flask) -> Given:
    return with_database(app.config.get_namespace(PREFIX), _own_database(app))


def _own_database(app: Flask) -> str | None:
    """Return the URL of Flask-SQLAlchemy's database, if that is Postgres."""
    if (given := app.config.get("SQLALCHEMY_DATABASE_URI")) is None:
        return None
    url = sa.make_url(given)
    return url.render_as_string(hide_password=False) if url.get_backend_name() == "postgresql" else None
