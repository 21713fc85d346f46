"""The command that serves assistants: `mcp`."""

from importlib.util import find_spec
from typing import Annotated

import typer

from pointledger.errors import LedgerError
from pointledger.settings import from_environment


class McpNotInstalled(LedgerError):
    """The packages of the MCP server are not installed. Run: pip install 'pointledger[mcp]'."""


def mcp(
    url: Annotated[
        str | None, typer.Option(help="The HTTP API's URL. Default: that of POINTLEDGER_URL.")
    ] = None,
) -> None:
    """Answer an assistant's questions over MCP, on stdin and stdout, until stdin ends. It can only read.

    Programs like Claude Desktop start it themselves. It asks the HTTP API, with the token in
    POINTLEDGER_TOKEN or in the file POINTLEDGER_TOKEN_FILE, and needs no database. The token's rights,
    tenant and rate hold.
    """
    settings = from_environment()
    if not all(find_spec(name) for name in ("httpx2", "mcp")):
        raise McpNotInstalled
    from pointledger.mcp import server  # noqa: PLC0415  an extra that other commands do not need

    server.serve(settings, url)
