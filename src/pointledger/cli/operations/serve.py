"""Command that runs the HTTP API: `serve`."""

from importlib.util import find_spec
from socket import socket
from typing import Annotated

import typer

from pointledger.cli.output import note
from pointledger.cli.session import opened_database, opened_settings
from pointledger.errors import LedgerError
from pointledger.observability.doctor import require_safe


class ApiNotInstalled(LedgerError):
    """The packages of the HTTP API are not installed. Run: pip install 'pointledger[http]'."""


def serve(
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="The port. 0 chooses a free one.")] = 8000,
    admin_host: Annotated[
        str | None,
        typer.Option(
            help="The address for /metrics and /readyz. Loopback, unless the settings say otherwise."
        ),
    ] = None,
    admin_port: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=65_535,
            help="Their port. 0 chooses a free one. 9101 by default, or a free one if that is taken.",
        ),
    ] = None,
) -> None:
    """Serve the HTTP API until stopped.

    It accepts tokens of POINTLEDGER_HTTP_ISSUER that are signed by a key of POINTLEDGER_HTTP_KEYS.
    /openapi.json describes the API, and /docs shows the description. /metrics and /readyz have a port of
    their own, which needs no token: let no stranger reach it.
    """
    if not all(find_spec(name) for name in ("fastapi", "uvicorn", "jwt")):
        raise ApiNotInstalled
    from pointledger.api import server  # noqa: PLC0415  an extra that other commands do not need

    with opened_settings() as settings:
        with opened_database(settings) as database:  # otherwise uvicorn would print a traceback
            require_safe(database, settings)
        admin_host = admin_host or settings.http_admin_host
        admin_port = settings.http_admin_port if admin_port is None else admin_port
        with (
            server.listening(host, port) as bound,
            server.listening_for_operators(admin_host, admin_port) as for_operators,
        ):
            note(f"listening on {_url(bound)}", "dim")
            note(f"metrics on {_url(for_operators)}/metrics", "dim")
            server.serve(settings, bound, for_operators)


def _url(bound: socket) -> str:
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
