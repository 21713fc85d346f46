"""Command that runs the HTTP API: `serve`."""

from importlib.util import find_spec
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
) -> None:
    """Serve the HTTP API until stopped.

    It accepts tokens of POINTLEDGER_HTTP_ISSUER that are signed by a key of POINTLEDGER_HTTP_KEYS.
    /openapi.json describes the API, and /docs shows the description.
    """
    if not all(find_spec(name) for name in ("fastapi", "uvicorn", "jwt")):
        raise ApiNotInstalled
    from pointledger.api import server  # noqa: PLC0415  an extra that other commands do not need

    with opened_settings() as settings, server.listening(host, port) as listening:
        with opened_database(settings) as database:  # otherwise uvicorn would print a traceback
            require_safe(database, settings)
        bound = listening.getsockname()
        note(f"listening on http://{bound[0]}:{bound[1]}", "dim")
        server.serve(settings, listening)
