"""Commands that run the HTTP API and the console: `serve` and `console`."""

from contextlib import AbstractContextManager, suppress
from importlib.util import find_spec
from socket import socket
from typing import Annotated

import typer

from pointledger.cli.output import note
from pointledger.cli.session import opened_database, opened_settings
from pointledger.errors import DatabaseAway, LedgerError
from pointledger.observability.span_export import send_spans
from pointledger.settings import Settings
from pointledger.storage.errors import translate_errors


class ApiNotInstalled(LedgerError):
    """The packages of the HTTP API are not installed. Run: pip install 'pointledger[http]'."""


class ConsoleNotInstalled(LedgerError):
    """The packages of the console are not installed. Run: pip install 'pointledger[console]'."""


AdminHost = Annotated[
    str | None, typer.Option(help="The address for /metrics and /readyz. Loopback by default.")
]
AdminPort = Annotated[
    int | None,
    typer.Option(
        min=0,
        max=65_535,
        help="Their port. 0 chooses a free one. 9101 by default, or a free one if that is taken.",
    ),
]


def serve(
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="The port. 0 chooses a free one.")] = 8000,
    admin_host: AdminHost = None,
    admin_port: AdminPort = None,
    with_console: Annotated[
        bool, typer.Option("--console", help="Also serve the console, below /console.")
    ] = False,
) -> None:
    """Serve the HTTP API until stopped.

    It accepts tokens of POINTLEDGER_HTTP_ISSUER that are signed by a key of POINTLEDGER_HTTP_KEYS.
    /openapi.json describes the API, and /docs shows the description. /metrics and /readyz have a port of
    their own, which needs no token: let no stranger reach it.
    """
    _require_api()
    from pointledger.api import server  # noqa: PLC0415  an extra that other commands do not need

    with opened_settings() as settings:
        if with_console:
            _require_console(settings)
        send_spans(settings, "api")
        _check_database(settings)
        with (
            server.listening(host, port) as bound,
            _listening_for_operators(settings, admin_host, admin_port) as for_operators,
        ):
            note(f"listening on {_url(bound)}", "dim")
            note(f"metrics on {_url(for_operators)}/metrics", "dim")
            if with_console:
                note(f"console on {settings.console_url}/console", "dim")
            server.serve(settings, bound, for_operators, console=with_console)


def console(
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="The port. 0 chooses a free one.")] = 8010,
    admin_host: AdminHost = None,
    admin_port: AdminPort = None,
) -> None:
    """Serve the console alone until stopped: pages for support, finance, marketing and operators.

    People log in at POINTLEDGER_CONSOLE_ISSUER. Their tokens name their roles and tenants. Browsers reach the
    console at POINTLEDGER_CONSOLE_URL, usually through a proxy with https.
    """
    _require_api()
    from pointledger.api import server  # noqa: PLC0415  an extra that other commands do not need

    with opened_settings() as settings:
        _require_console(settings)
        _check_database(settings)
        with (
            server.listening(host, port) as bound,
            _listening_for_operators(settings, admin_host, admin_port) as for_operators,
        ):
            note(f"listening on {_url(bound)}/console", "dim")
            note(f"metrics on {_url(for_operators)}/metrics", "dim")
            server.serve_console(settings, bound, for_operators)


def _listening_for_operators(
    settings: Settings, host: str | None, port: int | None
) -> AbstractContextManager[socket]:
    """Open the operators' socket, as the options say, or else the settings."""
    from pointledger.api import server  # noqa: PLC0415  an extra that other commands do not need

    return server.listening_for_operators(
        host or settings.http_admin_host, settings.http_admin_port if port is None else port
    )


def _check_database(settings: Settings) -> None:
    """Check it before the process listens, so that the message is not about a server. A database that is away
    may come back."""
    with suppress(DatabaseAway), translate_errors(), opened_database(settings, safe=True):
        pass


def _require_api() -> None:
    if not all(find_spec(name) for name in ("fastapi", "uvicorn", "jwt")):
        raise ApiNotInstalled


def _require_console(settings: Settings) -> None:
    """Check what the console needs, before the process listens. Raises also ConsoleNotConfigured."""
    if not all(find_spec(name) for name in ("authlib", "httpx2", "itsdangerous", "jinja2")):
        raise ConsoleNotInstalled
    from pointledger.api.console.configuration import configuration_of  # noqa: PLC0415  an extra of its own

    configuration_of(settings)


def _url(bound: socket) -> str:
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
