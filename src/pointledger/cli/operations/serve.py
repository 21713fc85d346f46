"""`serve`: the HTTP gateway as a process."""

from importlib.util import find_spec
from typing import Annotated

import typer

from pointledger.cli.output import note
from pointledger.cli.session import opened_database, opened_settings
from pointledger.errors import LedgerError
from pointledger.observability.doctor import require_safe


class GatewayNotInstalled(LedgerError):
    """What the HTTP gateway needs is not installed. Install the extra: pip install 'pointledger[http]'."""


def serve(
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="The port; 0: any that is free.")] = 8000,
) -> None:
    """Serve the HTTP API until told to stop. It believes tokens of POINTLEDGER_HTTP_ISSUER, signed by a key
    of POINTLEDGER_HTTP_KEYS. What it takes and answers is described at /openapi.json."""
    if not all(find_spec(name) for name in ("fastapi", "uvicorn", "jwt")):
        raise GatewayNotInstalled
    from pointledger.api import server  # noqa: PLC0415  an extra: not needed by the other commands

    with opened_settings() as settings, server.listening(host, port) as listening:
        with opened_database(settings) as database:  # what it finds wrong, uvicorn would tell by a traceback
            require_safe(database, settings)
        bound = listening.getsockname()
        note(f"listening on http://{bound[0]}:{bound[1]}", "dim")
        server.serve(settings, listening)
